//! Files that hold a secret for this agent: read only where nobody but their owner may.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

/// Longest secret, in bytes.
const MOST: u64 = 4096;

/// The file's one line.
///
/// # Errors
/// Unreadable, open to others, or not one line; what it holds is in no error.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {shown}"))?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "{shown} has mode {mode:04o}: others may read the secret in it; next: chmod 0600 {shown}"
    );
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    ensure!(
        !secret.is_empty() && text.len() as u64 <= MOST && !secret.chars().any(char::is_control),
        "{shown} must hold one line of at most {MOST} bytes"
    );
    Ok(secret.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("set");
        file
    }

    #[test]
    fn a_secret_that_others_may_read_is_none() {
        assert_eq!(read(file("s3cret\n", 0o600).path()).expect("read"), "s3cret");
        for mode in [0o640, 0o604, 0o644] {
            let error = format!("{:#}", read(file("s3cret", mode).path()).expect_err("refused"));
            assert!(error.contains("chmod 0600") && !error.contains("s3cret"), "{error}");
        }
        for text in ["", "\n", "a\nb\n"] {
            assert!(read(file(text, 0o600).path()).is_err(), "{text:?}");
        }
    }
}
