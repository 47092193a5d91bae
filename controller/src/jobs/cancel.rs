//! A task is no longer wanted: it ends now where it has not begun; where it runs its agent is asked to end it,
//! and its report says whether it still could.

use std::sync::Arc;

use aright_shared::api::{JobState, Run};
use aright_shared::id::TaskId;
use aright_shared::task::{TaskKind, TaskState};
use aright_shared::time::Millis;

use crate::app::App;
use crate::dispatch::end;
use crate::error::Refused;
use crate::store::jobs::{self, Job};
use crate::store::tasks::{self, End, Task};
use crate::store::{StoreError, Tx, audit, runs};

/// One that somebody named.
///
/// # Errors
/// There is no such task, it has ended, or it is an undo under way: nothing is stored then.
pub fn one(app: &Arc<App>, tx: &Tx<'_>, id: &TaskId, user: &str) -> Result<(), Refused> {
    let wanted = tasks::get(tx, id)?.ok_or_else(|| Refused::not_found("task", id))?;
    if let Some(end) = &wanted.end {
        return Err(Refused::conflict("task-ended", "the task has ended already")
            .field("task")
            .value(format!("{}, change {}", end.outcome, end.change))
            .remedy(format!("where it keeps a change, take it back: aright task undo {id}")));
    }
    if is_way_back(&wanted) {
        return Err(Refused::conflict("undo-runs", "an undo that has begun goes to its end")
            .field("task")
            .value(wanted.state)
            .remedy("wait for its end: half of an undo would leave the host as nobody ever had it"));
    }
    let now = app.now();
    task(app, tx, &wanted, user, now)?;
    let entry = audit::Entry {
        at: now,
        who: user,
        action: "task.cancel",
        subject: id.as_str(),
        detail: wanted.state.as_str(),
    };
    Ok(audit::append(tx, &entry)?)
}

/// All runs of a job, and no further ones: it has ended.
///
/// # Errors
/// It had ended before.
pub fn job(app: &Arc<App>, tx: &Tx<'_>, job: &Job, who: &str) -> Result<(), Refused> {
    if job.state == JobState::Ended {
        return Err(Refused::conflict("nothing-to-cancel", "the job has ended")
            .field("job")
            .value(&job.name)
            .remedy("to undo what it did: aright task undo"));
    }
    let now = app.now();
    for one in runs::open(tx, &job.id)? {
        run(app, tx, &one, who, now)?;
    }
    jobs::set_next(tx, &job.id, None)?;
    // What runs still has its job active until it ends.
    jobs::set_state(tx, &job.id, JobState::Active)?;
    jobs::end_if_done(tx, &job.id)?;
    let (action, subject) = ("job.cancel", job.id.as_str());
    Ok(audit::append(tx, &audit::Entry { at: now, who, action, subject, detail: &job.name })?)
}

/// A whole run: what is pending or queued ends, what runs is asked to.
///
/// # Errors
/// The store failed.
pub fn run(app: &Arc<App>, tx: &Tx<'_>, run: &Run, who: &str, now: Millis) -> Result<(), StoreError> {
    runs::cancel(tx, &run.id, &format!("cancelled by {who}"), now)?;
    tasks::not_ended(tx, &run.id)?.iter().try_for_each(|one| task(app, tx, one, who, now))?;
    // Others that were done meanwhile end with it.
    end::finished(tx, now)?;
    jobs::end_if_done(tx, &run.job)?;
    app.changed_on_commit(tx);
    Ok(())
}

/// Ends a task or has it ended; one that has ended, and an undo that runs, are let be. Audits nothing: that is
/// for whoever knows what was asked.
///
/// # Errors
/// The store failed.
pub fn task(app: &Arc<App>, tx: &Tx<'_>, task: &Task, who: &str, now: Millis) -> Result<(), StoreError> {
    if task.state == TaskState::Ended || is_way_back(task) {
        return Ok(());
    }
    tasks::want_cancelled(tx, &task.id, who)?;
    if task.state.is_to_begin() {
        return end::by_us(app, tx, task, &not_begun(who), now);
    }
    runs::touch(tx, task.run())?;
    let (app, asset, id) = (app.clone(), task.asset.clone(), task.id.clone());
    tx.on_commit(move || {
        app.presence.ask_to_cancel(&asset, id);
        app.changed_for_watchers();
    });
    Ok(())
}

/// An undo that its agent has begun.
fn is_way_back(task: &Task) -> bool {
    task.kind == TaskKind::Undo && matches!(task.state, TaskState::Running | TaskState::Confirming)
}

fn not_begun(who: &str) -> End {
    End::cancelled(format!("cancelled by {who} before it began"))
}
