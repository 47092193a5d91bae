//! What must be so, whatever happened: judged by the host's files and the canary, never by the agent's word.

use anyhow::{Context as _, bail, ensure};
use aright_agent::task::journal::Step;
use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskReport;

use super::files::{self, Files};
use super::part::Act;
use super::world::{End, Found, World};

/// What a journal promises of the files before anything is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Old,
    /// Each of them is one or the other.
    Either,
    New,
}

/// What the files must be, and in which words, once everything is recovered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Untouched,
    Undone,
    Kept,
}

/// By the last step that a task took.
fn law(step: Step) -> (Promise, Fate) {
    match step {
        // Nothing was begun: it is begun now.
        Step::Accepted => (Promise::Old, Fate::Kept),
        Step::Running | Step::Before | Step::Staging | Step::Scripted | Step::Compared | Step::Judged => {
            (Promise::Old, Fate::Untouched)
        }
        Step::Committing | Step::Undoing => (Promise::Either, Fate::Undone),
        Step::Committed | Step::Activating | Step::Activated | Step::Evaluated | Step::Confirming => {
            (Promise::New, Fate::Undone)
        }
        Step::Kept | Step::Ended | Step::Acknowledged => (Promise::New, Fate::Kept),
        Step::Undone => (Promise::Old, Fate::Undone),
    }
}

/// Whether an order to undo will have undone the task, by the last step that it took.
fn undoes(step: Step) -> bool {
    match step {
        // Nothing was begun: it is begun now.
        Step::Accepted | Step::Undoing | Step::Undone => true,
        Step::Running
        | Step::Before
        | Step::Staging
        | Step::Scripted
        | Step::Compared
        | Step::Judged
        | Step::Committing
        | Step::Committed
        | Step::Activating
        | Step::Activated
        | Step::Evaluated
        | Step::Confirming
        | Step::Kept
        | Step::Ended
        | Step::Acknowledged => false,
    }
}

/// The last step but for those which say that a result was written or sent.
fn decided(steps: &[Step]) -> Option<Step> {
    let is_word = |step: &Step| matches!(step, Step::Ended | Step::Acknowledged);
    steps.iter().rev().find(|step| !is_word(step)).copied()
}

/// The files are whole, and together what the journal says, before anybody repairs them.
pub fn judge_found(world: &World, found: &Found) -> anyhow::Result<()> {
    if let Some(torn) = files::is_torn(&found.files, world.last) {
        bail!("torn: {torn}");
    }
    let promise = decided(&found.steps).map_or(Promise::Old, |step| law(step).0);
    // Who undoes a kept task says so first.
    match promise {
        Promise::Old => is(&found.files, &files::old()),
        Promise::Either => Ok(()),
        Promise::New => is(&found.files, &files::new(world.last)),
    }
    .with_context(|| format!("the journal promises {promise:?} files"))
}

/// Lets the agent start again, and judges what it made of what was found and what it says of it. Then the change,
/// if it was kept, is undone, and a further start finds nothing to do.
pub fn judge_recovery(world: &World, task: &TaskId, found: &Found) -> anyhow::Result<bool> {
    let began = world.starts(task);
    let fate = fate(found);
    let reports = said(world, Act::Recover, task)?;
    let kept = is_honest(&reports, task, found, fate)?;
    let due = if kept { files::new(world.last) } else { files::old() };
    is(&world.files()?, &due).with_context(|| told(&reports))?;
    let resumed = decided(&found.steps) == Some(Step::Accepted);
    ensure!(world.starts(task) == began + usize::from(resumed), "started by a recovery that must not");
    if kept {
        let reports = said(world, Act::Undo, task)?;
        let undo = reports.last().context("no report of the undo")?;
        ensure!((undo.outcome, undo.change) == (Outcome::Ran, HostChange::Undone), "{}", told(&reports));
    }
    said(world, Act::Recover, task)?;
    is(&world.files()?, &files::old()).context("after the undo")?;
    Ok(kept)
}

fn fate(found: &Found) -> Option<Fate> {
    let fate = law(decided(&found.steps)?).1;
    let undone = decided(&found.undo).is_some_and(undoes);
    Some(if fate == Fate::Kept && undone { Fate::Undone } else { fate })
}

/// Whether what is reported says that the change stays; an error where it is not what became of the host.
fn is_honest(
    reports: &[TaskReport],
    task: &TaskId,
    found: &Found,
    fate: Option<Fate>,
) -> anyhow::Result<bool> {
    let said = |of_task: bool| {
        let report = reports.iter().find(|report| (report.task == *task) == of_task);
        report.map(|report| (report.outcome, report.change))
    };
    let (run, undo) = (said(true), said(false));
    let due = match fate {
        None => None,
        Some(Fate::Untouched) => Some((Outcome::Interrupted, HostChange::None)),
        // What was kept, and reported so, before it was undone stays so; the order to undo has its own report.
        Some(Fate::Undone) if !found.steps.contains(&Step::Kept) => {
            Some((Outcome::Interrupted, HostChange::Undone))
        }
        Some(Fate::Undone | Fate::Kept) => Some((Outcome::Fixed, HostChange::Kept)),
    };
    ensure!(run == due, "reported {run:?} instead of {due:?}: {}", told(reports));
    let due = match decided(&found.undo) {
        None => None,
        Some(step) if undoes(step) => Some((Outcome::Ran, HostChange::Undone)),
        Some(_) => Some((Outcome::Interrupted, HostChange::None)),
    };
    ensure!(undo == due, "the undo reported {undo:?} instead of {due:?}: {}", told(reports));
    Ok(fate == Some(Fate::Kept))
}

fn told(reports: &[TaskReport]) -> String {
    let one = |report: &TaskReport| {
        format!("task {}: {}, {}: {}", report.task, report.outcome, report.change, report.detail)
    };
    reports.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn said(world: &World, act: Act, task: &TaskId) -> anyhow::Result<Vec<TaskReport>> {
    match world.live(act, task, None)? {
        End::Said(reports) => Ok(reports),
        End::Died => bail!("killed by somebody else"),
    }
}

fn is(found: &Files, due: &Files) -> anyhow::Result<()> {
    ensure!(found == due, "{}", files::differences(found, due));
    Ok(())
}
