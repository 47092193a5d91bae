//! Linux: what the agent needs of the system for its own files and threads.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::signal::{Signal, raise};

use crate::cage::plan::User;
use crate::host::Network;

/// Makes a folder, and those above it, that its owner alone may enter; one that is there stays as it is.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_private_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes one new folder that its owner alone may enter.
///
/// # Errors
/// Those of mkdir(2).
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

/// How files are made that their owner alone may read.
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

/// Whether nobody but its owner may enter a folder.
///
/// # Errors
/// It cannot be looked at; or who may, and the remedy.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    let mode = std::fs::metadata(path)?.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & 0o077 == 0,
        "state folder {} has mode {mode:04o}: it holds the agent's key; next: chmod 0700 {}",
        path.display(),
        path.display()
    );
    Ok(())
}

/// A file that nobody but root or this user may read or write.
///
/// # Errors
/// It cannot be read; or others may, and the remedy.
pub fn open_secret(path: &Path) -> anyhow::Result<File> {
    let shown = path.display();
    // A pipe would keep us waiting for whoever writes to it.
    let open = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path);
    let file = open.with_context(|| format!("cannot read {shown}"))?;
    let metadata = file.metadata()?;
    anyhow::ensure!(metadata.is_file(), "{shown} is no plain file");
    let owner = metadata.uid();
    anyhow::ensure!(
        owner == 0 || owner == nix::unistd::geteuid().as_raw(),
        "{shown} is of user {owner}, who may write it; next: chown root {shown}"
    );
    let mode = metadata.permissions().mode() & 0o777;
    anyhow::ensure!(
        mode & 0o077 == 0,
        "{shown} has mode {mode:04o}: others may read the secret in it; next: chmod 0600 {shown}"
    );
    Ok(file)
}

/// Settings lie in `/etc`, where root alone writes.
///
/// # Errors
/// None of this system.
pub fn check_settings(_path: &Path) -> anyhow::Result<()> {
    Ok(())
}

/// Makes names made or removed in a folder last.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What is left on the file system of a path, in bytes.
///
/// # Errors
/// Those of statvfs(3).
pub fn free_bytes(path: &Path) -> io::Result<u64> {
    let stat = nix::sys::statvfs::statvfs(path)?;
    Ok(stat.blocks_available().saturating_mul(stat.fragment_size()))
}

/// Whether everything of the host can be read: by root alone.
pub fn sees_all() -> bool {
    User::of_this_process().is_none()
}

/// Where scratch folders leave no trace on a disk, for who may write there.
pub fn scratch() -> PathBuf {
    if sees_all() { "/run".into() } else { std::env::temp_dir() }
}

/// Ends this process at once, as a kill would.
pub fn die() {
    raise(Signal::SIGKILL).expect("a process may kill itself");
}

/// Puts the calling thread into the network that it is to look at.
///
/// # Errors
/// The namespace cannot be made.
pub fn enter(network: Network) -> anyhow::Result<()> {
    match network {
        Network::Host => Ok(()),
        Network::Private => {
            nix::sched::unshare(CloneFlags::CLONE_NEWNET).context("a network namespace of its own")
        }
    }
}
