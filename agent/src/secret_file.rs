//! Files that hold a secret for this agent: read only where nobody but their owner may.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::system;

/// Longest secret, in bytes.
const MOST: u64 = 4096;

/// The file's one line.
///
/// # Errors
/// Unreadable, open to others, or not one line; what it holds is in no error.
pub fn read(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let file = system::open_secret(path)?;
    let mut text = String::new();
    file.take(MOST + 1).read_to_string(&mut text).with_context(|| format!("cannot read {shown}"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    ensure!(
        !secret.is_empty() && text.len() as u64 <= MOST && !secret.chars().any(char::is_control),
        "{shown} must hold one line of at most {MOST} bytes"
    );
    Ok(secret.to_owned())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(text: &str, mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), text).expect("written");
        std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).expect("set");
        file
    }

    #[test]
    fn what_is_no_file_or_anothers_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("made");
        let error = format!("{:#}", read(&pipe).expect_err("refused"));
        assert!(error.contains("no plain file"), "{error}");
        if system::sees_all() {
            let file = file("s3cret", 0o600);
            std::os::unix::fs::chown(file.path(), Some(12_345), None).expect("given away");
            let error = format!("{:#}", read(file.path()).expect_err("refused"));
            assert!(error.contains("12345") && error.contains("chown root"), "{error}");
        }
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
