//! Originals back, last in first out. Idempotent: it looks at what is there, so it can be killed and run
//! again; what somebody else changed since is reported and left alone.

use std::path::PathBuf;

use aright_shared::id::TaskId;

use crate::commit::place::{Aside, Place, Step};
use crate::commit::{Entry, Originals, PlaceError, Tree};
use crate::stage::Change;
use crate::task::fail;

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
    /// It was killed on the way: one entry, nobody knows which, may be half done.
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
            Some(_) => Err(PlaceError::Clash {
                path: crate::commit::place::shown(path),
                expected: after.cloned().map(Box::new),
                found: None,
            }),
        };
    };
    place.settle(Step { from: before, to: after, mtime: None, aside: &Aside::of_commit(task, n) })?;
    let aside = Aside::of_undo(task, n);
    let back = Step { from: after, to: before, mtime: entry.mtime, aside: &aside };
    place.settle(back)?;

    let now = place.look()?;
    if now.as_ref() == before {
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
