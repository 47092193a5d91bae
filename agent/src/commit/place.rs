//! One place of the host that a task changes, and how it is given back.

#[cfg_attr(target_os = "linux", path = "place/linux.rs")]
#[cfg_attr(windows, path = "place/windows.rs")]
mod system;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use aright_shared::digest::Digest;
use aright_shared::id::TaskId;

use crate::meta::{self, Meta};
pub use system::*;

#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    #[error("{path}: changed by somebody else: {}", difference(expected.as_deref(), found.as_deref()))]
    Clash { path: String, expected: Option<Box<Meta>>, found: Option<Box<Meta>> },
    #[error("{path}: changed by somebody else, whose version is kept as {aside:?} in the same folder")]
    Aside { path: String, aside: String },
    #[error("{path}: {doing}: {source}")]
    Io { path: String, doing: &'static str, source: io::Error },
}

/// In what the one that was found is another one.
fn difference(expected: Option<&Meta>, found: Option<&Meta>) -> String {
    match (expected, found) {
        (Some(expected), Some(found)) => match meta::differences(expected, found) {
            // It was another one when it was looked at in between.
            parts if parts.is_empty() => "it changed on the way".into(),
            parts => parts.join(", "),
        },
        (None, Some(found)) => format!("{} is there, and nothing was expected", meta::what(found)),
        (_, None) => "it is gone".into(),
    }
}

impl PlaceError {
    /// Something else is there.
    pub fn clash(path: &Path, expected: Option<&Meta>, found: Option<&Meta>) -> Self {
        Self::Clash {
            path: shown(path),
            expected: expected.cloned().map(Box::new),
            found: found.cloned().map(Box::new),
        }
    }

    pub fn io(path: &Path, doing: &'static str, source: io::Error) -> Self {
        Self::Io { path: shown(path), doing, source }
    }
}

impl Tree {
    /// A file of the host, open for reading.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn read_file(&self, path: &Path) -> io::Result<File> {
        let place = self.place(path).map_err(io::Error::other)?.ok_or(io::ErrorKind::NotFound)?;
        place.read().map(|(file, _)| file).map_err(io::Error::other)
    }
}

/// One change at a place: what is expected there, and what is to be there.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub from: Option<&'a Meta>,
    pub to: Option<&'a Meta>,
    /// Modification time that a rewritten file is given.
    pub mtime: Option<Stamp>,
    pub aside: &'a Aside,
}

/// A modification time, to the nanosecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Stamp {
    pub s: i64,
    pub ns: i64,
}

/// The names beside a place that belong to one entry of one task.
#[derive(Clone, Debug)]
pub struct Aside {
    whole: OsString,
    part: OsString,
    label: &'static str,
}

impl Aside {
    pub fn of_commit(task: &TaskId, entry: usize) -> Self {
        Self::named(format!(".aright-{task}-{entry}"), "commit")
    }

    pub fn of_undo(task: &TaskId, entry: usize) -> Self {
        Self::named(format!(".aright-{task}-{entry}-undo"), "undo")
    }

    fn named(name: String, label: &'static str) -> Self {
        Self { part: format!("{name}.part").into(), whole: name.into(), label }
    }
}

/// Copies exactly `size` bytes, leaving holes where there are only zeros; yields the digest of what came.
///
/// # Errors
/// The source is longer or shorter, or those of read(2) and write(2).
pub fn copy(mut from: File, to: &mut File, size: u64) -> io::Result<Digest> {
    let mut copier = Copier { from: (&mut from).take(size), to, done: 0 };
    let digest = Digest::of_reader(&mut copier)?;
    let Copier { done, .. } = copier;
    if done != size || from.read(&mut [0])? != 0 {
        return Err(io::Error::other(format!("its length is no longer {size} bytes")));
    }
    to.set_len(size)?;
    Ok(digest)
}

/// Hands through what it reads, and writes it on the way.
struct Copier<'a, R> {
    from: R,
    to: &'a mut File,
    done: u64,
}

impl<R: io::Read> io::Read for Copier<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        if buffer[..len].iter().any(|byte| *byte != 0) {
            self.to.seek(SeekFrom::Start(self.done))?;
            self.to.write_all(&buffer[..len])?;
        }
        self.done += len as u64;
        Ok(len)
    }
}
