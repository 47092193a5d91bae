//! What the host was before a commit: contents and attributes, synced before anything is changed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::place::{PlaceError, Stamp, Tree, copy};
use crate::change::Change;
use crate::durable;
use crate::meta::{Kind, Meta};
use crate::system;

/// One thing that a task changes, and when its original was last written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    #[serde(flatten)]
    pub change: Change,
    /// Of the original; given back with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Stamp>,
    /// Under which number its content is kept, where that is not its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_as: Option<usize>,
}

impl Entry {
    /// Whether the original's content goes away, so that a copy is needed.
    fn loses_content(&self) -> bool {
        let Some(Meta { kind: Kind::File { .. }, .. }) = &self.change.before else { return false };
        !matches!((&self.change.before, &self.change.after), (Some(before), Some(after)) if before.same_content(after))
    }

    fn original_size(&self) -> u64 {
        match &self.change.before {
            Some(Meta { kind: Kind::File { size, .. }, .. }) => *size,
            _ => 0,
        }
    }
}

/// What is written down beside the contents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// Rises with each commit on this host, whatever the clock says.
    pub sequence: u64,
    /// Parents before what is in them.
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
pub struct Originals {
    dir: PathBuf,
    pub manifest: Manifest,
}

const MANIFEST: &str = "manifest.json";

impl Originals {
    /// Copies what `changes` will change into `dir`, each looked at again; synced when it returns.
    ///
    /// # Errors
    /// [`PlaceError::Clash`] when a thing is no longer what the change set says.
    pub fn keep(dir: &Path, tree: &Tree, sequence: u64, changes: Vec<Change>) -> Result<Self, PlaceError> {
        let fault = |doing, source| PlaceError::io(dir, doing, source);
        let made = system::make_private_folder(dir);
        made.map_err(|source| fault("cannot make the folder for originals", source))?;
        let entries =
            changes.into_iter().map(|change| Entry { change, mtime: None, kept_as: None }).collect();
        let mut kept = Self { dir: dir.to_owned(), manifest: Manifest { sequence, entries } };
        for n in 0..kept.manifest.entries.len() {
            kept.keep_one(tree, n)?;
        }
        kept.write_manifest().map_err(|source| fault("cannot write the manifest of originals", source))?;
        Ok(kept)
    }

    fn write_manifest(&self) -> io::Result<()> {
        durable::write(&self.dir.join(MANIFEST), &serde_json::to_vec_pretty(&self.manifest)?)
    }

    /// Of everything that was kept before a script ran, only what it changed, with what it made of it.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub fn narrow(&mut self, changes: &[Change]) -> io::Result<()> {
        let known = std::mem::take(&mut self.manifest.entries);
        let entry = |change: &Change| {
            let before = known
                .iter()
                .enumerate()
                .find(|(_, entry)| entry.change.path.as_os_str() == change.path.as_os_str());
            // A crash may have it narrowed again: the content stays where it was kept first.
            let kept = before.map(|(n, entry)| (entry.kept_as.unwrap_or(n), entry.mtime));
            let (kept_as, mtime) = kept.unzip();
            Entry { change: change.clone(), mtime: mtime.flatten(), kept_as }
        };
        self.manifest.entries = changes.iter().map(entry).collect();
        self.manifest.entries.sort_by(|a, b| a.change.path.cmp(&b.change.path));
        self.write_manifest()
    }

    /// The content that a path had.
    ///
    /// # Errors
    /// None was kept.
    pub fn open_path(&self, path: &Path) -> io::Result<File> {
        let n = self.manifest.entries.iter().position(|entry| entry.change.path == path);
        self.open(n.ok_or(io::ErrorKind::NotFound)?)
    }

    fn keep_one(&mut self, tree: &Tree, n: usize) -> Result<(), PlaceError> {
        let target = self.content(n);
        let entry = &mut self.manifest.entries[n];
        let Some(place) = tree.place(&entry.change.path)? else {
            return match &entry.change.before {
                // Its folder is itself made by this commit.
                None => Ok(()),
                before => Err(PlaceError::clash(&entry.change.path, before.as_ref(), None)),
            };
        };
        let found = place.look()?;
        if found != entry.change.before {
            return Err(place.clash(entry.change.before.as_ref(), found.as_ref()));
        }
        if found.is_some() {
            entry.mtime = Some(place.mtime()?);
        }
        if !entry.loses_content() {
            return Ok(());
        }
        let (from, mtime) = place.read()?;
        entry.mtime = Some(mtime);
        let keep = || -> io::Result<_> {
            let mut to = system::private_file().create_new(true).open(&target)?;
            let digest = copy(from, &mut to, entry.original_size())?;
            to.sync_all()?;
            Ok(digest)
        };
        let digest = keep()
            .map_err(|source| PlaceError::io(&entry.change.path, "cannot keep its original", source))?;
        match &entry.change.before {
            Some(Meta { kind: Kind::File { digest: expected, .. }, .. }) if *expected == digest => Ok(()),
            before => Err(place.clash(before.as_ref(), place.look()?.as_ref())),
        }
    }

    /// What was kept before, `None` when the commit never came so far.
    ///
    /// # Errors
    /// A manifest that cannot be read.
    pub fn load(dir: &Path) -> io::Result<Option<Self>> {
        match fs::read(dir.join(MANIFEST)) {
            Ok(bytes) => Ok(Some(Self { dir: dir.to_owned(), manifest: serde_json::from_slice(&bytes)? })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The content of one original.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open(&self, n: usize) -> io::Result<File> {
        File::open(self.content(n))
    }

    /// Where the content of one original lies; only what was taken away is kept.
    pub fn kept_as(&self, n: usize) -> Option<PathBuf> {
        self.manifest.entries.get(n).filter(|entry| entry.loses_content()).map(|_| self.content(n))
    }

    /// How much room the contents take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.manifest.entries.iter().filter(|entry| entry.loses_content()).map(Entry::original_size).sum()
    }

    fn content(&self, n: usize) -> PathBuf {
        let kept_as = self.manifest.entries.get(n).and_then(|entry| entry.kept_as);
        self.dir.join(kept_as.unwrap_or(n).to_string())
    }
}
