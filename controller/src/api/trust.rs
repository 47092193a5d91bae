//! `GET trust`: what agents and people pin. `POST trust`: a higher version of the trust document, signed elsewhere.

use std::sync::Arc;

use aright_shared::api::Trust;
use aright_shared::envelope::Envelope;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Body;
use crate::succession;

pub async fn show(State(app): State<Arc<App>>) -> Json<Trust> {
    Json(app.trust().view(app.authority().fingerprint()))
}

pub async fn import(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Body(envelope): Body<Envelope>,
) -> Result<Json<Trust>, Refused> {
    let (shared, now) = (app.clone(), app.now());
    app.store.write(move |tx| succession::take(&shared, tx, &envelope, &user.name, now)).await?;
    Ok(show(State(app)).await)
}
