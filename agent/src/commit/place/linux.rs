//! One name in one folder, and how it is changed so that a kill at any moment leaves the old thing or
//! the new one there, never neither and never somebody else's work lost.
//!
//! The new thing is built aside in the same folder, in three names: `….part` while it is written (always
//! ours), `.aright-TASK-N` once it is whole, which then is exchanged with the original; the original is
//! looked at *after* the exchange and put back if it is not the one that was expected. What lies at the
//! aside name after a kill is therefore either ours or displaced, and [`Place::settle`] can tell.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{Mode, UtimensatFlags, fchmodat, fstat, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchownat, symlinkat, unlinkat};
use rustix::fs::{RenameFlags, renameat_with};

use super::{Aside, PlaceError, Stamp, Step, copy};
use crate::meta::{Kind, Meta, open_path, proc_path, reopen, set_xattrs, told};
use crate::task::fail;

/// Where changes go: the root of the host's tree (`/`, or a view of it), held open.
#[derive(Debug)]
pub struct Tree {
    root: OwnedFd,
}

impl Tree {
    /// # Errors
    /// It is no folder that can be opened.
    pub fn open(root: &Path) -> std::io::Result<Self> {
        Ok(Self { root: std::fs::File::open(root)?.into() })
    }

    /// One name of it; `None` when its folder does not exist.
    ///
    /// # Errors
    /// See [`Place::open`].
    pub fn place(&self, path: &Path) -> Result<Option<Place>, PlaceError> {
        Place::open(&self.root, path)
    }
}

/// A folder, opened beneath a root without following any link, and one name in it.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    dir: OwnedFd,
    name: OsString,
}

impl Place {
    /// `None` when the folder does not exist.
    ///
    /// # Errors
    /// A link on the way, or what openat2(2) says.
    fn open(root: &OwnedFd, path: &Path) -> Result<Option<Self>, PlaceError> {
        let fault = |doing, source: nix::Error| PlaceError::io(path, doing, source.into());
        let inside = path.strip_prefix("/").unwrap_or(path);
        let name = inside.file_name().ok_or_else(|| fault("has no name", nix::Error::EINVAL))?.to_owned();
        let parent = match inside.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let how = OpenHow::new().flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC).resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_SYMLINKS
                | ResolveFlag::RESOLVE_NO_MAGICLINKS,
        );
        match openat2(root, parent, how) {
            Ok(dir) => Ok(Some(Self { path: path.to_owned(), dir, name })),
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(fault("cannot open its folder without following links", error)),
        }
    }

    /// What is there now.
    ///
    /// # Errors
    /// See [`Meta::at`].
    pub fn look(&self) -> Result<Option<Meta>, PlaceError> {
        self.look_at(&self.name)
    }

    fn look_at(&self, name: &std::ffi::OsStr) -> Result<Option<Meta>, PlaceError> {
        Meta::at(&self.dir, name).map_err(|source| self.fault("cannot look at it", source))
    }

    /// Opens what is there for reading, with its modification time; the caller has seen a regular file.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn read(&self) -> Result<(File, Stamp), PlaceError> {
        let read = || -> io::Result<_> {
            let fd = open_path(&self.dir, &self.name)?;
            let stat = fstat(&fd)?;
            Ok((reopen(&fd)?, Stamp { s: stat.st_mtime, ns: stat.st_mtime_nsec }))
        };
        read().map_err(|source| self.fault("cannot read it", source))
    }

    /// Modification time of what is there, link or file.
    ///
    /// # Errors
    /// Nothing is there.
    pub fn mtime(&self) -> Result<Stamp, PlaceError> {
        let stat = || -> nix::Result<_> { fstat(open_path(&self.dir, &self.name)?) };
        let stat = stat().map_err(|source| self.fault("cannot look at it", source.into()))?;
        Ok(Stamp { s: stat.st_mtime, ns: stat.st_mtime_nsec })
    }

    /// Makes what is there `step.to`, if it is `step.from`.
    ///
    /// # Errors
    /// [`PlaceError::Clash`] when something else is there: then it is left as it was.
    pub fn change(
        &self,
        step: Step<'_>,
        content: impl FnOnce() -> io::Result<File>,
    ) -> Result<(), PlaceError> {
        match (step.from, step.to) {
            (None, None) => Ok(()),
            (Some(from), Some(to)) if from.same_content(to) => self.alter(from, to, false),
            (Some(from), Some(to)) if from.is_folder() || to.is_folder() => {
                Err(self.clash(Some(to), Some(from)))
            }
            (Some(_), Some(to)) => {
                self.build(step, to, content)?;
                self.exchange(step)
            }
            (None, Some(to)) => {
                self.build(step, to, content)?;
                self.create(step)
            }
            (Some(from), None) if from.is_folder() => self.remove_folder(from),
            (Some(from), None) => self.delete(step, from),
        }
    }

    /// Makes the folder's names durable.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync(&self) -> Result<(), PlaceError> {
        nix::unistd::fsync(&self.dir).map_err(|source| self.fault("cannot sync its folder", source.into()))
    }

    /// The folder, to sync each one once.
    ///
    /// # Errors
    /// Those of fstat(2).
    pub fn folder_id(&self) -> Result<(u64, u64), PlaceError> {
        let stat =
            fstat(&self.dir).map_err(|source| self.fault("cannot look at its folder", source.into()))?;
        Ok((stat.st_dev, stat.st_ino))
    }

    // Building aside

    fn build(
        &self,
        step: Step<'_>,
        to: &Meta,
        content: impl FnOnce() -> io::Result<File>,
    ) -> Result<(), PlaceError> {
        let Aside { whole, part, label } = step.aside;
        self.remove(part)?;
        self.write(part, to, step.mtime, content)
            .map_err(|source| self.fault("cannot build it aside", source))?;
        fail::point(label, "written");
        let built = self.look_at(part)?;
        if built.as_ref() != Some(to) {
            self.remove(part)?;
            return Err(self.fault("did not arrive as it was meant", io::Error::other(told(built.as_ref()))));
        }
        self.rename(part, whole, RenameFlags::NOREPLACE)
            .map_err(|source| self.fault("cannot name it aside", source.into()))?;
        fail::point(label, "built");
        Ok(())
    }

    /// Data, owner, mode, attributes, in that order: others lose setuid bits or capabilities.
    fn write(
        &self,
        part: &std::ffi::OsStr,
        to: &Meta,
        mtime: Option<Stamp>,
        content: impl FnOnce() -> io::Result<File>,
    ) -> io::Result<()> {
        let file = match &to.kind {
            Kind::File { size, digest } => {
                let flags =
                    OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let mut file = File::from(openat(&self.dir, part, flags, Mode::S_IRUSR | Mode::S_IWUSR)?);
                if copy(content()?, &mut file, *size)? != *digest {
                    return Err(io::Error::other("its content is no longer the one that was judged"));
                }
                Some(file)
            }
            Kind::Link { target } => {
                symlinkat(std::ffi::OsStr::from_bytes(&target.0), &self.dir, part)?;
                None
            }
            Kind::Folder => {
                mkdirat(&self.dir, part, Mode::S_IRWXU)?;
                None
            }
            Kind::Special { .. } => return Err(io::Error::other("neither file, link nor folder")),
        };
        let fd = open_path(&self.dir, part)?;
        dress(&fd, to)?;
        if let (Some(mtime), false) = (mtime, to.is_folder()) {
            let times = (TimeSpec::UTIME_OMIT, TimeSpec::new(mtime.s, mtime.ns));
            utimensat(&self.dir, part, &times.0, &times.1, UtimensatFlags::NoFollowSymlink)?;
        }
        match file {
            Some(file) => file.sync_all(),
            None => Ok(()),
        }
    }

    // The three ways a whole thing gets to its place or away from it

    fn exchange(&self, step: Step<'_>) -> Result<(), PlaceError> {
        let Aside { whole, label, .. } = step.aside;
        let ours = self.pin(whole)?;
        match self.rename(whole, &self.name, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(nix::Error::ENOENT) => {
                self.remove(whole)?;
                return Err(self.clash(step.from, None));
            }
            Err(error) => {
                self.remove(whole)?;
                return Err(self.fault("cannot exchange it", error.into()));
            }
        }
        fail::point(label, "exchanged");
        let displaced = self.look_at(whole);
        match displaced {
            Ok(Some(found)) if Some(&found) == step.from => self.remove(whole),
            // Also when it cannot be looked at: then it is not ours to throw away.
            other => {
                self.put_back(whole, ours)?;
                Err(self.clash(step.from, other?.as_ref()))
            }
        }
    }

    /// Puts back what the exchange displaced. Whoever replaced the file meanwhile has the last word: what
    /// comes out by the exchange is then newer than what went in, and goes back in turn.
    fn put_back(&self, whole: &std::ffi::OsStr, ours: Pinned) -> Result<(), PlaceError> {
        let mut at_name = ours;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let held = self.pin(whole)?;
            match self.rename(whole, &self.name, RenameFlags::EXCHANGE) {
                // Nobody was in between: what came out is what we knew to be there, and superseded.
                Ok(()) if self.pin(whole)?.is(&at_name) => return self.remove(whole),
                Ok(()) => at_name = held,
                // It was deleted in between: nothing left to exchange with.
                Err(nix::Error::ENOENT) => return self.give_back(whole),
                Err(error) => return Err(self.fault("cannot put it back", error.into())),
            }
        }
        Err(PlaceError::Aside { path: shown(&self.path), aside: whole.to_string_lossy().into_owned() })
    }

    fn create(&self, step: Step<'_>) -> Result<(), PlaceError> {
        let whole = &step.aside.whole;
        match self.rename(whole, &self.name, RenameFlags::NOREPLACE) {
            Ok(()) => {
                fail::point(step.aside.label, "created");
                Ok(())
            }
            Err(nix::Error::EEXIST) => {
                self.remove(whole)?;
                Err(self.clash(None, self.look()?.as_ref()))
            }
            Err(error) => {
                self.remove(whole)?;
                Err(self.fault("cannot create it", error.into()))
            }
        }
    }

    fn delete(&self, step: Step<'_>, from: &Meta) -> Result<(), PlaceError> {
        let whole = &step.aside.whole;
        match self.rename(&self.name, whole, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(nix::Error::ENOENT) => return Err(self.clash(step.from, None)),
            Err(error) => return Err(self.fault("cannot take it away", error.into())),
        }
        fail::point(step.aside.label, "taken");
        let held = self.look_at(whole);
        if matches!(&held, Ok(Some(found)) if found == from) {
            return self.remove(whole);
        }
        self.give_back(whole)?;
        Err(self.clash(step.from, held?.as_ref()))
    }

    fn give_back(&self, whole: &std::ffi::OsStr) -> Result<(), PlaceError> {
        match self.rename(whole, &self.name, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(()),
            Err(nix::Error::EEXIST) => Err(PlaceError::Aside {
                path: shown(&self.path),
                aside: whole.to_string_lossy().into_owned(),
            }),
            Err(error) => Err(self.fault("cannot give it back", error.into())),
        }
    }

    /// Only an empty one; one that others fill by now stays.
    fn remove_folder(&self, from: &Meta) -> Result<(), PlaceError> {
        let found = self.look()?;
        if found.as_ref() != Some(from) {
            return Err(self.clash(Some(from), found.as_ref()));
        }
        match unlinkat(&self.dir, self.name.as_os_str(), UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(nix::Error::ENOTEMPTY | nix::Error::EEXIST) => Ok(()),
            Err(error) => Err(self.fault("cannot remove the folder", error.into())),
        }
    }

    // Mode, owner and attributes alone: in place, which keeps inode, links and mounts

    /// `torn` accepts what a kill in the middle of this very call left.
    ///
    /// # Errors
    /// [`PlaceError::Clash`] when something else is there.
    pub fn alter(&self, from: &Meta, to: &Meta, torn: bool) -> Result<(), PlaceError> {
        let fd = match open_path(&self.dir, &self.name) {
            Ok(fd) => fd,
            Err(nix::Error::ENOENT) => return Err(self.clash(Some(from), None)),
            Err(error) => return Err(self.fault("cannot open it", error.into())),
        };
        let look = || Meta::of(&fd).map_err(|source| self.fault("cannot look at it", source));
        let found = look()?;
        if &found != from && !(torn && half_altered(&found, from, to)) {
            return Err(self.clash(Some(from), Some(&found)));
        }
        dress(&fd, to).map_err(|source| self.fault("cannot set mode, owner or attributes", source))?;
        let after = look()?;
        if &after != to {
            // Somebody wrote into it meanwhile: their content keeps the attributes it had.
            dress(&fd, from)
                .map_err(|source| self.fault("cannot set mode, owner or attributes back", source))?;
            return Err(self.clash(Some(to), Some(&after)));
        }
        self.sync_inode(&fd, to)
    }

    fn sync_inode(&self, fd: &OwnedFd, meta: &Meta) -> Result<(), PlaceError> {
        match meta.kind {
            Kind::File { .. } | Kind::Folder => reopen(fd)
                .and_then(|file| file.sync_all())
                .map_err(|source| self.fault("cannot sync it", source)),
            // Written with its folder; or nothing of ours.
            Kind::Link { .. } | Kind::Special { .. } => Ok(()),
        }
    }

    // After a kill

    /// Makes owner, mode and attributes of `found` durable, whoever set them.
    ///
    /// # Errors
    /// Those of fsync(2).
    pub fn sync_found(&self, found: &Meta) -> Result<(), PlaceError> {
        let fd =
            open_path(&self.dir, &self.name).map_err(|source| self.fault("cannot open it", source.into()))?;
        self.sync_inode(&fd, found)
    }

    /// Clears what a killed [`Place::change`] may have left aside. What is displaced and not the thing
    /// that was expected is somebody's work, and goes back.
    ///
    /// # Errors
    /// [`PlaceError::Aside`] when a third version stands in its place by now.
    pub fn settle(&self, step: Step<'_>) -> Result<(), PlaceError> {
        let Aside { whole, part, .. } = step.aside;
        self.remove(part)?;
        let Some(held) = self.look_at(whole)? else { return Ok(()) };
        // Ours, or a thing of which the journal has a copy.
        if Some(&held) == step.to || Some(&held) == step.from {
            return self.remove(whole);
        }
        match self.look()? {
            None => self.give_back(whole),
            now if now.as_ref() == step.to => self.put_back(whole, self.pin(&self.name)?),
            Some(_) => Err(PlaceError::Aside {
                path: shown(&self.path),
                aside: whole.to_string_lossy().into_owned(),
            }),
        }
    }

    // Small things

    fn rename(&self, from: &std::ffi::OsStr, to: &std::ffi::OsStr, how: RenameFlags) -> nix::Result<()> {
        // By number: the name is younger than the C library that the packages are made for.
        renameat_with(&self.dir, from, &self.dir, to, how)
            .map_err(|error| Errno::from_raw(error.raw_os_error()))
    }

    fn remove(&self, name: &std::ffi::OsStr) -> Result<(), PlaceError> {
        match unlinkat(&self.dir, name, UnlinkatFlags::NoRemoveDir) {
            Err(nix::Error::EISDIR) => unlinkat(&self.dir, name, UnlinkatFlags::RemoveDir),
            other => other,
        }
        .or_else(|error| if error == nix::Error::ENOENT { Ok(()) } else { Err(error) })
        .map_err(|source| self.fault("cannot remove what lay aside", source.into()))
    }

    fn pin(&self, name: &std::ffi::OsStr) -> Result<Pinned, PlaceError> {
        let pin = || -> nix::Result<_> {
            let fd = open_path(&self.dir, name)?;
            let stat = fstat(&fd)?;
            Ok(Pinned { _fd: fd, id: (stat.st_dev, stat.st_ino) })
        };
        pin().map_err(|source| self.fault("cannot look aside", source.into()))
    }

    /// The error that says something else is there.
    pub fn clash(&self, expected: Option<&Meta>, found: Option<&Meta>) -> PlaceError {
        PlaceError::clash(&self.path, expected, found)
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> PlaceError {
        PlaceError::io(&self.path, doing, source)
    }
}

/// How long somebody else may be faster before we leave what we hold aside: the folder's lock can keep two
/// writers in step.
const PATIENCE: Duration = Duration::from_secs(10);

/// One inode, whatever its name; held open, so that its number is not given to another.
struct Pinned {
    _fd: OwnedFd,
    id: (u64, u64),
}

impl Pinned {
    fn is(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Owner, mode and attributes, in the order that loses none.
fn dress(fd: &OwnedFd, to: &Meta) -> io::Result<()> {
    let owner = (Some(Uid::from_raw(to.uid)), Some(Gid::from_raw(to.gid)));
    fchownat(fd, "", owner.0, owner.1, AtFlags::AT_EMPTY_PATH)?;
    fail::point("dress", "owned");
    if !matches!(to.kind, Kind::Link { .. }) {
        let mode = Mode::from_bits_truncate(to.mode);
        fchmodat(AT_FDCWD, &proc_path(fd.as_fd()), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
    }
    fail::point("dress", "moded");
    set_xattrs(fd, &to.xattrs)
}

/// Whether `found` can be what is left when [`dress`] was killed between its calls: each part is the old
/// or the new one; changing the owner drops setuid bits and capabilities, changing the mode bends an ACL.
fn half_altered(found: &Meta, from: &Meta, to: &Meta) -> bool {
    const BENT: [&str; 2] = ["system.posix_acl_access", "security.capability"];
    let has_acl = |meta: &Meta| meta.xattrs.contains_key(BENT[0]);
    let mode_known =
        [from.mode, to.mode, from.mode & !0o6000].contains(&found.mode) || has_acl(from) || has_acl(to);
    let names = from.xattrs.keys().chain(to.xattrs.keys()).chain(found.xattrs.keys());
    found.same_content(from)
        && [from.uid, to.uid].contains(&found.uid)
        && [from.gid, to.gid].contains(&found.gid)
        && mode_known
        && names.filter(|name| !BENT.contains(&name.as_str())).all(|name| {
            let now = found.xattrs.get(name);
            now == from.xattrs.get(name) || now == to.xattrs.get(name)
        })
}

/// A path as people read it, on one line.
pub fn shown(path: &Path) -> String {
    crate::meta::Bytes(path.as_os_str().to_owned().into_vec()).to_string().replace('\n', "\\x0a")
}
