//! `GET tags`: those that are in use.

use std::sync::Arc;

use aright_shared::api::{Page, Tag};
use axum::Json;
use axum::extract::State;

use crate::api::page;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};
use crate::store::tags;

pub async fn handle(State(app): State<Arc<App>>, paged: Paged<Nothing>) -> Result<Json<Page<Tag>>, Refused> {
    let limit = paged.limit;
    let rows = app.store.read(move |conn| tags::list(conn, paged.cursor.as_deref(), limit + 1)).await?;
    Ok(Json(page(rows, limit, |tag| tag.name.clone())))
}
