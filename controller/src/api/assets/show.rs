//! `GET assets/{id}`.

use std::sync::Arc;

use aright_shared::api::Asset;
use aright_shared::id::AssetId;
use axum::Json;
use axum::extract::State;

use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;

pub async fn handle(State(app): State<Arc<App>>, Id(id): Id<AssetId>) -> Result<Json<Asset>, Refused> {
    Ok(Json(super::shown(&app, id).await?))
}
