//! Windows: what the agent needs of the system for its own files and threads.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use windows_sys::Win32::Storage::FileSystem::FILE_FLAG_BACKUP_SEMANTICS;

use crate::host::Network;
use crate::windows::{disk, security};

/// Makes a folder, and those above it, that system and administrators alone may enter; one that is there stays as
/// it is.
///
/// # Errors
/// Those of CreateDirectory; or the folder `Aright` that is to hold it is not ours, see [`check_private`].
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        make_private_folders(above)?;
        if is_ours(above) {
            claim(above)?;
        }
    }
    make_private_folder(path)
}

/// Makes one new folder that system and administrators alone may enter.
///
/// # Errors
/// Those of CreateDirectory.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    security::make_private_folder(path)
}

/// How files are made in such folders, whose access list they inherit.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    options
}

/// Whether nobody but system and administrators may have put there what is in a folder, and may enter it: below
/// ProgramData everybody may make one of that name first.
///
/// # Errors
/// It cannot be looked at; or others may, and the remedy.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    // Whoever made the folder above could put another one in its place.
    for folder in path.parent().filter(|above| is_ours(above)).into_iter().chain([path]) {
        claim(folder)?;
    }
    Ok(())
}

/// Whether a folder is the agent's by its name, for its state to lie in.
fn is_ours(folder: &Path) -> bool {
    folder.ends_with("Aright")
}

/// One that is not private but empty gives way to a new one: whoever made it may still have it open, with the right to
/// open it for others again.
fn claim(folder: &Path) -> io::Result<()> {
    if security::is_private(folder)? {
        return Ok(());
    }
    if !folder.is_symlink() && fs::remove_dir(folder).is_ok() {
        return make_private_folder(folder);
    }
    let shown = folder.display();
    Err(io::Error::other(format!(
        "others than system and administrators may have made {shown}, or may write in it; next: remove it; or, if all in \
         it is yours, icacls \"{shown}\" /setowner *S-1-5-32-544 /t, then icacls \"{shown}\" /inheritance:r /grant:r \
         *S-1-5-18:(OI)(CI)F *S-1-5-32-544:(OI)(CI)F"
    )))
}

/// A file that nobody but system and administrators may read or write.
///
/// # Errors
/// It cannot be read; or others may, and the remedy.
pub fn open_secret(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(
        security::is_private(path)?,
        "others than system and administrators may read {shown}; next: icacls \"{shown}\" /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F"
    );
    Ok(file)
}

/// Whether nobody but system and administrators wrote the settings: below ProgramData everybody may make a folder.
///
/// # Errors
/// It cannot be looked at; or others may write it, and the remedy.
pub fn check_settings(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    anyhow::ensure!(
        security::is_private(path)?,
        "others than system and administrators may write {shown}; next: look through it, then icacls \"{shown}\" \
         /setowner *S-1-5-32-544 and /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F"
    );
    Ok(())
}

/// Makes names made or removed in a folder last. On NTFS they are in its journal by then, whole or not at all; flushing
/// the folder writes that to the disk. Windows promises no more, and other file systems less.
///
/// # Errors
/// The folder cannot be opened, or the disk refused.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // To open a folder at all wants that flag; to flush it, the right to write.
    OpenOptions::new().write(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(folder)?.sync_all()
}

/// What is left on the volume of a folder, in bytes.
///
/// # Errors
/// Those of GetDiskFreeSpaceEx.
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    disk::free_bytes(path)
}

/// What the agent cannot read here it cannot judge: there is no half sight.
pub fn sees_all() -> bool {
    true
}

pub fn scratch() -> PathBuf {
    std::env::temp_dir()
}

/// Ends this process at once, as a kill would.
pub fn die() {
    std::process::abort();
}

/// # Errors
/// There are no network namespaces here.
pub fn enter(network: Network) -> anyhow::Result<()> {
    anyhow::ensure!(network == Network::Host, "this system has one network");
    Ok(())
}
