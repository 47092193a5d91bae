//! Originals back, last in first out. Idempotent: it looks at what is there, so it can be killed and run
//! again; what somebody else changed since is reported and left alone.

use std::path::{Path, PathBuf};

use aright_shared::id::TaskId;
use aright_shared::outcome::HostChange;
use aright_shared::task::{ActivationResult, FileChange, FileDiff};

use crate::activate::{self, Live, Planned};
use crate::change::Change;
use crate::commit::place::{Aside, Place, Step};
use crate::commit::{Entry, Originals, PlaceError, Tree};
use crate::diff::{self, Sources};
use crate::task::fail;
use crate::task::journal::{Journal, JournalError, Step as Taken};
use crate::task::spool::{Spool, SpoolError, Wait};

/// What became of the files of one undo.
#[derive(Debug, Default)]
pub struct Undone {
    /// Given back, or found as they were before.
    pub restored: Vec<PathBuf>,
    /// Left as they are, each with the reason.
    pub conflicts: Vec<Conflict>,
}

/// A file that is neither what the task made of it nor what it was before.
#[derive(Debug)]
pub struct Conflict {
    /// Its number among the task's entries.
    pub entry: usize,
    pub path: PathBuf,
    pub error: PlaceError,
}

/// How far the commit had come that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every entry was in place.
    Whole,
    /// It stopped by itself: only the entries before this one can be in place.
    Stopped { before: usize },
    /// It, or an undo of it, was killed on the way: one entry, nobody knows which, may be half done.
    Torn,
}

impl Progress {
    fn may_be_half_done(self, n: usize) -> bool {
        match self {
            Self::Whole => false,
            Self::Stopped { before } => n + 1 == before,
            Self::Torn => true,
        }
    }

    fn limit(self) -> usize {
        match self {
            Self::Whole | Self::Torn => usize::MAX,
            Self::Stopped { before } => before,
        }
    }
}

/// Gives every entry its original back, in reverse order; one that cannot does not stop the others.
pub fn files(tree: &Tree, task: &TaskId, originals: &Originals, progress: Progress) -> Undone {
    let mut undone = Undone::default();
    let mut folders = std::collections::BTreeMap::new();
    for (n, entry) in originals.manifest.entries.iter().enumerate().take(progress.limit()).rev() {
        let path = entry.change.path.clone();
        match one(tree, task, originals, (n, entry), progress) {
            Ok(place) => {
                if let Some((id, place)) = place.and_then(|place| Some((place.folder_id().ok()?, place))) {
                    folders.insert(id, place);
                }
                undone.restored.push(path);
            }
            Err(error) => undone.conflicts.push(Conflict { entry: n, path, error }),
        }
        fail::point("undo", "entry");
    }
    for place in folders.values() {
        if let Err(error) = place.sync() {
            tracing::error!(%error, "an undone file may not survive a power cut");
        }
    }
    undone
}

fn one(
    tree: &Tree,
    task: &TaskId,
    originals: &Originals,
    (n, entry): (usize, &Entry),
    progress: Progress,
) -> Result<Option<Place>, PlaceError> {
    let Change { path, before, after } = &entry.change;
    let (before, after) = (before.as_ref(), after.as_ref());
    let Some(place) = tree.place(path)? else {
        return match before {
            None => Ok(None),
            Some(_) => Err(PlaceError::clash(path, after, None)),
        };
    };
    place.settle(Step { from: before, to: after, mtime: None, aside: &Aside::of_commit(task, n) })?;
    let aside = Aside::of_undo(task, n);
    let back = Step { from: after, to: before, mtime: entry.mtime, aside: &aside };
    place.settle(back)?;

    let now = place.look()?;
    if now.as_ref() == before {
        // Perhaps by an earlier undo that was killed before it was synced.
        before.map_or(Ok(()), |before| place.sync_found(before))?;
        return Ok(Some(place));
    }
    match (after, before) {
        (Some(after), Some(before)) if after.same_content(before) => {
            place.alter(after, before, progress.may_be_half_done(n))?;
        }
        _ => place.change(back, || originals.open(n))?,
    }
    Ok(Some(place))
}

/// What became of the undo of one whole task.
#[derive(Debug)]
pub struct Reversal {
    pub files: Undone,
    /// Inverse activations, in the order they were done.
    pub activations: Vec<ActivationResult>,
}

impl Reversal {
    /// `undone`, or `undo_conflict` when anything could not go back.
    pub fn change(&self) -> HostChange {
        let clean = self.files.conflicts.is_empty() && self.activations.iter().all(|result| result.ok);
        if clean { HostChange::Undone } else { HostChange::UndoConflict }
    }

    /// What could not go back, a sentence each; a service first, since its files may well be back.
    pub fn conflicts(&self) -> Vec<String> {
        let files = self.files.conflicts.iter().map(|conflict| conflict.error.to_string());
        let failed = self.activations.iter().filter(|result| !result.ok);
        failed.map(|result| format!("{}: {}", result.what, result.result)).chain(files).collect()
    }
}

/// Undoes a task as far as it came: files first, then its activations. Both are in its journal.
///
/// # Errors
/// The journal cannot be read or written; what could be undone is undone.
pub fn whole(
    journal: &mut Journal,
    tree: &Tree,
    live: &Live,
    progress: Progress,
) -> Result<Reversal, JournalError> {
    // An earlier undo was killed on the way: one entry may be half done by it.
    let progress = if journal.is_being_undone() { Progress::Torn } else { progress };
    let written = journal.take(Taken::Undoing);
    let reversal = unwritten(journal, tree, live, progress)?;
    written?;
    journal.take_with(Taken::Undone, &reversal.conflicts())?;
    Ok(reversal)
}

/// As [`whole`], without a word in the journal: for when it cannot be written.
///
/// # Errors
/// The originals cannot be read.
pub fn unwritten(
    journal: &Journal,
    tree: &Tree,
    live: &Live,
    progress: Progress,
) -> Result<Reversal, JournalError> {
    let files = match journal.originals()? {
        Some(originals) => files(tree, journal.task(), &originals, progress),
        None => Undone::default(),
    };
    let planned: Vec<Planned> = journal.notes(Taken::Activating).collect();
    Ok(Reversal { files, activations: activate::invert(live, &planned) })
}

/// How far the commit of a journal had come, as the journal alone can tell.
pub fn progress(journal: &Journal) -> Progress {
    if journal.has(Taken::Committed) { Progress::Whole } else { Progress::Torn }
}

#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    #[error("task {0} left nothing here that could be undone; `aright-agent status` lists what can")]
    Nothing(TaskId),
    #[error("no kept change is left that could be undone")]
    NoneKept,
    #[error(
        "task {task} cannot be undone before task {by}, which changed {} later; next: undo that one first",
        crate::commit::place::shown(path)
    )]
    Blocked { task: TaskId, by: TaskId, path: PathBuf },
    #[error(transparent)]
    Spool(#[from] SpoolError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// The task whose kept change is the last on this host.
///
/// # Errors
/// There is none.
pub fn last(spool: &Spool) -> Result<TaskId, UndoError> {
    spool.undoable()?.into_iter().next().map(|undoable| undoable.task).ok_or(UndoError::NoneKept)
}

/// The journal of a kept task that can be undone now.
///
/// # Errors
/// It left nothing, or a later task changed one of its files: that one must be undone first.
pub fn ready(spool: &Spool, task: &TaskId) -> Result<Journal, UndoError> {
    let nothing = || UndoError::Nothing(task.clone());
    if !spool.undoable()?.iter().any(|undoable| undoable.task == *task) {
        return Err(nothing());
    }
    if let Some((by, path)) = spool.blocker(task)? {
        return Err(UndoError::Blocked { task: task.clone(), by, path });
    }
    spool.journal(task)?.ok_or_else(nothing)
}

/// Undoes a kept task, hours or days later, beside a running service too.
///
/// # Errors
/// See [`ready`] and [`whole`]; a task is under way.
pub fn kept(
    spool: &Spool,
    task: &TaskId,
    tree: &Tree,
    live: &Live,
) -> Result<(Journal, Reversal), UndoError> {
    let _lock = spool.lock(Wait::AMoment)?;
    let mut journal = ready(spool, task)?;
    let reversal = whole(&mut journal, tree, live, Progress::Whole)?;
    Ok((journal, reversal))
}

/// Both versions of each file that was left alone: what stands there, and what the undo would have made of it.
pub fn conflict_diffs(
    journal: &Journal,
    tree: &Tree,
    undone: &Undone,
    secret: &dyn Fn(&Path) -> bool,
) -> Vec<FileDiff> {
    let Ok(Some(originals)) = journal.originals() else { return Vec::new() };
    let one = |conflict: &Conflict| -> Option<FileDiff> {
        let entry = originals.manifest.entries.get(conflict.entry)?;
        let now = tree.place(&conflict.path).ok()?.map_or(Ok(None), |place| place.look()).ok()?;
        let change = Change { path: conflict.path.clone(), before: now, after: entry.change.before.clone() };
        let present = |path: &Path| tree.read_file(path);
        // An original whose content was not taken away has no copy: the two are equal in it then or unknown.
        let original = |_: &Path| originals.open(conflict.entry);
        let sources = Sources { before: &present, after: &original, secret };
        let mut diff = diff::of(&[change], &sources).pop()?;
        let kept = originals.kept_as(conflict.entry);
        let kept =
            kept.map_or_else(String::new, |path| format!(", which is kept here as {}", path.display()));
        let why = conflict.error.to_string();
        let why = why.strip_prefix(&format!("{}: ", diff.path)).unwrap_or(&why);
        diff.change = FileChange::LeftAlone;
        diff.facts.insert(0, format!("{why}; the diff leads from what is there to the original{kept}"));
        Some(diff)
    };
    undone.conflicts.iter().filter_map(one).collect()
}
