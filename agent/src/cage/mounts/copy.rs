//! A private copy of a folder, for where overlays are impossible: everything that counts, on one file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use rustix::fs::{XattrFlags, setxattr};

use crate::meta::{open_path, set_xattrs, xattrs};

/// The attribute of a copied folder that holds its path on the host.
pub const COPY_OF: &str = "trusted.aright.copy_of";

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    All,
    /// What the user may read, as theirs: its owners and attributes cannot be had.
    Readable,
}

/// Fills the empty folder `to`. What is mounted below `from` becomes an empty place to mount on; FIFOs, sockets
/// and devices are left out.
pub fn tree(from: &Path, to: &Path, what: What) -> io::Result<()> {
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut done = Vec::new();
    while let Some((from, to)) = folders.pop() {
        let folder = open(&from, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        for entry in fs::read_dir(&from)? {
            let name = entry?.file_name();
            let (from, to) = (from.join(&name), to.join(&name));
            // Not by device number: in an overlay a file's differs from its folder's.
            let mounted = matches!(open_path(&folder, &name), Err(Errno::EXDEV));
            match one(&from, &to, mounted, what) {
                Ok(Made::Folder) if !mounted => folders.push((from, to)),
                Ok(Made::Folder | Made::Other) => {}
                Err(e) if what == What::Readable && e.kind() == io::ErrorKind::PermissionDenied => {}
                Err(e) => return Err(e),
            }
        }
        done.push((from, to));
    }
    // Folders last, the inner ones first: filling them changed their times.
    done.iter().rev().try_for_each(|(from, to)| {
        attributes(from, to, what)?;
        if what == What::All { mark(from, to) } else { Ok(()) }
    })
}

/// Says whose copy a folder is, where no script can see or write it: one made anew has no such mark.
fn mark(from: &Path, to: &Path) -> io::Result<()> {
    Ok(setxattr(to, COPY_OF, from.as_os_str().as_bytes(), XattrFlags::empty())?)
}

enum Made {
    Folder,
    Other,
}

fn one(from: &Path, to: &Path, mounted: bool, what: What) -> io::Result<Made> {
    let kind = fs::symlink_metadata(from)?.file_type();
    if kind.is_dir() {
        if !mounted {
            fs::read_dir(from)?;
        }
        fs::create_dir(to)?;
        return Ok(Made::Folder);
    }
    if mounted {
        File::create_new(to)?;
        return Ok(Made::Other);
    }
    if kind.is_file() {
        // Opened first: what may not be read leaves nothing behind.
        let mut source = File::open(from)?;
        io::copy(&mut source, &mut File::create_new(to)?)?;
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)?;
    } else {
        return Ok(Made::Other);
    }
    attributes(from, to, what)?;
    Ok(Made::Other)
}

/// Owner, mode, attributes, times: in the order in which none undoes another.
fn attributes(from: &Path, to: &Path, what: What) -> io::Result<()> {
    let stat = fs::symlink_metadata(from)?;
    if what == What::All {
        lchown(to, Some(stat.uid()), Some(stat.gid()))?;
    }
    if !stat.file_type().is_symlink() {
        fs::set_permissions(to, PermissionsExt::from_mode(stat.mode() & 0o7777))?;
    }
    let path = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
    if what == What::All {
        set_xattrs(&path(to)?, &xattrs(&path(from)?)?)?;
    }
    let times =
        (TimeSpec::new(stat.atime(), stat.atime_nsec()), TimeSpec::new(stat.mtime(), stat.mtime_nsec()));
    Ok(utimensat(nix::fcntl::AT_FDCWD, to, &times.0, &times.1, UtimensatFlags::NoFollowSymlink)?)
}
