//! `GET scripts`: the newest version of each.

use std::sync::Arc;

use aright_shared::api::{Page, Script};
use axum::Json;
use axum::extract::State;

use super::view;
use crate::api::page;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};
use crate::store::scripts;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<Nothing>,
) -> Result<Json<Page<Script>>, Refused> {
    let limit = paged.limit;
    let rows = app
        .store
        .read(move |conn| {
            let rows = scripts::list(conn, paged.cursor.as_deref(), limit + 1)?;
            rows.iter().map(|row| view(conn, row)).collect::<Result<Vec<_>, Refused>>()
        })
        .await?;
    Ok(Json(page(rows, limit, |script| script.key.to_string())))
}
