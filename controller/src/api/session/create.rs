//! `POST session`: a password becomes a token.

use std::sync::Arc;

use aright_shared::api::{Login, Session};
use aright_shared::time::HOUR;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use crate::app::App;
use crate::auth::{password, token};
use crate::error::Refused;
use crate::http_in::Body;
use crate::net::Peer;
use crate::store::{StoreError, audit, sessions, users};

const LASTS: i64 = 12 * HOUR;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    Body(login): Body<Login>,
) -> Result<Json<Session>, Refused> {
    if login.user.len() > 100 || login.password.len() > 1000 {
        return Err(Refused::invalid("user", "too long", "no user is called so").remedy("log in with less"));
    }
    let now = app.now();
    let doors = [format!("user:{}", login.user), format!("address:{}", peer.ip())];
    if let Some(seconds) = app.log_ins.shut_for(&doors, now) {
        return Err(Refused::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-log-ins",
            "too many wrong log-ins",
        )
        .field("user")
        .value(&login.user)
        .remedy(format!("wait {seconds} s"))
        .retry_after(seconds));
    }
    let name = login.user.clone();
    let hash = app
        .store
        .read(move |conn| users::password_hash(conn, &name))
        .await
        .map_err(|error: StoreError| error)?;
    if !password::verify(login.password, hash).await? {
        app.log_ins.count(&doors, now);
        tracing::warn!(user = login.user, peer = %peer, "a wrong log-in");
        return Err(Refused::new(StatusCode::FORBIDDEN, "wrong-log-in", "user or password is wrong")
            .field("user")
            .value(&login.user)
            .remedy("try again, or on the controller: aright-controller admin reset"));
    }
    app.log_ins.forget(&doors);
    let secret = token::new("ars")?;
    let (digest, expires, user) = (token::digest(&secret), now.plus(LASTS), login.user);
    let session = Session { token: secret, user: user.clone(), expires };
    app.store
        .write(move |tx| {
            sessions::insert(tx, digest, &user, now, expires)?;
            let entry = audit::Entry {
                at: now,
                who: &user,
                action: "session.create",
                subject: &user,
                detail: &peer.ip().to_string(),
            };
            audit::append(tx, &entry)
        })
        .await?;
    Ok(Json(session))
}
