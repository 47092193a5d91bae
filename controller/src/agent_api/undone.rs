//! `POST tasks/{id}/undone`: a kept change was taken back on the host itself. Noted once, acknowledged however
//! often it is sent.

use std::sync::Arc;

use aright_shared::id::TaskId;
use aright_shared::outcome::HostChange;
use aright_shared::task::TaskKind;
use aright_shared::time::Millis;
use aright_shared::wire::Undone;
use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use super::task_of;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::error::Refused;
use crate::http_in::{Body, Id, check_line};
use crate::presence::Live;
use crate::store::{Tx, audit, runs, tasks};

const MAX_DETAIL: usize = 4096;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Id(id): Id<TaskId>,
    Body(told): Body<Undone>,
) -> Result<StatusCode, Refused> {
    check(&told)?;
    let now = app.now();
    live.state().touch(now);
    let shared = app.clone();
    app.store.write(move |tx| take(&shared, tx, &live, &id, &told, now)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(told: &Undone) -> Result<(), Refused> {
    if !matches!(told.change, HostChange::Undone | HostChange::UndoConflict) {
        return Err(Refused::invalid("change", told.change, "an undo does not end so")
            .remedy("send undone or undo_conflict"));
    }
    check_line("detail", &told.detail, MAX_DETAIL)
}

fn take(
    app: &Arc<App>,
    tx: &Tx<'_>,
    live: &Live,
    id: &TaskId,
    told: &Undone,
    now: Millis,
) -> Result<(), Refused> {
    let task = task_of(tx, id, &live.asset)?;
    let Some(end) = &task.end else {
        return Err(Refused::conflict("not-ended", "the task has no result that could be undone")
            .field("task")
            .value(task.state)
            .remedy("send its result first"));
    };
    if task.kind != TaskKind::Run {
        return Err(Refused::conflict("nothing-to-undo", "only a run changes its host")
            .field("task")
            .value(task.kind)
            .remedy("tell what was undone, not by what"));
    }
    // Told before, or by the result of an order to undo.
    if !matches!(end.change, HostChange::Kept | HostChange::Unknown) {
        return Ok(());
    }
    tasks::set_change(tx, id, told.change)?;
    runs::touch(tx, task.run())?;
    let detail = match told.detail.as_str() {
        "" => told.change.to_string(),
        left_alone => format!("{}: {left_alone}", told.change),
    };
    let entry = audit::Entry {
        at: now,
        who: live.asset.as_str(),
        action: "task.undone_locally",
        subject: id.as_str(),
        detail: &detail,
    };
    audit::append(tx, &entry)?;
    tracing::info!(task.id = %id, asset.id = %live.asset, change = %told.change, "undone on the host itself");
    let app = app.clone();
    tx.on_commit(move || app.changed_for_watchers());
    Ok(())
}
