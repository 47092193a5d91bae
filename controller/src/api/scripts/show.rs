//! `GET scripts/{key}`.

use std::sync::Arc;

use aright_shared::api::ScriptDetail;
use aright_shared::id::Key;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;

pub async fn handle(State(app): State<Arc<App>>, Id(key): Id<Key>) -> Result<Json<ScriptDetail>, Refused> {
    Ok(Json(super::shown(&app, key).await?))
}
