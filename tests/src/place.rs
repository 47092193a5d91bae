//! Where commands run: the lab itself, a booted host, a chamber.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fs, io};

use anyhow::Context as _;

use crate::process::success;

pub trait Place {
    /// `program` as it will run there; paths are the place's own.
    fn command(&self, program: &str) -> Command;

    /// The place's root folder, seen from the test.
    fn root(&self) -> PathBuf;

    /// Where `path` of the place lies for the test.
    fn path(&self, path: &str) -> PathBuf {
        self.root().join(path.trim_start_matches('/'))
    }

    /// Runs a program to its end, whatever that is.
    ///
    /// # Errors
    /// It cannot be started.
    fn output(&self, words: &[&str]) -> anyhow::Result<Output> {
        let (program, args) = words.split_first().context("no program")?;
        Ok(self.command(program).args(args).stdin(Stdio::null()).output()?)
    }

    /// What a program prints that succeeds, without the last line's end.
    ///
    /// # Errors
    /// It fails; with its words.
    fn stdout(&self, words: &[&str]) -> anyhow::Result<String> {
        let (program, args) = words.split_first().context("no program")?;
        let output = success(self.command(program).args(args))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// # Errors
    /// Names the file.
    fn read(&self, path: &str) -> anyhow::Result<String> {
        fs::read_to_string(self.path(path)).with_context(|| format!("reading {path}"))
    }

    /// # Errors
    /// Names the file.
    fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let at = self.path(path);
        make_parent(&at).and_then(|()| fs::write(&at, text)).with_context(|| format!("writing {path}"))
    }

    /// Copies a program of this machine in, executable.
    ///
    /// # Errors
    /// Names the file.
    fn install(&self, source: &Path, path: &str) -> anyhow::Result<()> {
        let at = self.path(path);
        make_parent(&at)
            .and_then(|()| fs::copy(source, &at))
            .and_then(|_| fs::set_permissions(&at, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("copying {} to {path}", source.display()))
    }
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}
