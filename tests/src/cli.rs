//! The operator's command line, logged in, with a session file of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde_json::Value;

use crate::binaries::binary;
use crate::controller::Controller;
use crate::lab::Lab;
use crate::place::Place as _;

/// A watched run ended, with something that was not fixed.
const NOT_ALL_FIXED: i32 = 3;

pub struct Cli {
    program: PathBuf,
    session: PathBuf,
    lab: Lab,
}

/// What a host needs in order to enrol.
#[derive(Clone, Debug, Deserialize)]
pub struct EnrollKey {
    pub secret: String,
    /// Fingerprint of the controller's authority.
    pub authority: String,
    /// Fingerprint of the trust root.
    pub trust: String,
}

impl Cli {
    /// Logs in as the administrator, with what the controller printed at its first start.
    ///
    /// # Errors
    /// The words of `aright login`.
    pub fn log_in(controller: &Controller) -> anyhow::Result<Self> {
        let lab = controller.lab();
        let cli =
            Self { program: binary("aright")?, session: lab.folder().join("session.toml"), lab: lab.clone() };
        let password = lab.folder().join("password");
        fs::write(&password, controller.printed("password")?)?;
        let authority = controller.printed("ca fingerprint")?;
        let url = controller.operators_url();
        let password = password.to_string_lossy();
        cli.text(&["login", &url, "--ca-fingerprint", &authority, "--password-file", &password])?;
        Ok(cli)
    }

    /// Runs it to its end, whatever that is.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn output(&self, args: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(args).output()?)
    }

    /// As a person would run it: what it prints.
    ///
    /// # Errors
    /// It failed; with its words.
    pub fn text(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.output(args)?;
        ensure!(
            matches!(output.status.code(), Some(0 | NOT_ALL_FIXED)),
            "aright {}: {}\n{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As a program would: with `--output json`.
    ///
    /// # Errors
    /// It failed, or printed something else.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let text = self.text(&[args, &["--output", "json"]].concat())?;
        serde_json::from_str(&text).with_context(|| format!("aright {}: no JSON:\n{text}", args.join(" ")))
    }

    /// A key for so many hosts.
    ///
    /// # Errors
    /// The words of `aright enroll-key create`.
    pub fn enroll_key(&self, uses: usize) -> anyhow::Result<EnrollKey> {
        Ok(serde_json::from_value(self.json(&["enroll-key", "create", "--uses", &uses.to_string()])?)?)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.lab.command("env");
        command.arg(format!("ARIGHT_CONFIG={}", self.session.display())).arg(&self.program).args(args);
        command.stdin(Stdio::null());
        command
    }
}
