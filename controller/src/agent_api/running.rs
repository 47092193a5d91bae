//! `POST tasks/{id}/running`: the agent is about to start it. Acknowledged exactly once: whoever gets
//! no 204 does not start it.

use std::sync::Arc;

use aright_shared::id::TaskId;
use aright_shared::outcome::HostChange;
use aright_shared::task::TaskState;
use aright_shared::time::SECOND;
use aright_shared::wire::Running;
use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use super::task_of;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::dispatch::end;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::jobs::stop;
use crate::store::tasks::End;
use crate::store::{run_assets, runs, tasks};

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
    let refused = app
        .store
        .write(move |tx| {
            let task = task_of(tx, &id, &live.asset)?;
            if let Some(stopped) =
                stop::current(tx)?.filter(|_| task.run().is_some() && task.state.is_to_begin())
            {
                end::by_us(&shared, tx, &task, &stop::stopped_before_it_began(&stopped.by), now)?;
                return Ok(Some(not_to_run("all remediation is stopped", stopped.by)));
            }
            if shared.restored.is_some() {
                tasks::recall(tx, &id, &told.nonce)?;
            }
            if tasks::start(tx, &id, &live.asset, &told.nonce, now, silence_ms)? {
                if let Some(run) = task.run() {
                    // It may have lost its turn since this order was delivered; what runs counts.
                    run_assets::begin(tx, run, &task.asset, now)?;
                }
                runs::touch(tx, task.run())?;
                tx.on_commit(move || shared.changed_for_watchers());
                return Ok::<_, Refused>(None);
            }
            if task.state == TaskState::Running && task.nonce.as_ref() == Some(&told.nonce) {
                end::by_us(&shared, tx, &task, &asked_again(&task), now)?;
            }
            Ok(Some(not_to_run("the task is no longer to run", task.state)))
        })
        .await?;
    refused.map_or(Ok(StatusCode::NO_CONTENT), Err)
}

/// Whoever asks to start it has not started it, and will not: our 204 was lost, or the host was set
/// back to before it.
fn asked_again(task: &tasks::Task) -> End {
    let again = task.kind.again();
    let detail = format!(
        "its agent asked again to start what may start only once: the connection broke, or agent or host died, \
         just before; {again}"
    );
    End::interrupted(HostChange::None, detail)
}

fn not_to_run(title: &str, value: impl ToString) -> Refused {
    Refused::conflict("not-to-run", title)
        .field("task")
        .value(value)
        .remedy("do not start it; report what became of it if it was started before")
}
