//! All tasks on disk: taken in, resumed after a crash, sent until acknowledged, kept for undo, pruned.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aright_shared::id::TaskId;
use aright_shared::task::{Delivery, TaskReport};
use aright_shared::time::{DAY, HOUR, Millis};
use aright_shared::wire::Undone;

use super::journal::{ClockDebug, Journal, JournalError, Step};
use super::obeyed::Obeyed;
use crate::system;

/// Most tasks whose results may wait for a controller: beyond that none is taken in.
pub const MAX_WAITING: usize = 1000;
/// How long a result stays after it was acknowledged: a controller may be restored from a backup.
const RESULT_KEPT: i64 = 24 * HOUR;

/// How long, and how much, is kept to undo with.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub megabytes: u64,
    pub days: u32,
}

/// What is to be done with a task that the agent finds at its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pending {
    /// Nothing was started: verify the order again and execute it.
    Resume,
    /// It was said to run, the script may have been started; the host is untouched.
    Interrupted,
    /// The host may be changed: undo, then `interrupted` (or what was decided before the undo).
    Undo,
    /// An undo of an ended task did not come to its end.
    UndoLate,
    /// A task of kind `undo` did not come to its end; the task that it undoes is in its note.
    UndoTask,
    /// Kept, without a result: the draft is it.
    Finalise,
    /// Its steps are unreadable: nothing is known.
    Damaged,
    /// The result waits for the controller.
    Send,
}

impl Pending {
    /// Whether the host may be neither as it was nor as it was to be.
    fn is_half_done(&self) -> bool {
        matches!(self, Self::Undo | Self::UndoLate | Self::UndoTask | Self::Finalise)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("task {0} was taken in before")]
    Known(TaskId),
    #[error("task {0} was obeyed before, and its result is no longer kept")]
    Forgotten(TaskId),
    #[error(
        "{waiting} results wait for the controller, the limit is {MAX_WAITING}: no further task is taken in"
    )]
    Full { waiting: usize },
    #[error("a task is under way on this host; next: try again when it has ended")]
    Busy,
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Whether to wait for whoever changes the host right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    ForIt,
    /// As long as it takes to note something down.
    AMoment,
    Not,
}

/// Tries of [`Wait::AMoment`], and the pause between two.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(50);

/// The right to change this host, until dropped.
#[derive(Debug)]
pub struct HostLock {
    _file: File,
}

/// A kept change that can be undone.
#[derive(Clone, Debug)]
pub struct Undoable {
    pub task: TaskId,
    /// Order of commits on this host.
    pub sequence: u64,
    pub kept: Option<Millis>,
    pub paths: Vec<PathBuf>,
    pub bytes: u64,
}

/// What pruning took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// No longer possible to undo, oldest first.
    pub originals: Vec<TaskId>,
    pub journals: usize,
}

#[derive(Clone, Debug)]
pub struct Spool {
    dir: PathBuf,
    clock: Arc<dyn ClockDebug>,
}

impl Spool {
    /// Opens (or makes) the folder of all tasks, root's alone.
    ///
    /// # Errors
    /// It cannot be made or read.
    pub fn open(dir: &Path, clock: Arc<dyn ClockDebug>) -> Result<Self, SpoolError> {
        let spool = Self { dir: dir.to_owned(), clock };
        system::make_private_folders(dir).map_err(|source| spool.fault(source))?;
        Ok(spool)
    }

    /// Held by whoever changes the host: the service, or a command beside it.
    ///
    /// # Errors
    /// [`SpoolError::Busy`] when somebody else holds it and `wait` is not meant.
    pub fn lock(&self, wait: Wait) -> Result<HostLock, SpoolError> {
        let path = self.dir.join(".lock");
        let fault = |source| SpoolError::Io { path: path.clone(), source };
        let file = system::private_file().create(true).truncate(false).open(&path).map_err(fault)?;
        let mut tries = match wait {
            Wait::ForIt => {
                file.lock().map_err(fault)?;
                return Ok(HostLock { _file: file });
            }
            Wait::AMoment => TRIES,
            Wait::Not => 0,
        };
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(HostLock { _file: file }),
                Err(fs::TryLockError::Error(source)) => return Err(fault(source)),
                Err(fs::TryLockError::WouldBlock) if tries == 0 => return Err(SpoolError::Busy),
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
            tries -= 1;
        }
    }

    /// Writes an order down before anything else is done with it.
    ///
    /// # Errors
    /// [`SpoolError::Known`] and [`SpoolError::Forgotten`] when it was taken in before, [`SpoolError::Full`].
    pub fn accept(&self, delivery: &Delivery) -> Result<Journal, SpoolError> {
        if self.dir.join(delivery.task.as_str()).exists() {
            return Err(SpoolError::Known(delivery.task.clone()));
        }
        if self.obeyed()?.has(&delivery.task) {
            return Err(SpoolError::Forgotten(delivery.task.clone()));
        }
        let waiting = self.waiting()?.len();
        if waiting >= MAX_WAITING {
            return Err(SpoolError::Full { waiting });
        }
        Ok(Journal::create(&self.dir, delivery, self.clock.clone())?)
    }

    /// # Errors
    /// Its steps cannot be read.
    pub fn journal(&self, task: &TaskId) -> Result<Option<Journal>, JournalError> {
        let dir = self.dir.join(task.as_str());
        if !dir.exists() {
            return Ok(None);
        }
        Journal::open(&dir, task.clone(), self.clock.clone()).map(Some)
    }

    /// What is to be done with each task on disk, once, when the service starts; damaged journals are set aside as `.damaged-TASK`.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn recover(&self) -> Result<Vec<(Journal, Pending)>, SpoolError> {
        for name in
            self.names()?.iter().filter(|name| name.starts_with(".new-") || name.starts_with(".gone-"))
        {
            let path = self.dir.join(name);
            fs::remove_dir_all(&path).map_err(|source| SpoolError::Io { path, source })?;
        }
        let mut all = Vec::new();
        for task in self.tasks()? {
            match self.journal(&task) {
                Ok(Some(journal)) => all.extend(pending(&journal).map(|pending| (journal, pending))),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(%task, %error, "set aside");
                    all.extend(self.set_aside(&task)?.map(|journal| (journal, Pending::Damaged)));
                }
            }
        }
        Ok(all)
    }

    /// Changes of this host that were begun and not brought to their end, beside no agent that is about it.
    ///
    /// # Errors
    /// A journal cannot be read: then nobody knows.
    pub fn cut_off(&self, _lock: &HostLock) -> Result<Vec<(Journal, Pending)>, SpoolError> {
        let mut all = Vec::new();
        for task in self.tasks()? {
            let Some(journal) = self.journal(&task)? else { continue };
            if let Some(half) = pending(&journal).filter(Pending::is_half_done) {
                all.push((journal, half));
            }
        }
        Ok(all)
    }

    /// A fresh journal in place of a damaged one, so that its end can be reported.
    fn set_aside(&self, task: &TaskId) -> Result<Option<Journal>, SpoolError> {
        let damaged = self.dir.join(format!(".damaged-{task}"));
        let fault = |source| SpoolError::Io { path: damaged.clone(), source };
        if damaged.exists() {
            fs::remove_dir_all(&damaged).map_err(fault)?;
        }
        // Should we die before its fresh journal is there it is still known.
        self.obeyed()?.add([task.clone()]).map_err(|source| self.fault(source))?;
        fs::rename(self.dir.join(task.as_str()), &damaged).map_err(fault)?;
        let bytes = fs::read(damaged.join("delivery.json")).ok();
        match bytes.and_then(|bytes| serde_json::from_slice::<Delivery>(&bytes).ok()) {
            Some(delivery) if delivery.task == *task => {
                Ok(Some(Journal::create(&self.dir, &delivery, self.clock.clone())?))
            }
            _ => Ok(None),
        }
    }

    /// Results that the controller does not have yet, oldest first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn waiting(&self) -> Result<Vec<TaskReport>, SpoolError> {
        let unsent = |journal: &Journal| journal.has(Step::Ended) && !journal.has(Step::Acknowledged);
        Ok(self.journals()?.iter().filter(|j| unsent(j)).filter_map(|j| j.result().ok().flatten()).collect())
    }

    /// Results that the controller had, as far as they are kept, each with what became of the change since.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn told(&self) -> Result<Vec<(TaskReport, Option<Undone>)>, SpoolError> {
        let told = |journal: &Journal| {
            let report = journal.has(Step::Acknowledged).then(|| journal.result().ok().flatten())??;
            Some((report, journal.undone_told()))
        };
        Ok(self.journals()?.iter().filter_map(told).collect())
    }

    /// The controller has the result. Beside a command that changes the host it is not noted, and sent once more.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn acknowledge(&self, task: &TaskId) -> Result<(), SpoolError> {
        self.note(task, |journal| match journal.has(Step::Ended) && !journal.has(Step::Acknowledged) {
            true => journal.take(Step::Acknowledged),
            false => Ok(()),
        })
    }

    /// Undone after their results, and the controller does not know: by a command on this host.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn undone_since(&self) -> Result<Vec<(TaskId, Undone)>, SpoolError> {
        let since = |journal: &Journal| Some((journal.task().clone(), journal.undone_since()?));
        Ok(self.journals()?.iter().filter_map(since).collect())
    }

    /// The controller knows of the undo; noted as [`Self::acknowledge`] does.
    ///
    /// # Errors
    /// It cannot be written down.
    pub fn acknowledge_undone(&self, task: &TaskId) -> Result<(), SpoolError> {
        self.note(task, |journal| match journal.undone_since() {
            Some(_) => journal.acknowledge_undone(),
            None => Ok(()),
        })
    }

    /// Under the lock: a command that undoes has the same journal open.
    fn note(
        &self,
        task: &TaskId,
        write: impl FnOnce(&mut Journal) -> Result<(), JournalError>,
    ) -> Result<(), SpoolError> {
        let _lock = match self.lock(Wait::Not) {
            Err(SpoolError::Busy) => return Ok(()),
            other => other?,
        };
        if let Some(mut journal) = self.journal(task)? {
            write(&mut journal)?;
        }
        Ok(())
    }

    /// What is left where tasks are kept, in bytes.
    ///
    /// # Errors
    /// Those of statvfs(3).
    pub fn free_bytes(&self) -> Result<u64, SpoolError> {
        system::free_bytes(&self.dir).map_err(|source| self.fault(source))
    }

    /// The number of the next commit on this host.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn next_sequence(&self) -> Result<u64, SpoolError> {
        let originals = self.journals()?.into_iter().filter_map(|journal| journal.originals().ok().flatten());
        Ok(originals.map(|originals| originals.manifest.sequence).max().unwrap_or(0) + 1)
    }

    /// Kept changes that can be undone, the last first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn undoable(&self) -> Result<Vec<Undoable>, SpoolError> {
        let mut all: Vec<_> = self.journals()?.iter().filter_map(undoable).collect();
        all.sort_by_key(|undoable| std::cmp::Reverse(undoable.sequence));
        Ok(all)
    }

    /// The last kept change after `task` on one of its files: it must be undone first.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn blocker(&self, task: &TaskId) -> Result<Option<(TaskId, PathBuf)>, SpoolError> {
        let all = self.undoable()?;
        let Some(own) = all.iter().find(|undoable| undoable.task == *task) else { return Ok(None) };
        let later = all.iter().filter(|other| other.sequence > own.sequence);
        let shared = |other: &Undoable| other.paths.iter().find(|path| own.paths.contains(path)).cloned();
        Ok(later.filter_map(|other| Some((other.task.clone(), shared(other)?))).next())
    }

    /// Drops what is past its time or beyond the budget, oldest first; never of a task that is under way.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub fn prune(&self, retention: Retention) -> Result<Pruned, SpoolError> {
        let mut pruned = Pruned::default();
        // Beside a command that undoes: next time.
        let _lock = match self.lock(Wait::Not) {
            Err(SpoolError::Busy) => return Ok(pruned),
            other => other?,
        };
        let now = self.clock.now();
        let days = i64::from(retention.days) * DAY;
        let mut room = retention.megabytes.saturating_mul(1_000_000);
        let mut full = false;
        for undoable in self.undoable()? {
            let old = undoable.kept.is_some_and(|kept| now.since(kept) > days);
            // Undo is last in first out: beyond the first that has no room, older ones are of no use.
            full = full || undoable.bytes > room;
            if old || full {
                self.drop(&self.dir.join(undoable.task.as_str()).join("originals"))?;
                pruned.originals.insert(0, undoable.task);
            } else {
                room -= undoable.bytes;
            }
        }
        let mut past = self.journals()?;
        past.retain(|journal| {
            let is_past = |step, limit| journal.when(step).is_some_and(|at| now.since(at) > limit);
            // Whoever mends a conflict by hand needs the originals.
            let past = is_past(Step::Acknowledged, RESULT_KEPT)
                && (!journal.has_conflicts() || is_past(Step::Undone, days));
            let is_told = journal.undone_since().is_none();
            past && is_told && !journal.is_being_undone() && undoable(journal).is_none()
        });
        if past.is_empty() {
            return Ok(pruned);
        }
        // Before the first is gone: cut short, it is known twice.
        let tasks = past.iter().map(|journal| journal.task().clone());
        self.obeyed()?.add(tasks).map_err(|source| self.fault(source))?;
        for journal in &past {
            self.drop(journal.dir())?;
            pruned.journals += 1;
        }
        Ok(pruned)
    }

    /// A folder goes whole or not at all.
    fn drop(&self, path: &Path) -> Result<(), SpoolError> {
        let fault = |source| SpoolError::Io { path: path.to_owned(), source };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let task = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        let gone = self.dir.join(format!(".gone-{task}-{name}"));
        fs::rename(path, &gone).map_err(fault)?;
        fs::remove_dir_all(&gone).map_err(fault)
    }

    fn obeyed(&self) -> Result<Obeyed, SpoolError> {
        Obeyed::open(&self.dir).map_err(|source| self.fault(source))
    }

    fn fault(&self, source: io::Error) -> SpoolError {
        SpoolError::Io { path: self.dir.clone(), source }
    }

    fn journals(&self) -> Result<Vec<Journal>, SpoolError> {
        let readable = |task: TaskId| match self.journal(&task) {
            Ok(journal) => journal,
            Err(error) => {
                tracing::error!(%task, %error, "left out");
                None
            }
        };
        Ok(self.tasks()?.into_iter().filter_map(readable).collect())
    }

    /// In order of their ids, which is that of their making.
    fn tasks(&self) -> Result<Vec<TaskId>, SpoolError> {
        let mut all: Vec<TaskId> = self.names()?.iter().filter_map(|name| name.parse().ok()).collect();
        all.sort();
        Ok(all)
    }

    fn names(&self) -> Result<Vec<String>, SpoolError> {
        let entries = fs::read_dir(&self.dir).map_err(|source| self.fault(source))?;
        entries
            .map(|entry| entry.map(|e| e.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<_>>()
            .map_err(|source| self.fault(source))
    }
}

fn pending(journal: &Journal) -> Option<Pending> {
    if journal.has(Step::Committing) {
        return match (journal.has(Step::Ended), journal.is_being_undone()) {
            (true, true) => Some(Pending::UndoLate),
            (true, false) => (!journal.has(Step::Acknowledged)).then_some(Pending::Send),
            (false, false) if journal.last() == Some(Step::Kept) => Some(Pending::Finalise),
            (false, _) => Some(Pending::Undo),
        };
    }
    if journal.has(Step::Ended) {
        return (!journal.has(Step::Acknowledged)).then_some(Pending::Send);
    }
    if journal.has(Step::Undoing) {
        return Some(Pending::UndoTask);
    }
    // Once the controller was told that it runs, a host that was rolled back to a snapshot must not begin it again.
    Some(if journal.has(Step::Running) { Pending::Interrupted } else { Pending::Resume })
}

fn undoable(journal: &Journal) -> Option<Undoable> {
    let kept = journal.when(Step::Kept)?;
    if journal.has(Step::Undone) {
        return None;
    }
    let originals = journal.originals().ok()??;
    Some(Undoable {
        task: journal.task().clone(),
        sequence: originals.manifest.sequence,
        kept: Some(kept),
        paths: originals.manifest.entries.iter().map(|entry| entry.change.path.clone()).collect(),
        bytes: originals.bytes(),
    })
}
