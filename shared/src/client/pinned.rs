//! Who is believed: whoever shows a certificate of the one pinned authority, and nobody else.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::digest::Digest;
use crate::text::plain;
use crate::time::Millis;

/// Longest name of an issuer that is quoted, in characters.
const MAX_ISSUER: usize = 200;

/// Who the client is, by certificate.
pub struct ClientIdentity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// What a connection is trusted by.
pub struct Pinned {
    /// SHA-256 of the authority's root certificate (DER).
    pub authority: Digest,
    /// The earliest that the present can be: certificates that ended before it are refused. The wall
    /// clock is not asked, so that a wrong one ends in `clock_skew` and not in a TLS error.
    pub not_before: Box<dyn Fn() -> Option<Millis> + Send + Sync>,
}

impl Pinned {
    pub fn to(authority: Digest) -> Self {
        Self { authority, not_before: Box::new(|| None) }
    }
}

impl std::fmt::Debug for Pinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "pinned to {}", self.authority)
    }
}

/// A TLS configuration that believes nobody but the pinned authority.
///
/// # Errors
/// A certificate and key that do not belong together.
pub fn tls_config(
    pinned: Pinned,
    identity: Option<ClientIdentity>,
) -> Result<rustls::ClientConfig, rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(PinnedVerifier { pinned, provider: provider.clone() });
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    match identity {
        Some(identity) => builder.with_client_auth_cert(identity.chain, identity.key),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// Ordinary path validation (RFC 5280, by webpki) up to the one certificate with the pinned
/// fingerprint, which the server sends with its chain.
#[derive(Debug)]
struct PinnedVerifier {
    pinned: Pinned,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _wall_clock: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let root = intermediates
            .iter()
            .find(|cert| Digest::of(cert) == self.pinned.authority)
            .ok_or_else(|| self.another_authority(end_entity, intermediates, server_name))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let now = self.judged_at(end_entity, intermediates)?;
        WebPkiServerVerifier::builder_with_provider(roots.into(), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl PinnedVerifier {
    fn another_authority(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> rustls::Error {
        let issuer = x509_parser::parse_x509_certificate(leaf)
            .map_or_else(|_| "nobody that can be read".to_owned(), |(_, cert)| cert.issuer().to_string());
        // Whoever opens the connection chose it.
        let issuer: String = plain(&issuer).chars().take(MAX_ISSUER).collect();
        rustls::Error::General(format!(
            "the certificate for {name} was issued by \"{issuer}\" (fingerprint {seen}), not by the pinned authority \
             ({pinned}): something on the way opens the connection, such as a TLS-inspecting proxy, or another \
             controller answers; next: have {name} exempted from TLS inspection, or compare the fingerprint with what \
             the controller printed",
            name = name.to_str(),
            seen = Digest::of(chain.last().unwrap_or(leaf)),
            pinned = self.pinned.authority,
        ))
    }

    /// The latest of what we know of the present and of the certificates' own beginnings.
    fn judged_at(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
    ) -> Result<UnixTime, rustls::Error> {
        let mut seconds = (self.pinned.not_before)().map_or(0, |known| known.0.div_euclid(1000));
        for cert in chain.iter().chain([leaf]) {
            let (_, cert) = x509_parser::parse_x509_certificate(cert)
                .map_err(|error| rustls::Error::General(format!("the server's certificate: {error}")))?;
            seconds = seconds.max(cert.validity().not_before.timestamp());
        }
        Ok(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))))
    }
}
