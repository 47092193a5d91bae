//! Certificates that we issued and do not remember.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::time::{Millis, SECOND};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use x509_parser::prelude::X509Certificate;

use super::{Authority, BACKDATED};

/// What an agent's certificate says, once it is known to be ours.
pub struct Recalled {
    pub asset: AssetId,
    pub public_key: Digest,
    pub issued: Millis,
    pub expires: Millis,
}

impl Authority {
    /// Reads an agent's certificate, if its chain leads to our root.
    ///
    /// # Errors
    /// It is another's, or none of an agent.
    pub fn recall(&self, chain: &[CertificateDer<'static>]) -> Result<Recalled> {
        let (leaf, above) = chain.split_first().context("no certificate")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(leaf)?;
        let issued = Millis(parsed.validity().not_before.timestamp() * SECOND).plus(BACKDATED);
        self.verify(leaf, above, issued)?;
        Ok(Recalled {
            asset: asset(&parsed)?,
            public_key: Digest::of(&parsed.public_key().subject_public_key.data),
            issued,
            expires: super::not_after(leaf)?,
        })
    }

    fn verify(&self, leaf: &CertificateDer<'_>, above: &[CertificateDer<'static>], at: Millis) -> Result<()> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        let at = UnixTime::since_unix_epoch(std::time::Duration::from_millis(u64::try_from(at.0)?));
        let above: Vec<_> = above.iter().cloned().chain([self.intermediate.clone()]).collect();
        verifier.verify_client_cert(leaf, &above, at)?;
        Ok(())
    }
}

fn asset(leaf: &X509Certificate<'_>) -> Result<AssetId> {
    let name = leaf.subject().iter_common_name().next().context("it names nobody")?;
    Ok(name.as_str()?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::super::tests::authority;
    use super::*;
    use aright_shared::time::{Clock as _, DAY, WallClock};
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::pem::PemObject as _;

    fn chain(authority: &Authority, asset: &AssetId, now: Millis) -> (Vec<CertificateDer<'static>>, Digest) {
        let key = KeyPair::generate().expect("a key");
        let csr = CertificateParams::default()
            .serialize_request(&key)
            .and_then(|csr| csr.pem())
            .expect("a request");
        let issued = authority.issue_agent(asset, &csr, now).expect("issued").expect("a request");
        let chain = CertificateDer::pem_slice_iter(issued.pem.as_bytes()).collect::<Result<_, _>>();
        (chain.expect("certificates"), issued.public_key)
    }

    #[test]
    fn ours_is_known_by_its_chain_and_anothers_is_not() {
        let (ours, theirs) = (authority(), authority());
        let (asset, now) = (AssetId::new(), WallClock.now());
        let (chain_of_ours, public_key) = chain(&ours, &asset, now);
        let recalled = ours.recall(&chain_of_ours).expect("ours");
        assert_eq!((&recalled.asset, recalled.public_key), (&asset, public_key));
        assert!(now.since(recalled.issued).abs() < 2 * SECOND);
        assert!(recalled.expires.since(now) > 13 * DAY);
        assert!(ours.recall(&chain(&theirs, &asset, now).0).is_err(), "another authority's");
        // Another's leaf under our intermediate.
        let mixed = [chain(&theirs, &asset, now).0[0].clone(), chain_of_ours[1].clone()];
        assert!(ours.recall(&mixed).is_err());
    }
}
