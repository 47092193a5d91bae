//! `GET health`: whether the controller does its work.

use std::sync::Arc;
use std::time::Duration;

use aright_shared::api::Health;
use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::ends;
use crate::store::settings;

pub async fn handle(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let mut problems = Vec::new();
    let asked = app.store.read(|conn| settings::get(conn, "first_start"));
    if !matches!(tokio::time::timeout(Duration::from_secs(5), asked).await, Ok(Ok(_))) {
        problems.push("the database does not answer".to_owned());
    }
    let ok = problems.is_empty();
    problems.extend(ends::near(&app).iter().map(ToString::to_string));
    for aside in app.content().set_aside() {
        problems.push(format!(
            "custom policy {} is not in force ({}); next: import it so that it fits, under another key if its \
             key is taken, and remove this one: aright policy remove {0}",
            aside.key, aside.why
        ));
    }
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { ok, problems }))
}
