//! `GET policies/{key}`: the one in force; a custom one that is set aside where there is no other.

use std::sync::Arc;

use aright_shared::api::PolicyDetail;
use aright_shared::id::Key;
use axum::Json;
use axum::extract::State;

use super::{detail, of_library};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;
use crate::store::policies;

pub async fn handle(State(app): State<Arc<App>>, Id(key): Id<Key>) -> Result<Json<PolicyDetail>, Refused> {
    let content = app.content();
    if let Some(document) = content.shipped().policy(&key) {
        return Ok(Json(PolicyDetail { policy: of_library(document), document: document.clone() }));
    }
    app.store
        .read(move |conn| {
            let row = policies::get(conn, &key)?.ok_or_else(|| unknown(&key))?;
            detail(&content, &row)
        })
        .await
        .map(Json)
}

pub(super) fn unknown(key: &Key) -> Refused {
    Refused::not_found("policy", key).remedy("list what there is: GET policies")
}
