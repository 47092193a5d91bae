//! The typed HTTPS client of agent and CLI: one pinned authority, bounded replies, one error type.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::digest::Digest;
use crate::problem::Problem;
use crate::time::Millis;
use crate::wire::MAX_BODY;

/// Why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The other side refused, and says why.
    #[error("{}", .0.sentence())]
    Problem(Box<Problem>),
    /// It asked to come back later (429, 503).
    #[error("{}; in {after_s} s", .problem.sentence())]
    Busy { problem: Box<Problem>, after_s: u64 },
    /// Not reached, or TLS refused.
    #[error("{url}: {}", causes(.source))]
    Transport { url: String, source: reqwest::Error },
    #[error("{url}: reply is not what was expected: {source}")]
    Reply { url: String, source: serde_json::Error },
    #[error("{url}: reply is over {MAX_BODY} bytes")]
    TooLarge { url: String },
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
    #[error("HTTP client: {0}")]
    Http(#[source] reqwest::Error),
}

impl ClientError {
    /// The problem document, where the other side sent one and was not merely busy.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether it is a refusal of this type, such as `revoked`.
    pub fn is(&self, kind: &str) -> bool {
        self.problem().is_some_and(|problem| problem.kind == kind)
    }

    /// Whether the other side was reached and decided: asking again would change nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Problem(problem) if (400..500).contains(&problem.status))
    }
}

/// The innermost cause: reqwest wraps it in sentences that say nothing.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

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
            .ok_or_else(|| self.another_authority(end_entity, intermediates))?;
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
    fn another_authority(&self, leaf: &CertificateDer<'_>, chain: &[CertificateDer<'_>]) -> rustls::Error {
        let last = chain.last().unwrap_or(leaf);
        let issuer = x509_parser::parse_x509_certificate(leaf)
            .map_or_else(|_| "unreadable".to_owned(), |(_, cert)| cert.issuer().to_string());
        rustls::Error::General(format!(
            "the server's authority has fingerprint {}, pinned is {} (its certificate was issued by {issuer}); \
             compare with what the controller printed, or look for a proxy that opens TLS",
            Digest::of(last),
            self.pinned.authority,
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

/// A text as one segment of a path (RFC 3986): all but unreserved bytes escaped.
pub fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// One HTTPS peer. Cloning shares the connection.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// `base` such as `https://host:8440`; `timeout` bounds a whole request.
    ///
    /// # Errors
    /// The HTTP client could not be made.
    pub fn new(base: &str, tls: rustls::ClientConfig, timeout: Duration) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(10))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(90))
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), token: None })
    }

    /// The same peer, with a bearer token (RFC 6750).
    pub fn with_token(self, token: String) -> Self {
        Self { token: Some(token), ..self }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// # Errors
    /// See [`ClientError`].
    pub async fn get<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        self.send(self.http.get(self.url(path)), path).await
    }

    /// With a query, as [`crate::api::query_pairs`] makes it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn find<R: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(String, String)],
    ) -> Result<R, ClientError> {
        self.send(self.http.get(self.url(path)).query(query), path).await
    }

    /// # Errors
    /// See [`ClientError`].
    pub async fn post<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<R, ClientError> {
        self.send(self.http.post(self.url(path)).json(body), path).await
    }

    /// # Errors
    /// See [`ClientError`].
    pub async fn put<T: Serialize + Sync, R: DeserializeOwned>(
        &self,
        path: &str,
        body: &T,
    ) -> Result<R, ClientError> {
        self.send(self.http.put(self.url(path)).json(body), path).await
    }

    /// # Errors
    /// See [`ClientError`].
    pub async fn delete<R: DeserializeOwned>(&self, path: &str) -> Result<R, ClientError> {
        self.send(self.http.delete(self.url(path)), path).await
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    async fn send<R: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
        path: &str,
    ) -> Result<R, ClientError> {
        let url = self.url(path);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let transport = |source: reqwest::Error| ClientError::Transport {
            url: url.clone(),
            source: source.without_url(),
        };
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(transport)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(ClientError::TooLarge { url });
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_success() {
            // 204 has no body: it reads as `null`, which is `()`.
            let body = if body.is_empty() { b"null".as_slice() } else { &body };
            return serde_json::from_slice(body).map_err(|source| ClientError::Reply { url, source });
        }
        let problem = serde_json::from_slice(&body).unwrap_or_else(|_| Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("refused").to_ascii_lowercase(),
            status: status.as_u16(),
            detail: None,
            field: None,
            value: None,
            remedy: None,
            items: Vec::new(),
        });
        Err(match (status.as_u16(), retry_after) {
            (503 | 429, Some(after_s)) => ClientError::Busy { problem: Box::new(problem), after_s },
            _ => ClientError::Problem(Box::new(problem)),
        })
    }
}
