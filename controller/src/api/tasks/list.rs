//! `GET tasks`.

use std::sync::Arc;

use aright_shared::api::{Page, Task, TaskFilter};
use aright_shared::id::TaskId;
use axum::Json;
use axum::extract::State;

use super::view;
use crate::api::{bad_cursor, page};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Paged;
use crate::store::tasks;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<TaskFilter>,
) -> Result<Json<Page<Task>>, Refused> {
    if let Some(cursor) = paged.cursor.as_deref().filter(|cursor| cursor.parse::<TaskId>().is_err()) {
        return Err(bad_cursor(cursor));
    }
    let limit = paged.limit;
    let rows = app
        .store
        .read(move |conn| {
            let rows = tasks::list(conn, &paged.filter, paged.cursor.as_deref(), limit + 1)?;
            rows.into_iter().map(|row| view(conn, row)).collect::<Result<Vec<_>, Refused>>()
        })
        .await?;
    Ok(Json(page(rows, limit, |task| task.id.to_string())))
}
