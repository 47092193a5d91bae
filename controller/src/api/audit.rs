//! `GET audit`: who did what, when; newest first.

use std::sync::Arc;

use aright_shared::api::{AuditEntry, AuditFilter, Page};
use aright_shared::id::AuditId;
use axum::Json;
use axum::extract::State;

use crate::api::{bad_cursor, page};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Paged;
use crate::store::audit;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<AuditFilter>,
) -> Result<Json<Page<AuditEntry>>, Refused> {
    if let Some(cursor) = paged.cursor.as_deref().filter(|cursor| cursor.parse::<AuditId>().is_err()) {
        return Err(bad_cursor(cursor));
    }
    let limit = paged.limit;
    let rows = app
        .store
        .read(move |conn| audit::list(conn, &paged.filter, paged.cursor.as_deref(), limit + 1))
        .await?;
    Ok(Json(page(rows, limit, |entry| entry.id.to_string())))
}
