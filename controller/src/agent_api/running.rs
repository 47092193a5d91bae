//! `POST tasks/{id}/running`: the agent is about to start it. Acknowledged exactly once: whoever gets
//! no 204 does not start it.

use std::sync::Arc;

use aright_shared::id::TaskId;
use aright_shared::time::SECOND;
use aright_shared::wire::Running;
use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use super::task_of;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::store::{runs, tasks};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Id(id): Id<TaskId>,
    Body(told): Body<Running>,
) -> Result<StatusCode, Refused> {
    let now = app.now();
    {
        let mut state = live.state();
        state.touch(now);
        if let Some(reading) = told.clock {
            state.clock = Some((reading, now));
        }
        if let Some(why) = &state.quarantined {
            return Err(not_to_run("the asset is quarantined", why));
        }
    }
    let dispatch = &app.settings.dispatch;
    let silence_ms = i64::from(dispatch.confirm_s + dispatch.silence_s) * SECOND;
    let shared = app.clone();
    app.store
        .write(move |tx| {
            let task = task_of(tx, &id, &live.asset)?;
            if !tasks::start(tx, &id, &live.asset, &told.nonce, now, silence_ms)? {
                return Err(not_to_run("the task is no longer to run", task.state));
            }
            runs::touch(tx, &task.run)?;
            tx.on_commit(move || shared.changed_for_watchers());
            Ok(())
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn not_to_run(title: &str, value: impl ToString) -> Refused {
    Refused::conflict("not-to-run", title)
        .field("task")
        .value(value)
        .remedy("do not start it; report what became of it if it was started before")
}
