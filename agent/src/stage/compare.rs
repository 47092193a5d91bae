//! The frozen stage against the host: candidates from what was written, content through the merged view.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use aright_shared::task::Overreach;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{AccessFlags, access};

use super::declared::{Declared, IGNORED};
use crate::cage::channel::{By, WritableFolder};
use crate::cage::mounts::COPY_OF;
use crate::cage::plan::User;
use crate::change::{Change, ChangeSet};
use crate::meta::{Bytes, Meta, open_path, proc_path};

/// Deepest folder, counted from where the stage is writable.
const MAX_DEPTH: usize = 64;
/// Most entries that are looked at; a fix touches a handful.
const MAX_ENTRIES: usize = 10_000;
/// Most bytes that are read, host and stage together.
const MAX_BYTES: u64 = 2 << 30;
/// Most things that are reported as wrong.
const MAX_OVERREACH: usize = 100;

/// What was found; sorted by path.
pub struct Found {
    pub changes: ChangeSet,
    pub overreach: Vec<Overreach>,
    /// Changed on the stage, gone from the host since.
    pub conflicts: Vec<PathBuf>,
}

/// Looks at everything the script may have changed.
pub fn compare(
    stage: BorrowedFd<'_>,
    writable: &[(WritableFolder, OwnedFd)],
    declared: &Declared,
) -> io::Result<Found> {
    let host = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let mut comparison = Comparison {
        host,
        as_user: User::of_this_process().is_some(),
        stage,
        declared,
        changes: BTreeMap::new(),
        conflicts: Vec::new(),
        overreach: BTreeMap::new(),
        entries: 0,
        bytes: 0,
    };
    for (folder, fd) in writable {
        comparison.walk(folder, fd)?;
    }
    Ok(comparison.finish())
}

struct Comparison<'a> {
    host: OwnedFd,
    /// An ordinary user's copies: owners, modes and attributes are not the host's there.
    as_user: bool,
    stage: BorrowedFd<'a>,
    declared: &'a Declared,
    changes: BTreeMap<PathBuf, Change>,
    conflicts: Vec<PathBuf>,
    overreach: BTreeMap<PathBuf, String>,
    entries: usize,
    bytes: u64,
}

/// A folder of the upper layer, or of a copy, still to be walked.
struct Pending {
    path: PathBuf,
    fd: OwnedFd,
    depth: usize,
}

impl Comparison<'_> {
    /// Never recursive: a script can make folders thousands deep.
    fn walk(&mut self, folder: &WritableFolder, fd: &OwnedFd) -> io::Result<()> {
        self.entry(&folder.at, Some((fd, &fstat(fd)?)), folder.by);
        let top = Pending { path: folder.at.clone(), fd: fd.try_clone()?, depth: 0 };
        let mut pending = vec![top];
        while let Some(next) = pending.pop() {
            for name in self.names(&next, folder.by)? {
                if self.entries >= MAX_ENTRIES {
                    self.wrong(&next.path, format!("more than {MAX_ENTRIES} files were written"));
                    return Ok(());
                }
                self.entries += 1;
                let path = next.path.join(&name);
                if let Some(inner) = self.one(path, &next, &name, folder.by)? {
                    pending.push(inner);
                }
            }
        }
        Ok(())
    }

    /// Everything written in a folder; of a copy also what the host has there.
    fn names(&self, folder: &Pending, by: By) -> io::Result<Vec<std::ffi::OsString>> {
        // One more than the limit is enough to see that it is passed.
        let list = |fd: BorrowedFd<'_>| -> io::Result<Vec<_>> {
            fs::read_dir(proc_path(fd))?.take(MAX_ENTRIES + 1).map(|entry| Ok(entry?.file_name())).collect()
        };
        let mut names = list(folder.fd.as_fd())?;
        if by == By::Copy
            && let Some(on_host) = beneath(self.host.as_fd(), &folder.path)?
            && is(&fstat(&on_host)?, SFlag::S_IFDIR)
        {
            names.extend(list(on_host.as_fd())?);
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Judges one candidate; a folder to go into is returned.
    fn one(&mut self, path: PathBuf, parent: &Pending, name: &OsStr, by: By) -> io::Result<Option<Pending>> {
        if IGNORED.iter().any(|ignored| path == Path::new(ignored)) {
            return Ok(None);
        }
        let written = beneath(parent.fd.as_fd(), Path::new(name))?;
        if by == By::Copy && self.was_not_copied(&path, name, written.is_some())? {
            return Ok(None);
        }
        let stat = written.as_ref().map(fstat).transpose()?;
        self.entry(&path, written.as_ref().zip(stat.as_ref()), by);
        let Some((fd, _)) = written.zip(stat).filter(|(_, stat)| is(stat, SFlag::S_IFDIR)) else {
            return Ok(None);
        };
        let is_another = match by {
            By::Overlay => self.is_moved_or_replaced(&path, &fd)?,
            By::Copy => !self.as_user && self.is_no_copy_of(&path, &fd)?,
        };
        if is_another {
            return Ok(None);
        }
        if parent.depth >= MAX_DEPTH {
            self.wrong(&path, format!("lies more than {MAX_DEPTH} folders deep"));
            return Ok(None);
        }
        Ok(Some(Pending { path, fd, depth: parent.depth + 1 }))
    }

    /// Compares one path. A copy is looked at itself: in the merged view a cover may lie over it.
    fn entry(&mut self, path: &Path, written: Option<(&OwnedFd, &FileStat)>, by: By) {
        let before = beneath(self.host.as_fd(), path).and_then(|fd| self.meta(fd.as_ref()));
        let after = match by {
            By::Copy => self.meta(written.map(|(fd, _)| fd)),
            By::Overlay => beneath(self.stage, path).and_then(|fd| self.meta(fd.as_ref())),
        };
        let (before, after) = match (before, after) {
            (Ok(before), Ok(after)) if self.as_user => {
                let after = after.map(|after| as_owned_before(before.as_ref(), after));
                (before, after)
            }
            (Ok(before), Ok(after)) => (before, after),
            // Its mode was changed here alone; its content was the host's and is gone there.
            (Ok(None), Err(e)) if by == By::Overlay && is_stale(&e) => {
                return self.conflicts.push(path.to_owned());
            }
            (Err(e), _) => return self.wrong(path, format!("cannot be compared, on the host: {e}")),
            (_, Err(e)) => return self.wrong(path, format!("cannot be compared, on the stage: {e}")),
        };
        // A file opened for writing and left as it was is written anew too, and so is every parent.
        if before == after {
            return;
        }
        let change = Change { path: path.to_owned(), before, after };
        if let Err(why) = self.declared.verdict(&change) {
            self.wrong(path, why);
        } else if written.is_some_and(|(_, stat)| is(stat, SFlag::S_IFREG) && stat.st_nlink > 1) {
            self.wrong(path, "is one file under several names (hard links)".to_owned());
        }
        self.changes.insert(path.to_owned(), change);
    }

    fn meta(&mut self, fd: Option<&OwnedFd>) -> io::Result<Option<Meta>> {
        let Some(fd) = fd else { return Ok(None) };
        let stat = fstat(fd)?;
        if is(&stat, SFlag::S_IFREG) {
            self.bytes = self.bytes.saturating_add(stat.st_size.unsigned_abs());
            if self.bytes > MAX_BYTES {
                return Err(io::Error::other(format!("more than {MAX_BYTES} bytes would have to be read")));
            }
        }
        Meta::of(fd).map(Some)
    }

    /// What a copy leaves out: FIFOs, sockets, devices, and what is mounted there.
    fn was_not_copied(&self, path: &Path, name: &OsStr, is_there: bool) -> io::Result<bool> {
        let Some(parent) = beneath(self.host.as_fd(), path.parent().unwrap_or(path))? else {
            return Ok(false);
        };
        // Not by device number: in an overlay a file's differs from its folder's.
        match open_path(&parent, name) {
            Ok(fd) => {
                let stat = fstat(&fd)?;
                let copied =
                    [SFlag::S_IFREG, SFlag::S_IFDIR, SFlag::S_IFLNK].into_iter().any(|kind| is(&stat, kind));
                Ok(!is_there && (!copied || self.as_user && !may_read(&fd, &stat)))
            }
            Err(Errno::EXDEV) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Its children are then not, or not all, in the upper layer: never expanded, always too much.
    fn is_moved_or_replaced(&mut self, path: &Path, upper: &OwnedFd) -> io::Result<bool> {
        if has_overlay_xattr(upper, "redirect")? {
            self.wrong(path, "is a folder under a new name".to_owned());
            return Ok(true);
        }
        let replaced = self.is_folder_on_host(path)? && has_overlay_xattr(upper, "opaque")?;
        if replaced {
            self.wrong(path, "is a folder that was removed and made anew".to_owned());
        }
        Ok(replaced)
    }

    /// As in an overlay, whose marks a copy does not have.
    fn is_no_copy_of(&mut self, path: &Path, copy: &OwnedFd) -> io::Result<bool> {
        if !self.is_folder_on_host(path)? {
            return Ok(false);
        }
        let mut of = vec![0; nix::libc::PATH_MAX as usize];
        let what = match rustix::fs::getxattr(proc_path(copy.as_fd()), COPY_OF, &mut of) {
            Ok(length) if of[..length] == *path.as_os_str().as_bytes() => return Ok(false),
            Ok(_) => "is a folder under a new name",
            Err(rustix::io::Errno::NODATA) => "is a folder that was removed and made anew",
            Err(e) => return Err(e.into()),
        };
        self.wrong(path, what.to_owned());
        Ok(true)
    }

    fn is_folder_on_host(&self, path: &Path) -> io::Result<bool> {
        let there = beneath(self.host.as_fd(), path)?.map(|fd| fstat(&fd)).transpose()?;
        Ok(there.is_some_and(|stat| is(&stat, SFlag::S_IFDIR)))
    }

    fn wrong(&mut self, path: &Path, what: String) {
        self.overreach.insert(path.to_owned(), what);
    }

    fn finish(self) -> Found {
        let more = self.overreach.len().saturating_sub(MAX_OVERREACH);
        let named = |(path, what): (PathBuf, String)| Overreach {
            path: Bytes(path.as_os_str().as_bytes().to_owned()).to_string(),
            what,
        };
        let mut overreach: Vec<Overreach> =
            self.overreach.into_iter().take(MAX_OVERREACH).map(named).collect();
        if more > 0 {
            overreach.push(Overreach { path: "/".into(), what: format!("and {more} more") });
        }
        Found {
            changes: ChangeSet { changes: self.changes.into_values().collect() },
            overreach,
            conflicts: self.conflicts,
        }
    }
}

/// As if nothing but the content had changed: tools that could not keep the owner drop modes too.
fn as_owned_before(before: Option<&Meta>, after: Meta) -> Meta {
    match before {
        Some(before) => Meta { kind: after.kind, ..before.clone() },
        None => Meta { uid: 0, gid: 0, ..after },
    }
}

/// Whether this user could have copied it.
fn may_read(fd: &OwnedFd, stat: &FileStat) -> bool {
    is(stat, SFlag::S_IFLNK) || access(&proc_path(fd.as_fd()), AccessFlags::R_OK).is_ok()
}

fn is(stat: &FileStat, kind: SFlag) -> bool {
    stat.st_mode & SFlag::S_IFMT.bits() == kind.bits()
}

fn is_stale(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::EIO | Errno::ESTALE))
}

fn has_overlay_xattr(fd: &OwnedFd, name: &str) -> io::Result<bool> {
    let mut value = [0; 1];
    match rustix::fs::getxattr(proc_path(fd.as_fd()), format!("trusted.overlay.{name}"), &mut value) {
        Ok(_) | Err(rustix::io::Errno::RANGE) => Ok(true),
        Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

/// What lies at `path` below `root`, itself: opens nothing, follows no link anywhere.
pub fn beneath(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<OwnedFd>> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS);
    match openat2(root, inside, how) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
