//! Windows: what the agent needs of the system for its own files and threads.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::host::Network;
use crate::windows::{disk, security};

/// Makes a folder, and those above it, that system and administrators alone may enter; one that is there stays as
/// it is.
///
/// # Errors
/// Those of CreateDirectory.
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_private_folders(parent)?;
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

/// Makes sure that nobody but system and administrators may enter a folder.
///
/// # Errors
/// Its access list cannot be set.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    // Whoever made the folder above could put another one in its place.
    for folder in [path.parent(), Some(path)].into_iter().flatten() {
        if folder == path || folder.ends_with("Aright") {
            security::set_of_file(folder, security::PRIVATE)
                .with_context(|| format!("cannot keep others out of {}", folder.display()))?;
        }
    }
    Ok(())
}

/// A file that nobody but system and administrators may read or write.
///
/// # Errors
/// It cannot be read; or others may, and the remedy.
pub fn open_secret(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    anyhow::ensure!(
        security::is_private(&security::of_file(path)?),
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
        security::is_private(&security::of_file(path)?),
        "others than system and administrators may write {shown}; next: look through it, then icacls \"{shown}\" \
         /setowner *S-1-5-32-544 and /inheritance:r /grant *S-1-5-18:F *S-1-5-32-544:F"
    );
    Ok(())
}

/// Names are in the journal of the file system.
///
/// # Errors
/// None of this system.
pub fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
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
