//! Files that must be whole after a power cut: written aside, synced, renamed, the folder synced.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::system;

/// Replaces `path` by `bytes`, readable by its owner alone: afterwards it is either old or new, never torn.
///
/// # Errors
/// Any of the steps failed; the old file is then still there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    // One that a power cut left, or somebody else's: it is not written to, wherever it leads.
    remove(&aside)?;
    let mut file = system::private_file().create_new(true).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    sync_above(path)
}

/// What a file holds; `None` where there is none.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Whether there was such a file; afterwards there is none.
///
/// # Errors
/// The disk refused.
pub fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.and_then(|()| sync_above(path)).map(|()| true),
    }
}

fn sync_above(path: &Path) -> io::Result<()> {
    system::sync_folder(path.parent().unwrap_or(Path::new("/")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_lies_aside_is_neither_followed_nor_reused() {
        let dir = tempfile::tempdir().expect("folder");
        let (path, aside, other) =
            (dir.path().join("a.json"), dir.path().join("a.new"), dir.path().join("other"));
        fs::write(&other, "theirs").expect("written");
        symlink(&other, &aside).expect("link");
        write(&path, b"ours").expect("written");
        assert_eq!(fs::read_to_string(&other).expect("read"), "theirs");
        assert_eq!(fs::read_to_string(&path).expect("read"), "ours");

        fs::write(&aside, "left").expect("written");
        fs::set_permissions(&aside, fs::Permissions::from_mode(0o666)).expect("chmod");
        write(&path, b"new").expect("written");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
