//! One path's [`Meta`], read without following links and without blocking on a FIFO or device.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use aright_shared::digest::Digest;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, SFlag, fstat};

use super::change::{Bytes, Kind, Meta, Timestamp};
use crate::cage::sys;

/// Largest regular file whose content is looked at, in bytes.
pub const MAX_FILE: u64 = 256 << 20;
/// Most bytes of attributes a path may carry.
const MAX_XATTRS: usize = 256 << 10;

/// A path opened as such (`O_PATH`), links not followed, with what `stat` says of it.
pub struct Node {
    fd: OwnedFd,
    pub stat: FileStat,
}

impl Node {
    /// `path` below `root`, absolute or relative; no link on the way is followed. None where nothing is.
    pub fn open(root: BorrowedFd<'_>, path: &Path) -> io::Result<Option<Self>> {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match beneath(root, path, flags) {
            Ok(fd) => Self::of(fd).map(Some),
            Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    pub fn of(fd: OwnedFd) -> io::Result<Self> {
        let stat = fstat(&fd)?;
        Ok(Self { fd, stat })
    }

    pub fn is_folder(&self) -> bool {
        self.file_type() == SFlag::S_IFDIR
    }

    pub fn is_file(&self) -> bool {
        self.file_type() == SFlag::S_IFREG
    }

    fn file_type(&self) -> SFlag {
        SFlag::from_bits_truncate(self.stat.st_mode & SFlag::S_IFMT.bits())
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// The content of a regular file or folder.
    pub fn reopen(&self) -> io::Result<File> {
        File::open(self.magic())
    }

    fn magic(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd()).into()
    }

    pub fn meta(&self) -> io::Result<Meta> {
        let s = &self.stat;
        let kind = self.kind()?;
        Ok(Meta {
            size: if matches!(kind, Kind::File { .. }) { s.st_size.unsigned_abs() } else { 0 },
            kind,
            mode: s.st_mode & 0o7777,
            uid: s.st_uid,
            gid: s.st_gid,
            xattrs: self.xattrs()?,
            modified: Timestamp { s: s.st_mtime, ns: s.st_mtime_nsec },
        })
    }

    fn kind(&self) -> io::Result<Kind> {
        let rdev = self.stat.st_rdev;
        Ok(match self.file_type() {
            SFlag::S_IFREG => Kind::File { digest: self.digest()? },
            SFlag::S_IFDIR => Kind::Folder,
            SFlag::S_IFLNK => Kind::Link { target: readlinkat(&self.fd, "")?.into() },
            SFlag::S_IFIFO => Kind::Fifo,
            SFlag::S_IFSOCK => Kind::Socket,
            SFlag::S_IFBLK => Kind::Device { block: true, rdev },
            _ => Kind::Device { block: false, rdev },
        })
    }

    fn digest(&self) -> io::Result<Digest> {
        let size = self.stat.st_size.unsigned_abs();
        if size > MAX_FILE {
            return Err(io::Error::other(format!(
                "{size} bytes are more than the {MAX_FILE} that are looked at"
            )));
        }
        // The size may have been passed by a writer since: never read much more than was announced.
        Digest::of_reader(io::Read::take(self.reopen()?, MAX_FILE + 1))
    }

    /// All but `trusted.*`.
    fn xattrs(&self) -> io::Result<BTreeMap<String, Bytes>> {
        let mut found = BTreeMap::new();
        let mut bytes = 0;
        for name in sys::list_xattrs(self.fd())? {
            if name.starts_with(b"trusted.") {
                continue;
            }
            let Some(value) = sys::xattr(self.fd(), &name)? else { continue };
            bytes += name.len() + value.len();
            if bytes > MAX_XATTRS {
                return Err(io::Error::other(format!("more than {MAX_XATTRS} bytes of attributes")));
            }
            let name = String::from_utf8(name)
                .map_err(|e| io::Error::other(format!("attribute name {:?} is not text", e.into_bytes())))?;
            found.insert(name, Bytes(value));
        }
        Ok(found)
    }

    /// One attribute of the overlay's upper layer, e.g. `redirect`.
    pub fn overlay_xattr(&self, name: &str) -> io::Result<Option<std::ffi::OsString>> {
        let full = format!("trusted.overlay.{name}");
        Ok(sys::xattr(self.fd(), full.as_bytes())?.map(std::ffi::OsString::from_vec))
    }
}

/// Opens below `root`, following no link at all; an absolute path is taken relative to `root`.
/// With `O_PATH` and `O_NOFOLLOW` a link in last place is opened itself.
pub fn beneath(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let inside = path.strip_prefix("/").unwrap_or(path);
    let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
    let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
    openat2(root, inside, OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(resolve))
}
