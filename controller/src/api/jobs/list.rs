//! `GET jobs`: newest first.

use std::sync::Arc;

use aright_shared::api::{Job, Page};
use axum::Json;
use axum::extract::State;

use super::view;
use crate::api::page;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};
use crate::store::jobs;

pub async fn handle(State(app): State<Arc<App>>, paged: Paged<Nothing>) -> Result<Json<Page<Job>>, Refused> {
    let limit = paged.limit;
    let rows = app
        .store
        .read(move |conn| {
            let rows = jobs::list(conn, paged.cursor.as_deref(), limit + 1)?;
            rows.into_iter().map(|job| view(conn, job)).collect::<Result<Vec<_>, Refused>>()
        })
        .await?;
    Ok(Json(page(rows, limit, |job| job.id.to_string())))
}
