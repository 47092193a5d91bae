//! The steps of a task as one enum, each on disk before it is taken.
//!
//! A journal is a folder: `delivery.json` (the order as it came), `steps` (append-only; a line each:
//! checksum, JSON), `originals/`, `draft.json` (the report as far as it is known), `result.json`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aright_shared::digest::Digest;
use aright_shared::id::TaskId;
use aright_shared::outcome::HostChange;
use aright_shared::task::{Delivery, StepTaken, TaskReport};
use aright_shared::time::{Clock, Millis};
use aright_shared::wire::Undone;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::fail;
use crate::commit::Originals;
use crate::{durable, system};

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $word:literal after [$($before:ident)*],)+) => {
        /// What a task is about to do, or has just found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Step { $($(#[$doc])* #[serde(rename = $word)] $step,)+ }

        impl Step {
            pub const ALL: &'static [Self] = &[$(Self::$step,)+];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$step => $word,)+ }
            }

            /// The steps that may come right before this one; none before the first.
            fn follows(self) -> &'static [Self] {
                match self { $(Self::$step => &[$(Self::$before,)*],)+ }
            }
        }
    };
}

steps! {
    /// The order lies on disk.
    Accepted = "accepted" after [],
    /// Verified, and the controller knows that it runs.
    Running = "running" after [Accepted],
    /// The targets are being evaluated on the host.
    Before = "before" after [Running],
    /// From here on the script may have been started, and never is again.
    Staging = "staging" after [Before],
    /// The script has ended.
    Scripted = "scripted" after [Staging],
    /// What it changed is known and was declared.
    Compared = "compared" after [Scripted],
    /// The targets pass in the stage.
    Judged = "judged" after [Compared],
    /// Originals are kept; from here on the host changes: by the commit, or where there is no stage by the
    /// script itself.
    Committing = "committing" after [Judged Before],
    /// Every file is in place.
    Committed = "committed" after [Committing],
    /// One activation, named in the note with what inverts it.
    Activating = "activating" after [Committed Activating],
    /// All activations took.
    Activated = "activated" after [Committed Activating],
    /// The live host passes.
    Evaluated = "evaluated" after [Activated],
    /// Waiting for proof that nobody is locked out.
    Confirming = "confirming" after [Evaluated],
    /// The change stays.
    Kept = "kept" after [Evaluated Confirming],
    /// Files and activations are going back.
    Undoing = "undoing" after [Running Committing Committed Activating Activated Evaluated Confirming Kept Ended Acknowledged Undoing Undone],
    /// They are back, but for conflicts named in the note.
    Undone = "undone" after [Undoing],
    /// The result lies on disk.
    Ended = "ended" after [Accepted Running Before Staging Scripted Compared Judged Kept Undone],
    /// The controller has the result; with a note, it knows what became of the change since.
    Acknowledged = "acknowledged" after [Ended Undone Acknowledged],
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub step: Step,
    pub at: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<serde_json::Value>,
}

#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("journal of task {task}: {doing}: {source}")]
    Io { task: TaskId, doing: &'static str, source: io::Error },
    #[error("journal of task {task}: {step} after {last}, which is not its order")]
    Order { task: TaskId, step: Step, last: String },
    #[error("journal of task {task}: line {line} of steps was changed after it was written")]
    Spoiled { task: TaskId, line: usize },
}

/// One task on disk.
#[derive(Debug)]
pub struct Journal {
    task: TaskId,
    dir: PathBuf,
    file: File,
    /// Bytes of `steps` that are whole lines; what a crash left beyond them is cut off by the next write.
    length: u64,
    records: Vec<Record>,
    clock: Arc<dyn ClockDebug>,
}

/// A clock that can stand in a struct that derives `Debug`.
pub trait ClockDebug: Clock + std::fmt::Debug {}
impl<T: Clock + std::fmt::Debug> ClockDebug for T {}

impl Journal {
    /// Makes a journal whose first step is [`Step::Accepted`], in a folder of `all` that is there whole or
    /// not at all.
    pub(super) fn create(
        all: &Path,
        delivery: &Delivery,
        clock: Arc<dyn ClockDebug>,
    ) -> Result<Self, JournalError> {
        let task = delivery.task.clone();
        let fault = |doing| {
            let task = task.clone();
            move |source| JournalError::Io { task, doing, source }
        };
        let aside = all.join(format!(".new-{task}"));
        let make = || -> io::Result<()> {
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            fs::create_dir(&aside)?;
            File::create_new(aside.join("steps"))?;
            // Syncs both names.
            durable::write(&aside.join("delivery.json"), &serde_json::to_vec(delivery)?)
        };
        make().map_err(fault("cannot write the order down"))?;
        // Closed before its folder is renamed: Windows renames none that holds an open file.
        Self::open(&aside, task.clone(), clock.clone())?.take(Step::Accepted)?;
        let dir = all.join(task.as_str());
        let name = || fs::rename(&aside, &dir).and_then(|()| system::sync_folder(all));
        name().map_err(fault("cannot name its folder"))?;
        let journal = Self::open(&dir, task, clock)?;
        fail::point("after", "spooled");
        Ok(journal)
    }

    /// Reads the steps; a torn last line, of a crash while it was written, counts as none. Nothing is
    /// changed: another process may be writing that line right now.
    pub(super) fn open(dir: &Path, task: TaskId, clock: Arc<dyn ClockDebug>) -> Result<Self, JournalError> {
        let fault = |source| JournalError::Io { task: task.clone(), doing: "cannot read its steps", source };
        let path = dir.join("steps");
        let bytes = fs::read(&path).map_err(fault)?;
        let file = File::options().append(true).open(&path).map_err(fault)?;
        let mut records = Vec::new();
        let mut good = 0;
        for (n, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            match parse(line) {
                Some(record) => records.push(record),
                None if good + line.len() == bytes.len() => break,
                None => return Err(JournalError::Spoiled { task, line: n + 1 }),
            }
            good += line.len();
        }
        Ok(Self { task, dir: dir.to_owned(), file, length: good as u64, records, clock })
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Writes the step down, synced, before the caller takes it.
    ///
    /// # Errors
    /// It cannot be written, or is not in order: then it must not be taken.
    pub fn take(&mut self, step: Step) -> Result<(), JournalError> {
        self.write(step, None)
    }

    /// As [`Journal::take`], with what must be known to go back.
    ///
    /// # Errors
    /// As [`Journal::take`].
    pub fn take_with<T: Serialize>(&mut self, step: Step, note: &T) -> Result<(), JournalError> {
        let note =
            serde_json::to_value(note).map_err(|error| self.fault("cannot write a note", error.into()))?;
        self.write(step, Some(note))
    }

    fn write(&mut self, step: Step, note: Option<serde_json::Value>) -> Result<(), JournalError> {
        let in_order = match self.last() {
            None => step.follows().is_empty(),
            Some(last) => step.follows().contains(&last),
        };
        if !in_order {
            let last = self.last().map_or_else(|| "nothing".to_owned(), |last| last.to_string());
            return Err(JournalError::Order { task: self.task.clone(), step, last });
        }
        fail::point("before", step.as_str());
        let record = Record { step, at: self.clock.now(), note };
        let line = line(&record).map_err(|error| self.fault("cannot write a step", error.into()))?;
        self.file.set_len(self.length).map_err(|source| self.fault("cannot cut a torn step off", source))?;
        if let Err(source) = self.file.write_all(&line).and_then(|()| self.file.sync_data()) {
            // Half a line (the disk is full) must not stand before the next.
            let _ = self.file.set_len(self.length);
            return Err(self.fault("cannot write a step", source));
        }
        self.length += line.len() as u64;
        self.records.push(record);
        fail::point("after", step.as_str());
        Ok(())
    }

    pub fn last(&self) -> Option<Step> {
        self.records.last().map(|record| record.step)
    }

    pub fn has(&self, step: Step) -> bool {
        self.when(step).is_some()
    }

    /// When a step was last taken.
    pub fn when(&self, step: Step) -> Option<Millis> {
        self.records.iter().rev().find(|record| record.step == step).map(|record| record.at)
    }

    /// The notes of one step, in order.
    pub fn notes<T: DeserializeOwned>(&self, step: Step) -> impl Iterator<Item = T> {
        let notes = self.records.iter().filter(move |record| record.step == step);
        notes.filter_map(|record| T::deserialize(record.note.as_ref()?).ok())
    }

    /// Whether an undo was begun and not finished.
    pub fn is_being_undone(&self) -> bool {
        let last = |step| self.records.iter().rposition(|record| record.step == step);
        last(Step::Undoing) > last(Step::Undone)
    }

    /// Whether an undo left something as it was found.
    pub fn has_conflicts(&self) -> bool {
        self.notes::<Vec<String>>(Step::Undone).any(|conflicts| !conflicts.is_empty())
    }

    /// What became of its kept change after its result, of which the controller does not know yet.
    pub fn undone_since(&self) -> Option<Undone> {
        let last = |step| self.records.iter().rposition(|record| record.step == step);
        let is_late = self.has(Step::Acknowledged) && last(Step::Undone) > last(Step::Ended);
        let is_known = self.notes::<HostChange>(Step::Acknowledged).next().is_some();
        (is_late && !is_known && !self.is_being_undone()).then(|| self.undone())
    }

    /// As [`Self::undone_since`], where the controller was told.
    pub fn undone_told(&self) -> Option<Undone> {
        self.notes::<HostChange>(Step::Acknowledged).next().map(|_| self.undone())
    }

    /// The controller knows what became of the change since its result.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn acknowledge_undone(&mut self) -> Result<(), JournalError> {
        let change = self.undone().change;
        self.take_with(Step::Acknowledged, &change)
    }

    fn undone(&self) -> Undone {
        let conflicts: Vec<String> = self.notes(Step::Undone).last().unwrap_or_default();
        let change = if conflicts.is_empty() { HostChange::Undone } else { HostChange::UndoConflict };
        Undone { change, detail: conflicts.join("; ").chars().take(UNDONE_DETAIL).collect() }
    }

    /// As they go into the report.
    pub fn steps(&self) -> Vec<StepTaken> {
        self.records.iter().map(|r| StepTaken { step: r.step.to_string(), at: r.at }).collect()
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    // What lies beside the steps

    /// The order as it came: to be verified again by whoever uses it.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn delivery(&self) -> Result<Delivery, JournalError> {
        match self.read("delivery.json") {
            Ok(Some(delivery)) => Ok(delivery),
            Ok(None) => Err(self.fault("has no order", io::ErrorKind::NotFound.into())),
            Err(error) => Err(error),
        }
    }

    /// Where originals are kept.
    pub fn originals_dir(&self) -> PathBuf {
        self.dir.join("originals")
    }

    /// # Errors
    /// They cannot be read.
    pub fn originals(&self) -> Result<Option<Originals>, JournalError> {
        Originals::load(&self.originals_dir())
            .map_err(|source| self.fault("cannot read its originals", source))
    }

    /// Keeps the report as far as it is known, for the case that the agent dies.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn keep_draft(&self, report: &TaskReport) -> Result<(), JournalError> {
        self.store("draft.json", report)
    }

    /// # Errors
    /// It cannot be read.
    pub fn draft(&self) -> Result<Option<TaskReport>, JournalError> {
        self.read("draft.json")
    }

    /// The report that waits for the controller, and [`Step::Ended`].
    ///
    /// # Errors
    /// It cannot be written.
    pub fn end(&mut self, report: &TaskReport) -> Result<(), JournalError> {
        self.store("result.json", report)?;
        self.take(Step::Ended)
    }

    /// # Errors
    /// It cannot be read.
    pub fn result(&self) -> Result<Option<TaskReport>, JournalError> {
        self.read("result.json")
    }

    fn store<T: Serialize>(&self, name: &str, value: &T) -> Result<(), JournalError> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        bytes
            .and_then(|bytes| durable::write(&self.dir.join(name), &bytes))
            .map_err(|source| self.fault("cannot write the report", source))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, JournalError> {
        let parsed = match fs::read(self.dir.join(name)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => Err(error),
        };
        parsed.map(Some).map_err(|source| self.fault("cannot read a file of it", source))
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> JournalError {
        JournalError::Io { task: self.task.clone(), doing, source }
    }
}

/// Characters of [`Undone::detail`] that fit into its bytes, whatever they are.
const UNDONE_DETAIL: usize = 1024;

/// Hexadecimal digits of SHA-256 that are kept: against torn writes, not against forgers.
const CHECK: usize = 16;

fn line(record: &Record) -> serde_json::Result<Vec<u8>> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{} {json}\n", &Digest::of(json.as_bytes()).hex()[..CHECK]).into_bytes())
}

fn parse(line: &[u8]) -> Option<Record> {
    let text = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (check, json) = text.split_once(' ')?;
    (check == &Digest::of(json.as_bytes()).hex()[..CHECK]).then(|| serde_json::from_str(json).ok())?
}

#[cfg(test)]
mod tests;
