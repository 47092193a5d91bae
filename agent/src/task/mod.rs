//! One task from envelope to outcome: the only place that knows the order.

pub mod fail;
pub mod goal;
#[cfg_attr(target_os = "linux", path = "here/linux.rs")]
#[cfg_attr(windows, path = "here/windows.rs")]
pub mod here;
pub mod host;
pub mod journal;
pub mod nonces;
mod obeyed;
pub mod recover;
pub mod spool;
mod steps;

use std::time::Duration;

use aright_shared::content::script::Script;
use aright_shared::outcome::Outcome;
use aright_shared::task::{ClockReading, TaskKind, TaskOrder, TaskReport};

use crate::confirm::{Contact, Health};
use goal::Goal;
use host::{Cancel, Host};
use journal::{Journal, JournalError, Step};
use spool::{Spool, SpoolError, Wait};
use steps::{Run, Stop};

/// An order that was verified, with the script that it names.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub order: &'a TaskOrder,
    pub script: &'a Script,
    /// By which it was allowed to run; goes into the report.
    pub clock: Option<ClockReading>,
}

/// Obeys one order. The journal is at [`Step::Accepted`]; when this returns it is at [`Step::Ended`] and
/// the report lies on disk.
///
/// # Errors
/// The journal cannot be written, or the lock not taken. What was committed is undone by then, and [`recover`] makes the report.
pub fn execute(
    task: Task<'_>,
    host: &dyn Host,
    spool: &Spool,
    contact: &dyn Contact,
    journal: &mut Journal,
    cancel: &Cancel,
) -> Result<TaskReport, TaskError> {
    let _lock = spool.lock(Wait::ForIt)?;
    let run = Run::new(task, host, spool, contact, journal, cancel);
    Ok(match task.order.kind {
        TaskKind::Run | TaskKind::Preview if host.has_stage() => run.obey(in_order)?,
        TaskKind::Run | TaskKind::Preview => run.obey(witnessed)?,
        TaskKind::Undo => run.obey(undo)?,
    })
}

/// A task that could not be brought to its end; what is on disk says how far it came.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// The whole order. Each line needs what the one before it yields; only a judged change
/// set can be committed.
fn in_order(run: &mut Run<'_>) -> Result<(), Stop> {
    run.may_run_here()?; //                                  else refused: unsupported, denied, guard
    run.take(Step::Before)?;
    let goal = run.before()?; //                             else already_compliant, or refused: not_failed
    let health = run.in_contact()?; //                       of lockout scripts; else refused: unreachable
    let standing = run.stage(&goal)?; //                     else refused: what cannot be committed, or confined

    run.take(Step::Staging)?;
    let ran = run.script(standing)?; //                      else timed_out, script_failed, cancelled
    run.take(Step::Scripted)?;
    let compared = run.compare_staged(ran)?; //               else overreach, conflict
    run.take(Step::Compared)?;
    let judged = run.judge(&goal, compared)?; //             else ran_not_fixed, the host untouched
    run.take(Step::Judged)?;
    if run.is_preview() {
        return run.end_preview(&goal);
    }

    let originals = run.keep_originals(&judged)?; //         else conflict, the host untouched
    run.take(Step::Committing)?;
    run.commit(&judged, &originals)?; //                     else conflict; from here on undone
    run.take(Step::Committed)?;
    on_the_host(run, &goal, health.as_ref())
}

/// Where there is no stage the script itself changes the host: what is declared is kept before, and compared after.
fn witnessed(run: &mut Run<'_>) -> Result<(), Stop> {
    run.may_run_here()?;
    run.needs_no_stage()?; //                                else refused: unsupported
    run.take(Step::Before)?;
    let goal = run.before()?;
    let health = run.in_contact()?;
    let standing = run.stage(&goal)?;

    let mut originals = run.keep_declared(&*standing)?;
    run.take(Step::Committing)?;
    let ran = run.script_runs(standing).map_err(Stop::undoing)?; // from here on undone
    let came_to = run.came_to(&*ran);
    let compared = run.changed(ran).map_err(Stop::undoing)?;
    // Before anything is judged: what was not declared goes back too, however the script ended.
    run.keep_changed(&mut originals, &*compared)?;
    came_to.map_err(Stop::undoing)?;
    run.compare(&*compared, &|path| originals.open_path(path)).map_err(Stop::undoing)?;
    run.take(Step::Committed)?;
    on_the_host(run, &goal, health.as_ref())
}

/// From changed files to a change that stays.
fn on_the_host(run: &mut Run<'_>, goal: &Goal, health: Option<&Health>) -> Result<(), Stop> {
    run.activate()?; //                                      else activation_failed
    run.take(Step::Activated)?;
    run.after(goal)?; //                                     else activation_failed, regressed, ran_not_fixed
    run.take(Step::Evaluated)?;
    if let Some(health) = health {
        run.take(Step::Confirming)?;
        run.confirm(health)?; //                             else lost_contact
    }
    run.decide(goal)?;
    run.take(Step::Kept)
}

/// An order to undo another task.
fn undo(run: &mut Run<'_>) -> Result<(), Stop> {
    let mut target = run.to_be_undone()?; //                 else refused: nothing kept, or a later one first
    let health = run.health_of_lockout();
    run.take_with(Step::Undoing, target.task())?;
    let reversal =
        crate::undo::whole(&mut target, run.host().tree(), run.host().live(), crate::undo::Progress::Whole)?;
    run.record_undo(&mut target, &reversal)?;
    if let Some(health) = health {
        run.tell_contact(&health);
    }
    run.take(Step::Undone)
}

/// Unless the order says otherwise, how long contact may take.
const CONFIRM: Duration = Duration::from_secs(300);

/// What a kept change comes to.
fn kept_outcome(goal: &Goal, unmet: bool) -> Outcome {
    match (unmet, goal.has_aim()) {
        (true, _) => Outcome::RanNotFixed,
        (false, true) => Outcome::Fixed,
        (false, false) => Outcome::Ran,
    }
}

#[cfg(test)]
mod tests;
