//! Tasks that the agent finds at its start: each is brought to an honest end. A script is never started
//! a second time.

use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskReport;

use super::TaskError;
use super::host::Host;
use super::journal::{Journal, JournalError, Step};
use super::spool::{HostLock, Pending, Spool};
use super::steps::{add_reversal, catch_up, report_undo};
use crate::undo;

const DIED: &str = "the agent or the host died in between";

/// Brings one task to its end. `None` for [`Pending::Resume`] and [`Pending::Send`], which are the
/// caller's, and where the result lies on disk already.
///
/// # Errors
/// The journal cannot be read or written.
pub fn finish(
    journal: &mut Journal,
    pending: Pending,
    spool: &Spool,
    host: &dyn Host,
    _lock: &HostLock,
) -> Result<Option<TaskReport>, TaskError> {
    let mut report = draft(journal)?;
    match pending {
        Pending::Resume | Pending::Send => return Ok(None),
        Pending::UndoLate => {
            undo::whole(journal, host.tree(), host.live(), undo::progress(journal))?;
            return Ok(None);
        }
        Pending::Interrupted => say(&mut report, HostChange::None, "the host was not touched"),
        Pending::Undo => undo_task(journal, host, &mut report)?,
        Pending::UndoTask => finish_undo_order(journal, spool, host, &mut report)?,
        // Decided before it was kept.
        Pending::Finalise => {}
        Pending::Damaged => say(
            &mut report,
            HostChange::Unknown,
            "its journal is damaged and was set aside (.damaged-TASK, with the originals); look at the declared files",
        ),
    }
    report.ended = journal.now();
    report.steps = journal.steps();
    journal.end(&report)?;
    Ok(Some(report))
}

fn draft(journal: &Journal) -> Result<TaskReport, JournalError> {
    let started = journal.when(Step::Running).unwrap_or_else(|| journal.now());
    let empty =
        || TaskReport::of(journal.task(), Outcome::Interrupted, HostChange::None, "", started, journal.now());
    Ok(journal.draft()?.unwrap_or_else(empty))
}

fn say(report: &mut TaskReport, change: HostChange, detail: &str) {
    report.outcome = Outcome::Interrupted;
    report.change = change;
    report.detail = format!("{DIED}: {detail}");
}

/// What was decided before an undo began stays decided; everything else was interrupted.
fn undo_task(journal: &mut Journal, host: &dyn Host, report: &mut TaskReport) -> Result<(), JournalError> {
    let decided = journal.has(Step::Undoing) && report.outcome != Outcome::Interrupted;
    catch_up(journal, host);
    let progress = undo::progress(journal);
    let reversal = undo::whole(journal, host.tree(), host.live(), progress)?;
    if decided {
        report.detail = format!("{} ({DIED}; undone at the next start)", report.detail);
    } else {
        say(report, HostChange::Undone, "undone at the next start");
    }
    add_reversal(report, journal, host, &reversal);
    Ok(())
}

fn finish_undo_order(
    journal: &mut Journal,
    spool: &Spool,
    host: &dyn Host,
    report: &mut TaskReport,
) -> Result<(), JournalError> {
    let of: Option<TaskId> = journal.notes(Step::Undoing).last();
    let target = match &of {
        Some(of) => spool.journal(of)?,
        None => None,
    };
    let Some(mut target) = target else {
        say(report, HostChange::Unknown, "the task to be undone is no longer here");
        return take_undone(journal);
    };
    let reversal = undo::whole(&mut target, host.tree(), host.live(), undo::Progress::Whole)?;
    report_undo(report, &mut target, host, &reversal)?;
    take_undone(journal)
}

fn take_undone(journal: &mut Journal) -> Result<(), JournalError> {
    if journal.last() == Some(Step::Undoing) { journal.take(Step::Undone) } else { Ok(()) }
}
