//! `POST assets/{id}/evaluate`: asked of the agent at its next check-in, or in the open one.

use std::sync::Arc;

use aright_shared::id::AssetId;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;

pub async fn handle(State(app): State<Arc<App>>, Id(id): Id<AssetId>) -> Result<StatusCode, Refused> {
    let live = app.presence.agent(&id).ok_or_else(|| Refused::not_found("asset", id))?;
    live.state().evaluate = true;
    live.wake();
    Ok(StatusCode::NO_CONTENT)
}
