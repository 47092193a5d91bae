//! A private copy of a folder, for where overlays are impossible: everything that counts, on one file system.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::meta::{Meta, set_xattrs};

/// Fills the empty folder `to`. What is mounted below `from` stays an empty place to mount on; FIFOs, sockets
/// and devices are left out.
pub fn tree(from: &Path, to: &Path) -> io::Result<()> {
    let device = fs::symlink_metadata(from)?.dev();
    let mut folders = vec![(from.to_owned(), to.to_owned())];
    let mut done = Vec::new();
    while let Some((from, to)) = folders.pop() {
        for entry in fs::read_dir(&from)? {
            let (from, to) = (entry?.path(), to.clone());
            if let Some(inner) = one(&from, &to, device)? {
                folders.push(inner);
            }
        }
        done.push((from, to));
    }
    // Folders last, the inner ones first: filling them changed their times.
    done.iter().rev().try_for_each(|(from, to)| attributes(from, to))
}

/// Copies one entry into the folder `to`; a folder is made and returned.
fn one(from: &Path, to: &Path, device: u64) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let to = to.join(from.file_name().unwrap_or_default());
    let stat = fs::symlink_metadata(from)?;
    let kind = stat.file_type();
    if kind.is_dir() {
        fs::create_dir(&to)?;
        return Ok((stat.dev() == device).then(|| (from.to_owned(), to)));
    }
    if kind.is_file() {
        io::copy(&mut File::open(from)?, &mut File::create_new(&to)?)?;
    } else if kind.is_symlink() {
        symlink(fs::read_link(from)?, &to)?;
    } else {
        return Ok(None);
    }
    attributes(from, &to)?;
    Ok(None)
}

/// Owner, mode, attributes, times: in the order in which none undoes another.
fn attributes(from: &Path, to: &Path) -> io::Result<()> {
    let stat = fs::symlink_metadata(from)?;
    lchown(to, Some(stat.uid()), Some(stat.gid()))?;
    if !stat.file_type().is_symlink() {
        fs::set_permissions(to, PermissionsExt::from_mode(stat.mode() & 0o7777))?;
    }
    let path = |path: &Path| open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty());
    set_xattrs(&path(to)?, &Meta::of(&path(from)?)?.xattrs)?;
    let times =
        (TimeSpec::new(stat.atime(), stat.atime_nsec()), TimeSpec::new(stat.mtime(), stat.mtime_nsec()));
    Ok(utimensat(nix::fcntl::AT_FDCWD, to, &times.0, &times.1, UtimensatFlags::NoFollowSymlink)?)
}
