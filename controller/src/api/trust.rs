//! `GET trust`: what agents and people pin.

use std::sync::Arc;

use aright_shared::api::Trust;
use axum::Json;
use axum::extract::State;

use crate::app::App;

pub async fn handle(State(app): State<Arc<App>>) -> Json<Trust> {
    Json(app.trust.view(app.authority.fingerprint()))
}
