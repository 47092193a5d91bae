//! `GET jobs/{id}`.

use std::sync::Arc;

use aright_shared::api::Job;
use aright_shared::id::JobId;
use axum::Json;
use axum::extract::State;

use super::shown;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;

pub async fn handle(State(app): State<Arc<App>>, Id(id): Id<JobId>) -> Result<Json<Job>, Refused> {
    app.store.read(move |conn| shown(conn, &id)).await.map(Json)
}
