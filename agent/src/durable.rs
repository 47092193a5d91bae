//! Files that must be whole after a power cut: written aside, synced, renamed, the folder synced.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::system;

/// Replaces `path` by `bytes`, readable by its owner alone: afterwards it is either old or new, never torn.
///
/// # Errors
/// Any of the four steps failed; the old file is then still there.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = system::private_file().create(true).truncate(true).open(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    system::sync_folder(path.parent().unwrap_or(Path::new("/")))
}
