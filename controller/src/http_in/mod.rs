//! What comes in over HTTP, parsed once and strictly: bodies, queries, ids in paths.

mod body;
mod query;

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use crate::error::Refused;

pub use body::{Body, BodyLimit, MaybeBody};
pub use query::{Nothing, Paged, Query};

/// The one `{id}` or `{key}` of a path; what is malformed names nothing, so it is not found.
pub struct Id<T>(pub T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Refused::not_found("page", parts.uri.path()))?;
        let text = params.iter().next().map_or("", |(_, value)| value);
        text.parse()
            .map(Self)
            .map_err(|_| Refused::not_found("id", text).remedy("an id as the lists show it"))
    }
}
