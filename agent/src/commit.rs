//! From a judged change to the host: originals kept first, then each thing exchanged and verified.

pub mod originals;
pub mod place;

use std::path::{Path, PathBuf};

use aright_shared::id::TaskId;

pub use originals::{Entry, Originals};
use place::{Aside, Place, Step};
pub use place::{PlaceError, Tree};

use crate::change::Change;
use crate::meta::Meta;
use crate::task::fail;
use crate::task::goal::Judged;

/// Keeps the originals of everything that the change set touches, in `dir`; the host is only read. Folders that
/// declared files will need and that are missing are added: root's, 0755.
///
/// # Errors
/// [`PlaceError::Clash`] when the host is no longer what the change set says.
pub fn keep(tree: &Tree, judged: &Judged, sequence: u64, dir: &Path) -> Result<Originals, PlaceError> {
    keep_changes(tree, judged.changes(), sequence, dir)
}

pub(crate) fn keep_changes(
    tree: &Tree,
    changes: &[Change],
    sequence: u64,
    dir: &Path,
) -> Result<Originals, PlaceError> {
    let mut all = changes.to_vec();
    for parent in missing_parents(tree, changes)? {
        all.push(Change { path: parent, before: None, after: Some(Meta::of_made_folder()) });
    }
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Originals::keep(dir, tree, sequence, all)
}

/// Folders that no change makes and that are not there.
fn missing_parents(tree: &Tree, changes: &[Change]) -> Result<Vec<PathBuf>, PlaceError> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for change in changes.iter().filter(|change| change.after.is_some()) {
        let paths = change.path.ancestors();
        for (path, parent) in paths.zip(paths.skip(1)) {
            let known =
                |path: &Path| changes.iter().any(|c| c.path == path) || missing.iter().any(|m| m == path);
            // By what is in it, not by its name in its own parent: it may be a mount point.
            if known(parent) || tree.place(path)?.is_some() {
                break;
            }
            missing.push(parent.to_owned());
        }
    }
    Ok(missing)
}

/// Makes the host what the change set says, entry by entry.
/// On an error only the entries before [`Stopped::before`] can be in place: the caller undoes.
///
/// # Errors
/// [`PlaceError::Clash`] when a thing is no longer its kept original; it is left as it was found.
pub fn apply(tree: &Tree, task: &TaskId, judged: &Judged, originals: &Originals) -> Result<(), Stopped> {
    apply_content(tree, task, originals, |path| judged.open(path))
}

pub(crate) fn apply_content(
    tree: &Tree,
    task: &TaskId,
    originals: &Originals,
    content: impl Fn(&Path) -> std::io::Result<std::fs::File>,
) -> Result<(), Stopped> {
    let mut folders = std::collections::BTreeMap::new();
    for (n, entry) in originals.manifest.entries.iter().enumerate() {
        let placed = one(tree, &Aside::of_commit(task, n), &entry.change, &content);
        let (id, place) = placed.map_err(|error| Stopped::at(n, error))?;
        folders.insert(id, place);
        fail::point("commit", "entry");
    }
    let before = originals.manifest.entries.len();
    folders.values().try_for_each(Place::sync).map_err(|error| Stopped { before, error })
}

/// A commit that did not come to its end.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Stopped {
    /// The first entry of which nothing can be in place.
    pub before: usize,
    #[source]
    pub error: PlaceError,
}

impl Stopped {
    /// A clash leaves the entry as it was found; another error may leave it half done.
    fn at(n: usize, error: PlaceError) -> Self {
        let before = if matches!(error, PlaceError::Clash { .. }) { n } else { n + 1 };
        Self { before, error }
    }
}

fn one(
    tree: &Tree,
    aside: &Aside,
    change: &Change,
    content: impl Fn(&Path) -> std::io::Result<std::fs::File>,
) -> Result<((u64, u64), Place), PlaceError> {
    let Change { path, before, after } = change;
    let Some(place) = tree.place(path)? else {
        return Err(PlaceError::clash(path, before.as_ref(), None));
    };
    let step = Step { from: before.as_ref(), to: after.as_ref(), mtime: None, aside };
    place.change(step, || content(path))?;
    Ok((place.folder_id()?, place))
}

#[cfg(test)]
mod tests;
