//! `GET technologies` and `controls`: the content's own documents.

use std::sync::Arc;

use aright_shared::api::Page;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;

use crate::api::bad_cursor;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};

pub async fn technologies(
    State(app): State<Arc<App>>,
    paged: Paged<Nothing>,
) -> Result<Json<Page<Value>>, Refused> {
    slice(app.content().library().technologies(), &paged)
}

pub async fn controls(
    State(app): State<Arc<App>>,
    paged: Paged<Nothing>,
) -> Result<Json<Page<Value>>, Refused> {
    slice(app.content().library().controls(), &paged)
}

/// A page of rows that are all in memory.
pub(super) fn slice<T: Serialize>(
    documents: impl Iterator<Item = T>,
    paged: &Paged<Nothing>,
) -> Result<Json<Page<Value>>, Refused> {
    let documents: Vec<T> = documents.collect();
    let from = match paged.cursor.as_deref() {
        None => 0,
        Some(cursor) => cursor.parse::<usize>().map_err(|_| bad_cursor(cursor))?.min(documents.len()),
    };
    let to = documents.len().min(from.saturating_add(usize::try_from(paged.limit).unwrap_or(usize::MAX)));
    let next = (to < documents.len()).then(|| to.to_string());
    let items = documents[from..to].iter().map(serde_json::to_value).collect::<Result<_, _>>()?;
    Ok(Json(Page { items, next }))
}
