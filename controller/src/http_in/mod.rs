//! What comes in over HTTP, parsed once and strictly: bodies, queries, ids in paths.

mod body;
mod line;
mod query;

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::error::Refused;

pub use body::{Body, BodyLimit, MaybeBody};
pub use line::check_line;
pub use query::{Nothing, Paged, Query};

/// The first `{id}` or `{key}` of a path; what is malformed names nothing, so it is not found.
pub struct Id<T>(pub T);

/// The `{id}` of a path, and the word after it as it was meant.
pub struct IdAnd<T>(pub T, pub String);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        id(words(parts, state).await?.first().map_or("", String::as_str)).map(Self)
    }
}

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for IdAnd<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let mut words = words(parts, state).await?;
        let word = words.pop().unwrap_or_default();
        Ok(Self(id(words.first().map_or("", String::as_str))?, word))
    }
}

/// What stands for the names of a route, unescaped.
async fn words<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Vec<String>, Refused> {
    let params = RawPathParams::from_request_parts(parts, state)
        .await
        .map_err(|_| Refused::not_found("page", parts.uri.path()))?;
    Ok(params.iter().map(|(_, value)| value.to_owned()).collect())
}

fn id<T: FromStr>(text: &str) -> Result<T, Refused> {
    text.parse().map_err(|_| Refused::not_found("id", text).remedy("an id as the lists show it"))
}
