//! `GET enroll-keys`: newest first, without secrets.

use std::sync::Arc;

use aright_shared::api::{EnrollKey, Page};
use axum::Json;
use axum::extract::State;

use crate::api::page;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};
use crate::store::enroll_keys;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<Nothing>,
) -> Result<Json<Page<EnrollKey>>, Refused> {
    let rows =
        app.store.read(move |conn| enroll_keys::list(conn, paged.cursor.as_deref(), paged.limit + 1)).await?;
    Ok(Json(page(rows, paged.limit, |key| key.id.to_string())))
}
