//! People: a bearer token (RFC 6750) made by a log-in.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use http::header::AUTHORIZATION;

use super::token;
use crate::app::App;
use crate::error::Refused;
use crate::store::{StoreError, sessions};

/// Who is asking: an extension of every request behind [`demand`].
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    pub token: aright_shared::digest::Digest,
}

/// Lets in who carries a token that is in force.
pub async fn demand(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let refused = |value: &str| {
        Refused::new(StatusCode::UNAUTHORIZED, "log-in-required", "this route needs a log-in")
            .field("Authorization")
            .value(value)
            .remedy("log in anew: aright login")
    };
    let header = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let secret =
        header.and_then(|value| value.strip_prefix("Bearer ")).ok_or_else(|| refused("no bearer token"))?;
    let (digest, now) = (token::digest(secret), app.clock.now());
    let name = app
        .store
        .read(move |conn| sessions::user(conn, digest, now))
        .await
        .map_err(|error: StoreError| error)?;
    let name = name.ok_or_else(|| refused("a token that is not in force"))?;
    request.extensions_mut().insert(User { name, token: digest });
    Ok(next.run(request).await)
}
