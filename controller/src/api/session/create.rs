//! `POST session`: a password becomes a token.

use std::net::IpAddr;
use std::sync::Arc;

use aright_shared::api::{Login, Session};
use aright_shared::time::{HOUR, Millis};
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
    let known = hash.is_some();
    if !password::verify(login.password, hash).await? {
        app.log_ins.count(&doors, now);
        note_wrong(&app, known.then(|| login.user.clone()), peer.ip(), now).await?;
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

/// Bounded, since strangers cause it and nothing of the log is ever taken away. A name that is no user's is
/// not kept: it may be a password that slipped into the wrong field.
async fn note_wrong(app: &App, user: Option<String>, from: IpAddr, now: Millis) -> Result<(), StoreError> {
    let Some(left_out) = app.wrong_log_ins.note(now) else { return Ok(()) };
    let (subject, mut detail) = (user.unwrap_or_else(|| "no user of ours".into()), format!("from {from}"));
    if left_out > 0 {
        detail.push_str(&format!("; {left_out} more before it were not written down"));
    }
    app.store
        .write(move |tx| {
            let (subject, detail) = (subject.as_str(), detail.as_str());
            let entry =
                audit::Entry { at: now, who: "controller", action: "session.refuse", subject, detail };
            audit::append(tx, &entry)
        })
        .await
}
