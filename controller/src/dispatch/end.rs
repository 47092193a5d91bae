//! A task ends: by its agent's report, stored once however often it comes, or by us.

use std::sync::Arc;

use aright_shared::id::RunId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskReport;
use aright_shared::time::Millis;

use super::rollout;
use crate::app::App;
use crate::error::Refused;
use crate::store::tasks::{End, Task};
use crate::store::{StoreError, Tx, jobs, run_assets, runs, tasks};

/// Ends a task of which its agent has said nothing.
///
/// # Errors
/// The store failed.
pub fn by_us(app: &Arc<App>, tx: &Tx<'_>, task: &Task, end: &End, now: Millis) -> Result<(), StoreError> {
    tracing::info!(task.id = %task.id, outcome = %end.outcome, "a task ended without its agent");
    tasks::end(tx, &task.id, end, now)?;
    follow(app, tx, task, now)
}

/// Takes an agent's report. The first final one stands. Where we had given a running task up, its
/// agent's word replaces our guess; an end that an operator or the expiry made stays.
///
/// # Errors
/// A report that contradicts itself, or the store failed.
pub fn by_report(
    app: &Arc<App>,
    tx: &Tx<'_>,
    task: &Task,
    report: &TaskReport,
    now: Millis,
) -> Result<(), Refused> {
    check(report)?;
    // One that was restored from a backup may have forgotten that it was.
    if task.nonce.is_none() && task.ended.is_none() && app.restored.is_none() {
        return Err(Refused::conflict("not-delivered", "the task was never delivered")
            .field("task")
            .value(task.state)
            .remedy("report what was ordered"));
    }
    let before = tasks::report(tx, &task.id)?;
    if before.is_some_and(|before| before.outcome.is_final()) {
        return Ok(());
    }
    let given_up = task.end.as_ref().is_some_and(|end| end.outcome == Outcome::Interrupted);
    if task.ended.is_some() && !given_up {
        return Ok(());
    }
    let end = End {
        outcome: report.outcome,
        refusal: report.refusal,
        change: report.change,
        detail: report.detail.chars().take(4096).collect(),
    };
    tasks::end(tx, &task.id, &end, now)?;
    tasks::put_report(tx, report, now)?;
    if let Some(undone) = task.undo_of.as_ref().filter(|_| end.change != HostChange::None) {
        tasks::set_change(tx, undone, end.change)?;
        if let Some(undone) = tasks::get(tx, undone)? {
            runs::touch(tx, undone.run())?;
        }
    }
    tracing::info!(task.id = %task.id, outcome = %end.outcome, change = %end.change, "a task ended");
    Ok(follow(app, tx, task, now)?)
}

fn check(report: &TaskReport) -> Result<(), Refused> {
    let refused = report.outcome == Outcome::Refused;
    if refused != report.refusal.is_some() {
        return Err(Refused::invalid(
            "refusal",
            report.outcome,
            "refused goes with a reason, and only refused",
        )
        .remedy("send both or neither"));
    }
    // No script may ask for a reboot yet: a task that waited for one would hold up its host for ever.
    if !report.outcome.is_final() {
        return Err(
            Refused::invalid("outcome", report.outcome, "not an end").remedy("send it when it has ended")
        );
    }
    if matches!(report.outcome, Outcome::Undelivered) {
        return Err(Refused::invalid("outcome", report.outcome, "only the controller says so")
            .remedy("send what became of the task on the host"));
    }
    Ok(())
}

/// The run takes note: it may have to halt. Once that is on disk the asset's next task follows, or the run's end.
fn follow(app: &Arc<App>, tx: &Tx<'_>, task: &Task, now: Millis) -> Result<(), StoreError> {
    if let Some(run) = task.run() {
        run_assets::settle(tx, run, &task.asset, now)?;
        runs::touch(tx, Some(run))?;
        let why = runs::standing(tx, run)?.and_then(|standing| rollout::halted(&standing));
        if let Some(why) = why
            && runs::halt(tx, run, &why, now)?
        {
            tracing::warn!(run.id = %run, why, "a run halts");
            not_begun(app, tx, run, &why, now)?;
        }
    }
    let (app, asset, id) = (app.clone(), task.asset.clone(), task.id.clone());
    tx.on_commit(move || {
        app.presence.has_ended(&asset, &id);
        app.presence.offer_work([&asset]);
        app.changed();
    });
    Ok(())
}

/// Ends the runs that have nothing left to do, and jobs with them.
///
/// # Errors
/// The store failed.
pub fn finished(tx: &Tx<'_>, now: Millis) -> Result<(), StoreError> {
    for (run, job, state) in runs::finish(tx, now)? {
        tracing::info!(run.id = %run, job.id = %job, state = %state, "a run ended");
        jobs::end_if_done(tx, &job)?;
    }
    Ok(())
}

/// Ends whatever of a run has not begun.
fn not_begun(app: &Arc<App>, tx: &Tx<'_>, run: &RunId, why: &str, now: Millis) -> Result<(), StoreError> {
    let end = End::cancelled(why);
    tasks::not_begun(tx, run)?.iter().try_for_each(|task| by_us(app, tx, task, &end, now))
}
