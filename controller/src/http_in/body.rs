//! JSON bodies: bounded in size and time, an error that names the field.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::error::Refused;

/// How long a body may take to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);

/// Largest body of this port, in bytes: an extension that the router sets.
#[derive(Clone, Copy)]
pub struct BodyLimit(pub usize);

/// A body that must be there.
pub struct Body<T>(pub T);

/// A body that may be left out.
pub struct MaybeBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        parse(&arrive(request).await?).map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let bytes = arrive(request).await?;
        // `null` is how some clients write nothing.
        if bytes.is_empty() || bytes.as_ref() == b"null" {
            return Ok(Self(T::default()));
        }
        parse(&bytes).map(Self)
    }
}

async fn arrive(request: Request) -> Result<axum::body::Bytes, Refused> {
    let limit = request.extensions().get::<BodyLimit>().map_or(64 * 1024, |limit| limit.0);
    let said = request
        .headers()
        .get(http::header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if let Some(said) = said.filter(|said| *said > limit) {
        return Err(too_large(&said.to_string(), limit));
    }
    match tokio::time::timeout(ARRIVAL, axum::body::to_bytes(request.into_body(), limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if causes_name_a_limit(&error) => Err(too_large(&format!("over {limit}"), limit)),
        Ok(Err(_)) => {
            Err(Refused::new(StatusCode::BAD_REQUEST, "truncated", "the body ended before its length")
                .field("body")
                .value(said.map_or_else(|| "no length".to_owned(), |said| format!("fewer than {said} bytes")))
                .remedy("send it whole"))
        }
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "the body took too long")
            .field("body")
            .value(format!("over {} s", ARRIVAL.as_secs()))
            .remedy("send it faster, or less of it")),
    }
}

fn causes_name_a_limit(error: &axum::Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        if error.to_string().contains("length limit") {
            return true;
        }
        next = error.source();
    }
    false
}

fn too_large(value: &str, limit: usize) -> Refused {
    Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "the body is too large")
        .field("body")
        .value(format!("{value} bytes"))
        .remedy(format!("send at most {limit} bytes"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

fn malformed(error: &serde_json::Error) -> Refused {
    use serde_json::error::Category;
    let text = error.to_string();
    // serde names the key between the first pair of backticks.
    let field = text.split('`').nth(1).filter(|_| text.contains("field")).unwrap_or("body").to_owned();
    let (status, kind, title, remedy) = match error.classify() {
        Category::Data => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid-body",
            "the body is not what this route takes",
            "correct the field named",
        ),
        Category::Eof => {
            (StatusCode::BAD_REQUEST, "truncated", "the body ends in the middle", "send it whole")
        }
        Category::Syntax | Category::Io => {
            (StatusCode::BAD_REQUEST, "not-json", "the body is not JSON", "send JSON")
        }
    };
    Refused::new(status, kind, title)
        .field(field)
        .value(format!("line {} column {}", error.line(), error.column()))
        .detail(text)
        .remedy(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::api::NewJob;

    fn refusal(body: &str) -> aright_shared::problem::Problem {
        parse::<NewJob>(body.as_bytes()).map(drop).expect_err("refused").problem().clone()
    }

    #[test]
    fn an_unknown_a_missing_and_a_cut_field_are_told_apart() {
        let unknown = refusal(r#"{"name": "x", "postrues": []}"#);
        assert_eq!((unknown.status, unknown.field.as_deref()), (422, Some("postrues")));
        assert_eq!(refusal("{}").field.as_deref(), Some("name"));
        assert_eq!(refusal(r#"{"name": "x", "#).kind, "truncated");
        assert_eq!(refusal("name: x").kind, "not-json");
    }
}
