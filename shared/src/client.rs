//! The typed HTTPS client of agent and CLI: one pinned authority, bounded replies, one error type.

mod pinned;
mod route;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::wire::MAX_BODY;

pub use pinned::{ClientIdentity, Pinned, tls_config};
pub use route::{Login, Proxy, Route};

/// Why a request brought no answer. Each says all of it: none has a source that says it again.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The other side refused, and says why.
    #[error("{}", .0.sentence())]
    Problem(Box<Problem>),
    /// It asked to come back later (429, 503).
    #[error("{}; in {after_s} s", .problem.sentence())]
    Busy { problem: Box<Problem>, after_s: u64 },
    /// Not reached, or TLS refused.
    #[error("{url}: {}", route::innermost(.cause))]
    Transport { url: String, cause: reqwest::Error },
    /// The proxy that leads there did not let us through.
    #[error("{url}: {why}")]
    Proxy { url: String, why: String },
    #[error("{url}: reply is not what was expected: {cause}")]
    Reply { url: String, cause: serde_json::Error },
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

    /// Whether it was the other side that spoke, and not something on the way to it: its refusals have a type.
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Problem(problem) | Self::Busy { problem, .. } => problem.kind != "about:blank",
            _ => false,
        }
    }

    /// Whether the other side was reached and decided: asking again would change nothing.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Problem(problem) if (400..500).contains(&problem.status))
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
    route: Route,
    token: Option<String>,
}

impl Client {
    /// `base` such as `https://host:8440`; `timeout` bounds a whole request. No environment variable redirects it.
    ///
    /// # Errors
    /// The HTTP client could not be made.
    pub fn new(base: &str, tls: rustls::ClientConfig, timeout: Duration) -> Result<Self, ClientError> {
        Self::by(Route::Direct, base, tls, timeout)
    }

    /// The same by another route.
    ///
    /// # Errors
    /// The HTTP client could not be made.
    pub fn by(
        route: Route,
        base: &str,
        tls: rustls::ClientConfig,
        timeout: Duration,
    ) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .tcp_nodelay(true)
            .connect_timeout(Duration::from_secs(10))
            .timeout(timeout)
            .pool_idle_timeout(Duration::from_secs(90));
        let http = route.set(builder).and_then(reqwest::ClientBuilder::build).map_err(ClientError::Http)?;
        Ok(Self { http, base: base.trim_end_matches('/').to_owned(), route, token: None })
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
        let transport = |cause: reqwest::Error| {
            let (url, cause) = (url.clone(), cause.without_url());
            match self.route.failed(&cause) {
                Some(why) => ClientError::Proxy { url, why },
                None => ClientError::Transport { url, cause },
            }
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
            return serde_json::from_slice(body).map_err(|cause| ClientError::Reply { url, cause });
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
