//! `GET policies`: in order of key; a custom one that is set aside stands behind the library's that took
//! its key.

use std::sync::Arc;

use aright_shared::api::{Page, Policy};
use axum::Json;
use axum::extract::State;
use serde_json::Value;

use super::{of_library, of_row};
use crate::api::documents::slice;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Nothing, Paged};
use crate::store::policies;

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<Nothing>,
) -> Result<Json<Page<Value>>, Refused> {
    let rows = app.store.read(policies::all).await?;
    let content = app.content();
    let mut all: Vec<Policy> = content.shipped().policies().map(of_library).collect();
    for row in &rows {
        match serde_json::from_str(&row.document) {
            Ok(document) => all.push(of_row(&content, row, &document)),
            Err(error) => tracing::error!(policy = %row.key, %error, "a policy cannot be read"),
        }
    }
    all.sort_by(|one, other| one.key.cmp(&other.key));
    slice(all.into_iter(), &paged)
}
