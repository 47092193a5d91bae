//! `GET runs/{id}`: at once, or when it has changed.

use std::sync::Arc;
use std::time::Duration;

use aright_shared::api::{MAX_WATCH_S, Run, Watch};
use aright_shared::id::RunId;
use axum::Json;
use axum::extract::State;
use tokio::time::Instant;

use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Id, Query};
use crate::store::runs;

pub async fn handle(
    State(app): State<Arc<App>>,
    Id(id): Id<RunId>,
    Query(watch): Query<Watch>,
) -> Result<Json<Run>, Refused> {
    let wait_s = watch.wait_s.unwrap_or(0);
    if wait_s > MAX_WATCH_S {
        return Err(Refused::invalid("wait_s", wait_s, "no reply is held for so long")
            .remedy(format!("at most {MAX_WATCH_S}, and ask again")));
    }
    let until = Instant::now() + Duration::from_secs(u64::from(wait_s));
    // Subscribed before the first look, so that no change falls between.
    let mut changes = app.changes.subscribe();
    loop {
        changes.mark_unchanged();
        let wanted = id.clone();
        let revision = app.store.read(move |conn| runs::revision(conn, &wanted)).await?;
        let revision = revision.ok_or_else(|| Refused::not_found("run", &id))?;
        if watch.revision != Some(revision) || Instant::now() >= until || app.is_stopping() {
            break;
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(until) => {}
            () = app.stopped() => {}
        }
    }
    let wanted = id.clone();
    let run = app.store.read(move |conn| runs::get(conn, &wanted)).await?;
    Ok(Json(run.ok_or_else(|| Refused::not_found("run", id))?))
}
