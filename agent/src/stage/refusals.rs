//! What could not be committed, found before the script runs.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aright_shared::outcome::Refusal;
use nix::sys::statvfs::statvfs;
use rustix::fs::{IFlags, ioctl_getflags};

use super::declared::Declared;
use super::host::Host;
use crate::cage::plan::owner;

/// Left free on each file system that is written to, in bytes.
const HEADROOM: u64 = 4 << 20;

/// One reason why a script is not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Obstacle {
    pub refusal: Refusal,
    pub path: PathBuf,
    pub why: String,
}

/// Everything that stands in the way of committing what is declared; empty when nothing does.
pub fn refusals(host: &Host, declared: &Declared) -> io::Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    let mut read_only = |path: &Path, why: String| {
        found.push(Obstacle { refusal: Refusal::ReadOnly, path: path.to_owned(), why });
    };
    for path in declared.places()? {
        if let Err(why) = place(host, &path) {
            read_only(&path, why);
        }
    }
    for path in declared.existing()? {
        if let Err(why) = entry(host, declared, &path) {
            read_only(&path, why);
        }
    }
    found.extend(no_space(declared)?);
    Ok(found)
}

/// A folder in which something is to change.
fn place(host: &Host, folder: &Path) -> Result<(), String> {
    if host.is_replaced(folder) {
        return Err(
            "lies where every stage has a fresh folder of its own; it cannot be changed by a script".into()
        );
    }
    let Some(mount) = owner(&host.mounts, folder) else {
        return Err("lies on no visible file system".into());
    };
    if mount.read_only {
        return Err(format!(
            "the file system on {} is read-only: remount it read-write first",
            mount.at.display()
        ));
    }
    if is_fixed(folder) {
        return Err("the folder is immutable or append-only (lsattr): `chattr -i -a` first".into());
    }
    folder.ancestors().try_for_each(only_root_writes)
}

/// Else whoever may write there could swap what is committed.
fn only_root_writes(folder: &Path) -> Result<(), String> {
    let stat = fs::metadata(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    match stat.uid() == 0 && stat.mode() & 0o022 == 0 {
        true => Ok(()),
        false => Err(format!(
            "others than root may write in {} (owner {}, mode {:04o})",
            folder.display(),
            stat.uid(),
            stat.mode() & 0o7777
        )),
    }
}

/// A declared file, link or folder that exists.
fn entry(host: &Host, declared: &Declared, path: &Path) -> Result<(), String> {
    let stat = fs::symlink_metadata(path).map_err(|e| e.to_string())?;
    let kind = stat.file_type();
    let as_folder = declared.folders.contains(path);
    if !as_folder && host.mounts.iter().any(|mount| mount.at == path) {
        return Err("something is mounted on it, so it cannot be replaced: change its source".into());
    }
    if as_folder != kind.is_dir() && declared.files.contains(path) | as_folder {
        return Err(format!("is {}declared as a folder", if as_folder { "" } else { "a folder, not " }));
    }
    if !kind.is_file() && !kind.is_dir() && !kind.is_symlink() {
        return Err("is a FIFO, socket or device".into());
    }
    if kind.is_file() && stat.nlink() > 1 {
        return Err(format!("has {} hard links: the others would keep the old content", stat.nlink()));
    }
    if !kind.is_symlink() && is_fixed(path) {
        return Err("is immutable or append-only (lsattr): `chattr -i -a` first".into());
    }
    Ok(())
}

/// By `chattr +i` or `+a`; file systems without such flags have none.
fn is_fixed(path: &Path) -> bool {
    fs::File::open(path)
        .ok()
        .and_then(|file| ioctl_getflags(&file).ok())
        .is_some_and(|flags| flags.intersects(IFlags::IMMUTABLE | IFlags::APPEND))
}

/// Room for every declared file once more, on its own file system.
fn no_space(declared: &Declared) -> io::Result<Vec<Obstacle>> {
    let mut found = Vec::new();
    let existing = declared.existing()?;
    for place in declared.places()? {
        let free = statvfs(&place)?;
        let bytes = free.blocks_available().saturating_mul(free.fragment_size());
        let inside = existing.iter().filter(|path| path.starts_with(&place));
        let needed: u64 =
            inside.filter_map(|path| fs::symlink_metadata(path).ok()).map(|stat| stat.len()).sum();
        // Some file systems (btrfs) count no inodes.
        let inodes_left = free.files() == 0 || free.files_available() > 16;
        if bytes < needed + HEADROOM || !inodes_left {
            let why = format!(
                "{bytes} bytes and {} inodes are free, {} bytes are needed",
                free.files_available(),
                needed + HEADROOM
            );
            found.push(Obstacle { refusal: Refusal::NoSpace, path: place, why });
        }
    }
    Ok(found)
}
