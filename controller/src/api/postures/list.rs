//! `GET postures`.

use std::sync::Arc;

use aright_shared::api::{Page, Posture, PostureFilter};
use aright_shared::id::PostureId;
use axum::Json;
use axum::extract::State;

use super::view;
use crate::api::{bad_cursor, page};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Paged;
use crate::store::postures;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<PostureFilter>,
) -> Result<Json<Page<Posture>>, Refused> {
    if let Some(cursor) = paged.cursor.as_deref().filter(|cursor| cursor.parse::<PostureId>().is_err()) {
        return Err(bad_cursor(cursor));
    }
    let limit = paged.limit;
    let rows = app
        .store
        .read(move |conn| postures::list(conn, &paged.filter, paged.cursor.as_deref(), Some(limit + 1)))
        .await?;
    let Page { items, next } = page(rows, limit, |row| row.id.to_string());
    Ok(Json(Page { items: items.into_iter().filter_map(|row| view(&app, row)).collect(), next }))
}
