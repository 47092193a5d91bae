//! `POST tasks/{id}/result`: stored once, acknowledged however often it is sent.

use std::sync::Arc;

use aright_shared::id::TaskId;
use aright_shared::task::TaskReport;
use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use super::task_of;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::dispatch::end;
use crate::error::Refused;
use crate::http_in::{Body, Id};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Id(id): Id<TaskId>,
    Body(report): Body<TaskReport>,
) -> Result<StatusCode, Refused> {
    if report.task != id {
        return Err(Refused::invalid("task", &report.task, "the report is of another task than the path")
            .remedy("send it to its own path"));
    }
    let now = app.now();
    {
        let mut state = live.state();
        state.touch(now);
        if let Some(reading) = report.clock {
            state.clock = Some((reading, now));
        }
    }
    let shared = app.clone();
    app.store
        .write(move |tx| {
            let task = task_of(tx, &id, &live.asset)?;
            end::by_report(&shared, tx, &task, &report, now)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
