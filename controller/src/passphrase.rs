//! The passphrase of a backup: from a file, a pipe or the terminal; never an argument, never the environment.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use zeroize::Zeroizing;

/// What is sealed holds every key of the controller, and is kept where others may come by it.
const LEAST: usize = 12;

/// Of a backup that is to be opened. `-` is standard input.
///
/// # Errors
/// It cannot be read, or is empty.
pub fn read(file: Option<&Path>) -> Result<Zeroizing<String>> {
    let text = match file {
        Some(path) if path != Path::new("-") => std::fs::read_to_string(path)
            .with_context(|| format!("read the passphrase from {}", path.display()))?,
        None if std::io::stdin().is_terminal() => rpassword::prompt_password("passphrase of the backup: ")?,
        _ => {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line)?;
            line
        }
    };
    let text = Zeroizing::new(text);
    let passphrase = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    ensure!(!passphrase.is_empty(), "the passphrase is empty; next: --passphrase-file FILE, or a pipe");
    Ok(passphrase)
}

/// Of a new backup: long enough, and typed twice where it is typed.
///
/// # Errors
/// As [`read`], or it is too short.
pub fn choose(file: Option<&Path>) -> Result<Zeroizing<String>> {
    let passphrase = read(file)?;
    let length = passphrase.chars().count();
    ensure!(length >= LEAST, "the passphrase has {length} characters; next: take at least {LEAST}");
    if file.is_none() && std::io::stdin().is_terminal() {
        let again = Zeroizing::new(rpassword::prompt_password("once more: ")?);
        ensure!(*again == *passphrase, "the two passphrases differ; next: try again");
    }
    Ok(passphrase)
}
