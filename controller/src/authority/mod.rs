//! The certificate authority: a root kept apart (10 years), an online intermediate (1 year) that
//! issues the certificates of servers and agents. Everything is backdated by a day, so that a peer
//! whose clock is a little behind still finds it valid.

mod issue;
mod recall;
mod renew;

use anyhow::{Context as _, Result, anyhow};
use aright_shared::digest::Digest;
use aright_shared::time::{DAY, Millis};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::data::Data;

pub use issue::{BadRequest, Issued};
pub use renew::{renew, renew_by_itself};

const ROOT_DAYS: i64 = 3653;
const INTERMEDIATE_DAYS: i64 = 365;
const BACKDATED: i64 = DAY;
/// Where it lies until it is moved away.
const ROOT_KEY: &str = "offline/authority-root.key";
const INTERMEDIATE: &str = "authority/intermediate.pem";
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

pub struct Authority {
    root: CertificateDer<'static>,
    root_pem: String,
    intermediate: CertificateDer<'static>,
    intermediate_pem: String,
    /// The intermediate's own end: nothing it issues lasts longer.
    expires: Millis,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes root and intermediate; the root's key goes to `offline/`.
    ///
    /// # Errors
    /// A file that cannot be written, no randomness.
    pub fn create(data: &Data, now: Millis) -> Result<()> {
        let root_key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let root_params = ca_params("Aright root", BasicConstraints::Constrained(1), now, ROOT_DAYS)?;
        let root = root_params.self_signed(&root_key)?;
        data.write(ROOT_KEY, root_key.serialize_pem().as_bytes())?;
        data.write("authority/root.crt", root.pem().as_bytes())?;
        new_intermediate(data, &Issuer::from_params(&root_params, root_key), now)
    }

    /// # Errors
    /// A file that is missing or is not what it should be; names it.
    pub fn load(data: &Data) -> Result<Self> {
        let certificate = |below: &str| -> Result<(String, CertificateDer<'static>)> {
            let pem = data.read(below)?;
            let der = CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|error| anyhow!("{}: {error}", data.path(below).display()))?;
            Ok((pem, der))
        };
        let (root_pem, root) = certificate("authority/root.crt")?;
        let (file, intermediate) = certificate(INTERMEDIATE)?;
        let key = KeyPair::from_pem(&file).with_context(|| data.path(INTERMEDIATE).display().to_string())?;
        // Without the key, which stands before it.
        let intermediate_pem = file[file.find(CERTIFICATE).unwrap_or(file.len())..].to_owned();
        let expires = not_after(&intermediate)?;
        let issuer = Issuer::from_ca_cert_der(&intermediate, key)?;
        Ok(Self { root, root_pem, intermediate, intermediate_pem, expires, issuer })
    }

    /// SHA-256 of the root certificate (DER): what agents and CLI pin.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.root)
    }

    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// When the intermediate ends.
    pub fn expires(&self) -> Millis {
        self.expires
    }

    /// When the root ends, and with it every chain.
    ///
    /// # Errors
    /// It is no certificate.
    pub fn root_expires(&self) -> Result<Millis> {
        not_after(&self.root)
    }
}

/// Key and certificate in one file: they change in one step.
fn new_intermediate(data: &Data, root: &Issuer<'_, KeyPair>, now: Millis) -> Result<()> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let params = ca_params("Aright intermediate", BasicConstraints::Constrained(0), now, INTERMEDIATE_DAYS)?;
    let certificate = params.signed_by(&key, root)?;
    let file = zeroize::Zeroizing::new(format!("{}{}", key.serialize_pem(), certificate.pem()));
    data.write(INTERMEDIATE, file.as_bytes())
}

fn ca_params(name: &str, basic: BasicConstraints, now: Millis, days: i64) -> Result<CertificateParams> {
    let mut params = params(name, now.plus(-BACKDATED), now.plus(days * DAY))?;
    params.is_ca = IsCa::Ca(basic);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    now: Millis,
    until: Millis,
) -> Result<CertificateParams> {
    let mut params = params(name, now.plus(-BACKDATED), until)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(name: &str, not_before: Millis, not_after: Millis) -> Result<CertificateParams> {
    // rcgen takes the `time` crate's points; the epoch plus a span needs no dependency on it.
    let at = |point: Millis| {
        rcgen::date_time_ymd(1970, 1, 1)
            + std::time::Duration::from_secs(u64::try_from(point.0.div_euclid(1000)).unwrap_or(0))
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(not_before);
    params.not_after = at(not_after);
    let mut serial = [0; 16];
    getrandom::fill(&mut serial)?;
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

fn not_after(certificate: &CertificateDer<'_>) -> Result<Millis> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)?;
    Ok(Millis(parsed.validity().not_after.timestamp() * 1000))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aright_shared::time::{Clock as _, WallClock};

    pub(crate) fn authority() -> Authority {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        Authority::create(&data, WallClock.now()).expect("made");
        Authority::load(&data).expect("loads")
    }

    #[test]
    fn the_root_key_is_kept_apart_and_is_not_needed_afterwards() {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        Authority::create(&data, WallClock.now()).expect("made");
        std::fs::remove_dir_all(data.path("offline")).expect("moved away");
        let authority = Authority::load(&data).expect("loads without it");
        assert!(authority.expires() > WallClock.now().plus(364 * DAY));
    }
}
