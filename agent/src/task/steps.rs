//! What each line of the order does, and what becomes of the task when it cannot.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use aright_shared::content::script::{Confine, Origin, Reboot, Touch};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::{Managed, Reading, Spot, Verdict};
use aright_shared::task::{Exit, Judged as JudgedReading, ScriptResult, TargetResult, TaskKind, TaskReport};
use serde::Serialize;

use super::goal::{Before, Goal, Judged, name};
use super::host::{Cancel, Compared, Host, Ran, Sight, Standing, Why};
use super::journal::{Journal, JournalError, Step};
use super::spool::{Spool, SpoolError};
use super::{CONFIRM, Task, TaskError, kept_outcome};
use crate::activate::{self, ActivateError, Awake};
use crate::commit::{self, Originals, PlaceError};
use crate::confirm::{self, Contact, Health};
use crate::diff::{self, Sources};
use crate::mask::mask;
use crate::undo::{self, Progress, Reversal, UndoError};
use crate::verify::Refused;

/// Why the order was left before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// It ends so, and the host was not touched.
    Untouched(Outcome, String),
    Refused(Refused),
    /// It ends so, once everything is undone.
    GoBack(Outcome, String, Progress),
    /// Nothing can be written down any more.
    Broken(TaskError),
}

impl Stop {
    /// The same where the host may have been changed by then.
    pub fn undoing(self) -> Self {
        match self {
            Self::Untouched(outcome, detail) => Self::GoBack(outcome, detail, Progress::Whole),
            other => other,
        }
    }
}

impl From<JournalError> for Stop {
    fn from(error: JournalError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<SpoolError> for Stop {
    fn from(error: SpoolError) -> Self {
        Self::Broken(error.into())
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

fn refuse<T>(reason: Refusal, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(Refused { reason, detail: detail.into() }))
}

fn untouched<T>(outcome: Outcome, detail: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Untouched(outcome, detail.into()))
}

/// How long the way to this host may take to be as it was before an undo, until that is said.
const AFTER_UNDO: Duration = Duration::from_secs(15);

mod back;
mod before;

pub(super) use back::{add_reversal, catch_up, report_undo};

/// One task under way, and its report as far as it is known.
pub(super) struct Run<'a> {
    task: Task<'a>,
    host: &'a dyn Host,
    spool: &'a Spool,
    contact: &'a dyn Contact,
    journal: &'a mut Journal,
    cancel: &'a Cancel,
    report: TaskReport,
    passing: Vec<Spot>,
    unmet: Vec<String>,
    awake: Vec<Awake>,
    /// Declared files that somebody else may write again.
    managed: Vec<Managed>,
}

impl<'a> Run<'a> {
    pub fn new(
        task: Task<'a>,
        host: &'a dyn Host,
        spool: &'a Spool,
        contact: &'a dyn Contact,
        journal: &'a mut Journal,
        cancel: &'a Cancel,
    ) -> Self {
        let now = journal.now();
        let mut report =
            TaskReport::of(&task.order.task, Outcome::Interrupted, HostChange::None, "", now, now);
        report.clock = task.clock;
        let (passing, unmet, awake, managed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { task, host, spool, contact, journal, cancel, report, passing, unmet, awake, managed }
    }

    /// Takes the order's steps and makes the report of whatever came of them.
    pub fn obey(mut self, order: fn(&mut Run<'a>) -> Result<(), Stop>) -> Result<TaskReport, TaskError> {
        // A resumed task was reported as running before.
        if !self.journal.has(Step::Running) {
            self.journal.take(Step::Running)?;
        }
        match order(&mut self) {
            Ok(()) => {}
            Err(Stop::Untouched(outcome, detail)) => self.say(outcome, HostChange::None, detail),
            Err(Stop::Refused(Refused { reason, detail })) => {
                self.report.refusal = Some(reason);
                self.say(Outcome::Refused, HostChange::None, detail);
            }
            Err(Stop::GoBack(outcome, detail, progress)) => self.go_back(outcome, detail, progress)?,
            Err(Stop::Broken(error)) => return Err(self.give_up(error)),
        }
        self.report.ended = self.journal.now();
        self.report.steps = self.journal.steps();
        self.journal.end(&self.report)?;
        Ok(self.report)
    }

    pub fn host(&self) -> &'a dyn Host {
        self.host
    }

    /// A wish to end it counts until the commit begins.
    pub fn take(&mut self, step: Step) -> Result<(), Stop> {
        if self.cancel.is_wanted() && step <= Step::Committing {
            return self.unwanted("before anything was committed");
        }
        Ok(self.journal.take(step)?)
    }

    fn unwanted<T>(&self, when: &str) -> Result<T, Stop> {
        match self.cancel.why() {
            Some(Why::Stopping) => untouched(
                Outcome::Interrupted,
                format!("the agent was stopped {when}; next: {}", self.task.order.kind.again()),
            ),
            Some(Why::Operator) | None => {
                untouched(Outcome::Cancelled, format!("cancelled by an operator {when}"))
            }
        }
    }

    pub fn take_with<T: Serialize>(&mut self, step: Step, note: &T) -> Result<(), Stop> {
        Ok(self.journal.take_with(step, note)?)
    }

    fn say(&mut self, outcome: Outcome, change: HostChange, detail: impl Into<String>) {
        self.report.outcome = outcome;
        self.report.change = change;
        self.report.detail = detail.into();
    }

    // On the stage

    pub fn script(&mut self, standing: Box<dyn Standing>) -> Result<Box<dyn Ran>, Stop> {
        let ran = self.script_runs(standing)?;
        self.came_to(&*ran)?;
        Ok(ran)
    }

    /// The script to its end, whatever that is.
    pub fn script_runs(&mut self, standing: Box<dyn Standing>) -> Result<Box<dyn Ran>, Stop> {
        match standing.run(self.cancel) {
            Ok(ran) => {
                self.report.script = Some(masked(ran.script()));
                Ok(ran)
            }
            Err(why) => untouched(Outcome::ScriptFailed, format!("its run did not come to an end: {why}")),
        }
    }

    /// Whether it ended by itself, and well.
    pub fn came_to(&self, ran: &dyn Ran) -> Result<(), Stop> {
        if ran.was_cancelled() {
            return self.unwanted("while the script ran");
        }
        let script = masked(ran.script());
        let said = format!("{}{}", memory(&script), last_line(&script));
        match script.exit {
            Exit::Code(0) => Ok(()),
            Exit::TimedOut => untouched(
                Outcome::TimedOut,
                format!("not done within {} s: its whole process tree was ended", self.task.script.timeout_s),
            ),
            Exit::Code(code) => untouched(Outcome::ScriptFailed, format!("exit code {code}{said}")),
            Exit::Signal(signal) => {
                untouched(Outcome::ScriptFailed, format!("ended by signal {signal}{said}"))
            }
        }
    }

    pub fn compare_staged(&mut self, ran: Box<dyn Ran>) -> Result<Box<dyn Compared>, Stop> {
        let tree = self.host.tree();
        let compared = self.changed(ran)?;
        self.compare(&*compared, &|path| tree.read_file(path))?;
        Ok(compared)
    }

    /// What the script changed.
    pub fn changed(&self, ran: Box<dyn Ran>) -> Result<Box<dyn Compared>, Stop> {
        ran.compare().or_else(|error| {
            untouched(Outcome::Overreach, format!("what it changed cannot be told: {error}"))
        })
    }

    /// Whether all that was changed may be. `before` opens the content of a file as it was before the script.
    pub fn compare(
        &mut self,
        compared: &dyn Compared,
        before: &dyn Fn(&Path) -> std::io::Result<File>,
    ) -> Result<(), Stop> {
        self.report.overreach = compared.overreach().to_vec();
        let denied = compared.changes().iter().find(|change| self.host.denies(&change.path));
        if let Some(change) = denied {
            self.report.overreach.push(aright_shared::task::Overreach {
                path: commit::place::shown(&change.path),
                what: "agent.toml denies changes of it".to_owned(),
            });
        }
        self.report.diff = self.diff(compared, before);
        if let [first, rest @ ..] = self.report.overreach.as_slice() {
            let detail = format!("{}: {}{}", first.path, first.what, more(rest.len()));
            return untouched(Outcome::Overreach, detail);
        }
        if let [first, rest @ ..] = compared.conflicts() {
            let path = commit::place::shown(first);
            let detail = format!("{path}: changed by somebody else while the script ran{}", more(rest.len()));
            return untouched(Outcome::Conflict, detail);
        }
        Ok(())
    }

    fn diff(
        &self,
        compared: &dyn Compared,
        before: &dyn Fn(&Path) -> std::io::Result<File>,
    ) -> Vec<aright_shared::task::FileDiff> {
        let after = |path: &Path| compared.open(path);
        let secret = |path: &Path| self.host.is_secret(path);
        let mut diff = diff::of(compared.changes(), &Sources { before, after: &after, secret: &secret });
        for file in &self.managed {
            for one in diff.iter_mut().filter(|one| one.path == file.path) {
                one.facts.push(format!("managed by {}, which may write it again", file.by));
            }
        }
        diff
    }

    pub fn judge(&mut self, goal: &Goal, compared: Box<dyn Compared>) -> Result<Judged, Stop> {
        let seen = compared.look(&goal.targets());
        for (result, sight) in self.report.targets.iter_mut().zip(&seen) {
            result.staged = reading(sight);
        }
        match Judged::by(goal, compared, &seen) {
            Ok(judged) => Ok(judged),
            Err(unmet) => untouched(
                Outcome::RanNotFixed,
                format!("exit 0, but still on the stage: {}", unmet.join("; ")),
            ),
        }
    }

    pub fn is_preview(&self) -> bool {
        self.task.order.kind == TaskKind::Preview
    }

    pub fn end_preview(&mut self, goal: &Goal) -> Result<(), Stop> {
        let unseen: Vec<String> =
            self.report.targets.iter().filter(|target| unjudged(target)).map(|t| name(&t.spot)).collect();
        let blind = match (self.host.sees_all(), unseen.as_slice()) {
            (true, _) => String::new(),
            (false, []) => "; owners and what only root may read were not looked at".to_owned(),
            (false, unseen) => format!(
                "; not judged, since only root sees owners, modes and secrets: {}; next: preview as root",
                unseen.join(", ")
            ),
        };
        let detail = format!("a preview: the stage came to this, the host was not touched{blind}");
        self.say(kept_outcome(goal, false), HostChange::None, detail);
        Ok(())
    }

    // On the host

    pub fn keep_originals(&mut self, judged: &Judged) -> Result<Originals, Stop> {
        let sequence = self.spool.next_sequence()?;
        let kept = commit::keep(self.host.tree(), judged, sequence, &self.journal.originals_dir());
        self.kept(kept)
    }

    /// Where there is no stage: what is declared, as it is before the script.
    pub fn keep_declared(&mut self, standing: &dyn Standing) -> Result<Originals, Stop> {
        let sequence = self.spool.next_sequence()?;
        let (dir, declared) = (self.journal.originals_dir(), standing.declared());
        let kept = Originals::keep(&dir, self.host.tree(), sequence, declared);
        self.kept(kept)
    }

    fn kept(&mut self, kept: Result<Originals, PlaceError>) -> Result<Originals, Stop> {
        match kept {
            Ok(originals) => {
                // Syncs the name of their folder too.
                self.journal.keep_draft(&self.report)?;
                Ok(originals)
            }
            Err(error) => untouched(Outcome::Conflict, error.to_string()),
        }
    }

    /// Of what is kept only what was changed, so that nothing else is ever given back.
    pub fn keep_changed(&mut self, originals: &mut Originals, compared: &dyn Compared) -> Result<(), Stop> {
        originals
            .narrow(compared.changes())
            .map_err(|error| Stop::GoBack(Outcome::Conflict, error.to_string(), Progress::Whole))
    }

    pub fn commit(&mut self, judged: &Judged, originals: &Originals) -> Result<(), Stop> {
        let tree = self.host.tree();
        commit::apply(tree, &self.task.order.task, judged, originals).map_err(|stopped| {
            let progress = Progress::Stopped { before: stopped.before };
            Stop::GoBack(Outcome::Conflict, stopped.error.to_string(), progress)
        })
    }

    pub fn activate(&mut self) -> Result<(), Stop> {
        let Self { journal, report, host, task, .. } = self;
        let persisted = |name: &str| host.persisted(name);
        let note = |planned: &activate::Planned| journal.take_with(Step::Activating, planned);
        match activate::all(host.live(), &task.script.activate, &persisted, note, &mut report.activation) {
            Ok(awake) => {
                self.awake = awake;
                Ok(())
            }
            Err(ActivateError::Journal(error)) => Err(error.into()),
            Err(ActivateError::Failed(why)) => {
                Err(Stop::GoBack(Outcome::ActivationFailed, why, Progress::Whole))
            }
        }
    }

    pub fn after(&mut self, goal: &Goal) -> Result<(), Stop> {
        let seen = self.host.look(&goal.targets());
        for (result, sight) in self.report.targets.iter_mut().zip(&seen) {
            result.after = reading(sight);
        }
        let now = self.host.verdicts();
        // Last, so that as much time as possible has passed.
        if let Some(why) = self.awake.iter().find_map(|unit| self.host.live().is_still(unit).err()) {
            return Err(Stop::GoBack(Outcome::ActivationFailed, why, Progress::Whole));
        }
        let of_goal: Vec<&Spot> = goal.spots().collect();
        let passing = self.passing.iter().filter(|spot| !of_goal.contains(spot));
        let mut regressed: Vec<Spot> =
            passing.filter(|spot| now.get(spot) != Some(&Verdict::Pass)).cloned().collect();
        regressed.extend(goal.turned(&seen));
        self.report.regressed = regressed;
        if let [first, ..] = self.report.regressed.as_slice() {
            let count = self.report.regressed.len();
            let detail = format!("{} passed before and does not now ({count} in all)", name(first));
            return Err(Stop::GoBack(Outcome::Regressed, detail, Progress::Whole));
        }
        self.unmet = goal.unmet(&seen);
        if self.unmet.is_empty() || goal.keeps_unfixed() {
            return Ok(());
        }
        let detail = format!("exit 0, but on the host: {}", self.unmet.join("; "));
        Err(Stop::GoBack(Outcome::RanNotFixed, detail, Progress::Whole))
    }

    pub fn confirm(&mut self, before: &Health) -> Result<(), Stop> {
        confirm::within(self.confirm_limit(), self.contact, before, || self.host.health())
            .map_err(|why| Stop::GoBack(Outcome::LostContact, why, Progress::Whole))
    }

    fn confirm_limit(&self) -> Duration {
        match self.task.order.confirm_s {
            0 => CONFIRM,
            seconds => Duration::from_secs(seconds.into()),
        }
    }

    /// The outcome, on disk before it is kept: a crash in between finds it.
    pub fn decide(&mut self, goal: &Goal) -> Result<(), Stop> {
        let outcome = kept_outcome(goal, !self.unmet.is_empty());
        let files = self.report.diff.len();
        let detail = match self.unmet.as_slice() {
            [] if self.host.has_stage() => {
                format!("{files} {} changed, judged on the stage and on the host", plural(files))
            }
            [] if files == 1 => "1 thing changed, judged on the host".to_owned(),
            [] => format!("{files} things changed, judged on the host"),
            unmet => format!("kept, as the script says keep_unfixed; still: {}", unmet.join("; ")),
        };
        self.say(outcome, HostChange::Kept, detail);
        self.report.ended = self.journal.now();
        Ok(self.journal.keep_draft(&self.report)?)
    }
}

fn unjudged(target: &TargetResult) -> bool {
    let pending = |judged: &JudgedReading| judged.reading == Reading::Pending;
    target.before.verdict == Verdict::Error || target.staged.as_ref().is_some_and(pending)
}

fn reading(sight: &Sight) -> Option<JudgedReading> {
    match sight {
        Sight::Seen(judged) => Some(judged.clone()),
        Sight::NotApplicable(_) => None,
    }
}

fn masked(script: &ScriptResult) -> ScriptResult {
    let mut script = script.clone();
    for output in [&mut script.stdout, &mut script.stderr] {
        output.head = mask(&output.head).into_owned();
        output.tail = mask(&output.tail).into_owned();
    }
    script
}

/// That memory was short, as part of a sentence.
fn memory(script: &ScriptResult) -> String {
    match script.oom_kills {
        0 => String::new(),
        1 => ", out of memory (1 process ended)".to_owned(),
        many => format!(", out of memory ({many} processes ended)"),
    }
}

/// The end of what a failed script said, as part of a sentence.
fn last_line(script: &ScriptResult) -> String {
    let last = |output: &aright_shared::task::Output| {
        let text = if output.tail.is_empty() { &output.head } else { &output.tail };
        text.lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .map(|line| line.chars().take(200).collect())
    };
    let line: Option<String> = last(&script.stderr).or_else(|| last(&script.stdout));
    line.map_or_else(String::new, |line| format!(": {line}"))
}

fn more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", and {others} more") }
}

fn plural(files: usize) -> &'static str {
    if files == 1 { "file" } else { "files" }
}
