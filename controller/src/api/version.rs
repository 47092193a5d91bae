//! `GET version`.

use std::sync::Arc;

use aright_shared::api::Version;
use axum::Json;
use axum::extract::State;

use crate::app::App;

pub async fn handle(State(app): State<Arc<App>>) -> Json<Version> {
    Json(Version { version: env!("CARGO_PKG_VERSION").into(), dev: app.dev })
}
