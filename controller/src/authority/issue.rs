//! Issuing: certificates for our own servers, and for agents from their CSRs.

use std::sync::Arc;

use anyhow::Result;
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::time::{DAY, Millis};
use rcgen::{
    CertificateSigningRequestParams, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData as _, SanType,
};
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;

use super::{Authority, leaf_params};

/// How long an agent's certificate lasts.
const AGENT_DAYS: i64 = 14;
const SERVER_DAYS: i64 = 365;

/// An agent's new certificate.
pub struct Issued {
    /// Leaf first, then the intermediate.
    pub pem: String,
    pub fingerprint: Digest,
    /// SHA-256 of the public key it is for.
    pub public_key: Digest,
    pub expires: Millis,
}

/// A CSR that is none.
#[derive(Debug, thiserror::Error)]
#[error("not a signed PKCS#10 request in PEM with a P-256, P-384 or Ed25519 key: {0}")]
pub struct BadRequest(String);

impl Authority {
    /// A certificate for `asset` on the key of `csr`. Nothing else of the request counts: who it is
    /// for and what it may do is ours to say.
    ///
    /// # Errors
    /// The request is malformed (inner), or issuing failed (outer).
    pub fn issue_agent(&self, asset: &AssetId, csr: &str, now: Millis) -> Result<Result<Issued, BadRequest>> {
        if csr.len() > 16 * 1024 {
            return Ok(Err(BadRequest(format!("{} bytes", csr.len()))));
        }
        let request = match CertificateSigningRequestParams::from_pem(csr) {
            Ok(request) => request,
            Err(error) => return Ok(Err(BadRequest(error.to_string()))),
        };
        let expires = now.plus(AGENT_DAYS * DAY).min(self.expires);
        let params = leaf_params(asset.as_str(), ExtendedKeyUsagePurpose::ClientAuth, now, expires)?;
        let leaf = params.signed_by(&request.public_key, &self.issuer)?;
        let public_key = Digest::of(request.public_key.der_bytes());
        let pem = format!("{}{}", leaf.pem(), self.intermediate_pem);
        Ok(Ok(Issued { pem, fingerprint: Digest::of(leaf.der()), public_key, expires }))
    }

    /// A fresh key and certificate for our own ports. The chain goes up to the root, so that a
    /// client that knows only the root's fingerprint can verify it.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn issue_server(&self, names: &[String], now: Millis) -> Result<Arc<CertifiedKey>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let until = now.plus(SERVER_DAYS * DAY).min(self.expires);
        let mut params = leaf_params("Aright controller", ExtendedKeyUsagePurpose::ServerAuth, now, until)?;
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into()?),
            });
        }
        let leaf = params.signed_by(&key, &self.issuer)?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let chain = vec![leaf.der().clone(), self.intermediate.clone(), self.root.clone()];
        Ok(Arc::new(CertifiedKey::new(chain, any_supported_type(&private)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::tests::authority;
    use aright_shared::time::{Clock as _, SECOND, WallClock};
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, UnixTime};

    fn csr() -> String {
        let key = KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.serialize_request(&key).expect("a request").pem().expect("pem")
    }

    fn unix(at: Millis) -> UnixTime {
        let millis = u64::try_from(at.0).expect("after 1970");
        UnixTime::since_unix_epoch(std::time::Duration::from_millis(millis))
    }

    fn roots(authority: &Authority) -> Arc<rustls::RootCertStore> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.root.clone()).expect("a root");
        Arc::new(roots)
    }

    fn verifies(authority: &Authority, pem: &str, at: Millis) -> bool {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("certificates");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots(authority), provider)
            .build()
            .expect("a verifier")
            .verify_client_cert(&chain[0], &chain[1..], unix(at))
            .is_ok()
    }

    #[test]
    fn an_agents_chain_verifies_for_14_days_and_from_a_day_before() {
        let (authority, now) = (authority(), WallClock.now());
        let issued = authority.issue_agent(&AssetId::new(), &csr(), now).expect("issued").expect("a request");
        let verifies = |after| verifies(&authority, &issued.pem, now.plus(after));
        assert!(verifies(0) && verifies(13 * DAY));
        assert!(verifies(-23 * 3600 * SECOND), "for a slow clock");
        assert!(!verifies(15 * DAY) && !verifies(-2 * DAY));
        assert!(issued.expires <= now.plus(14 * DAY));
    }

    #[test]
    fn a_request_for_a_certificate_authority_gets_an_ordinary_leaf() {
        let authority = authority();
        let issued = authority
            .issue_agent(&AssetId::new(), &csr(), WallClock.now())
            .expect("issued")
            .expect("a request");
        let der = CertificateDer::from_pem_slice(issued.pem.as_bytes()).expect("a leaf");
        let (_, leaf) = x509_parser::parse_x509_certificate(&der).expect("parses");
        assert!(!leaf.is_ca());
        assert_eq!(issued.fingerprint, Digest::of(&der));
    }

    #[test]
    fn rubbish_is_not_a_request() {
        let authority = authority();
        for rubbish in ["", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"]
        {
            assert!(
                authority
                    .issue_agent(&AssetId::new(), rubbish, WallClock.now())
                    .expect("no failure")
                    .is_err()
            );
        }
    }

    #[test]
    fn the_servers_chain_verifies_by_name_and_address_up_to_the_root_it_presents() {
        use rustls::client::danger::ServerCertVerifier as _;
        let (authority, now) = (authority(), WallClock.now());
        let key = authority.issue_server(&["localhost".into(), "::1".into()], now).expect("issued");
        assert_eq!(Digest::of(&key.cert[2]), authority.fingerprint());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            rustls::client::WebPkiServerVerifier::builder_with_provider(roots(&authority), provider)
                .build()
                .expect("a verifier");
        let verify = |name: &str| {
            let name = name.to_owned().try_into().expect("a name");
            verifier.verify_server_cert(&key.cert[0], &key.cert[1..], &name, &[], unix(now))
        };
        verify("localhost").expect("by name");
        verify("::1").expect("by address");
        verify("example.org").expect_err("another name");
    }
}
