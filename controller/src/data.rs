//! The data folder: which file lies where, and how they are written (folders 0700, files 0600).
//!
//! | path | what |
//! |---|---|
//! | `aright.db` | the database; `backup/` its copies from before migrations, and while a backup is taken |
//! | `authority/` | `root.crt`, and `intermediate.pem`: the online intermediate's key and certificate |
//! | `trust/` | `root.pub` (base64) and `document.json`, the trust document's envelope |
//! | `keys/task.key` | signs task orders |
//! | `offline/` | keys to be moved away: authority root, trust root, the first approver |
//! | `run/addresses.json` | the addresses in use, written at each start |

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

#[derive(Clone, Debug)]
pub struct Data {
    root: PathBuf,
}

impl Data {
    /// Makes the folder where it is missing.
    ///
    /// # Errors
    /// A folder that cannot be made, or that others may enter.
    pub fn open(root: &Path) -> Result<Self> {
        folder(root)?;
        let mode = std::fs::metadata(root)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("data folder {}: mode {:04o} lets others in; chmod 0700 it", root.display(), mode & 0o7777);
        }
        Ok(Self { root: root.to_owned() })
    }

    /// For a command beside the controller, which must be able to read what that leaves.
    ///
    /// # Errors
    /// As [`Data::open`], or the folder is another user's.
    pub fn open_own(root: &Path) -> Result<Self> {
        let data = Self::open(root)?;
        let owner = std::fs::metadata(root)?.uid();
        if owner != nix::unistd::geteuid().as_raw() {
            let user = nix::unistd::User::from_uid(owner.into()).ok().flatten();
            let name = user.map_or_else(|| format!("'#{owner}'"), |user| user.name);
            bail!(
                "data folder {}: it is {name}'s; next: runuser -u {name} -- and this command",
                root.display()
            );
        }
        Ok(data)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// # Errors
    /// Names the file.
    pub fn read(&self, below: &str) -> Result<String> {
        let path = self.path(below);
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Writes aside, syncs, renames: the file is old or new, never half.
    ///
    /// # Errors
    /// Names the file.
    pub fn write(&self, below: &str, bytes: &[u8]) -> Result<()> {
        self.write_from(below, &mut &bytes[..])
    }

    /// As [`Data::write`], of any length.
    ///
    /// # Errors
    /// Names the file.
    pub fn write_from(&self, below: &str, bytes: &mut dyn Read) -> Result<()> {
        let path = self.path(below);
        let parent = path.parent().unwrap_or(&self.root);
        folder(parent)?;
        write_aside(&path, bytes).with_context(|| format!("write {}", path.display()))?;
        sync(parent)
    }

    /// Held for as long as one program may change what is here: a controller that serves, or a restore.
    ///
    /// # Errors
    /// Somebody else holds it.
    pub fn lock(&self) -> Result<File> {
        let root = self.root.display();
        let folder = File::open(&self.root).with_context(|| format!("open {root}"))?;
        match folder.try_lock() {
            Ok(()) => Ok(folder),
            Err(TryLockError::WouldBlock) => {
                bail!("data folder {root}: an aright-controller uses it; next: stop that one first")
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("lock {root}")),
        }
    }
}

/// Makes the names in a folder survive a power cut.
///
/// # Errors
/// Names the folder.
pub fn sync(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.with_context(|| format!("sync {}", folder.display()))
}

/// # Errors
/// It cannot be made.
pub fn folder(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("make folder {}", path.display()))
}

/// A new file that nobody else may read, in place of what had its name: whoever put that there, and whatever it is.
///
/// # Errors
/// It cannot be made.
pub fn private_file(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn write_aside(path: &Path, bytes: &mut dyn Read) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = private_file(&aside)?;
    io::copy(bytes, &mut file)?;
    file.sync_all()?;
    std::fs::rename(aside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_for_the_owner_alone() {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        data.write("keys/task.key", b"secret").expect("writes");
        let mode = |below: &str| {
            std::fs::metadata(data.path(below)).expect("is there").permissions().mode() & 0o7777
        };
        assert_eq!((mode(""), mode("keys"), mode("keys/task.key")), (0o700, 0o700, 0o600));
        assert_eq!(data.read("keys/task.key").expect("reads"), "secret");
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused_with_its_mode() {
        let above = tempfile::tempdir().expect("a folder");
        std::fs::set_permissions(above.path(), std::fs::Permissions::from_mode(0o755)).expect("chmod");
        let error = Data::open(above.path()).expect_err("refused").to_string();
        assert!(error.contains("0755") && error.contains("chmod 0700"), "{error}");
    }
}
