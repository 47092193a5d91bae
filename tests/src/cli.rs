//! The operator's command line, logged in, with a session file of its own.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, NewJob, Task, TaskDetail};
use aright_shared::id::{JobId, Key, TaskId};
use serde::Deserialize;
use serde_json::Value;

use crate::binaries::binary;
use crate::controller::Controller;
use crate::lab::Lab;
use crate::place::Place as _;
use crate::wait::until;

/// A watched run ended, with something that was not fixed.
const NOT_ALL_FIXED: i32 = 3;

/// How long a host may take from its enrolment, or its start, to its first report.
const REPORTED_WITHIN: Duration = Duration::from_secs(30);

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
        self.output_with(&[], args)
    }

    /// The same with more in its environment.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn output_with(&self, environment: &[&str], args: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(environment, args).output()?)
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

    /// Uploads a script (YAML) and approves it with the first approver's key.
    ///
    /// # Errors
    /// The words of `aright script`.
    pub fn approve(&self, controller: &Controller, script: &str) -> anyhow::Result<Key> {
        let file = self.lab.folder().join("script.yaml");
        fs::write(&file, script)?;
        let stored = self.json(&["script", "new", &file.to_string_lossy()])?;
        let key: Key = serde_json::from_value(stored["key"].clone())?;
        let approver = controller.data().join("offline/approver-admin.key");
        self.text(&["script", "approve", key.as_str(), "--key", &approver.to_string_lossy()])?;
        Ok(key)
    }

    /// Saves a job that runs at once (the fields of `POST /api/v1/jobs`).
    ///
    /// # Errors
    /// The words of `aright job create`.
    pub fn create_job(&self, job: &NewJob) -> anyhow::Result<JobId> {
        let file = self.lab.folder().join("job.yaml");
        // JSON is YAML.
        fs::write(&file, serde_json::to_vec(job)?)?;
        let created = self.json(&["job", "create", "--file", &file.to_string_lossy(), "--hold-s", "0"])?;
        Ok(serde_json::from_value(created["id"].clone())?)
    }

    /// Runs a saved job once more, at once.
    ///
    /// # Errors
    /// The words of `aright job run`.
    pub fn run_job(&self, job: &JobId) -> anyhow::Result<()> {
        self.text(&["job", "run", job.as_str(), "--hold-s", "0"]).map(drop)
    }

    /// The tasks of a job's newest run, once it has ended.
    ///
    /// # Errors
    /// The words of `aright job watch`.
    pub fn watch(&self, job: &JobId) -> anyhow::Result<Vec<Task>> {
        let ended = self.json(&["job", "watch", job.as_str()])?;
        Ok(serde_json::from_value(ended["tasks"].clone())?)
    }

    /// All that is known of a task.
    ///
    /// # Errors
    /// The words of `aright task show`.
    pub fn task(&self, task: &TaskId) -> anyhow::Result<TaskDetail> {
        Ok(serde_json::from_value(self.json(&["task", "show", task.as_str()])?)?)
    }

    /// All hosts.
    ///
    /// # Errors
    /// The words of `aright asset list`.
    pub fn assets(&self) -> anyhow::Result<Vec<Asset>> {
        Ok(serde_json::from_value(self.json(&["asset", "list"])?)?)
    }

    /// A host, once its agent has reported controls that fail.
    ///
    /// # Errors
    /// None does in time.
    pub fn reported(&self) -> anyhow::Result<Asset> {
        let failing = |asset: &Asset| asset.postures.fail > 0;
        until("a report", REPORTED_WITHIN, || Ok(self.assets()?.into_iter().find(failing)))
    }

    fn command(&self, environment: &[&str], args: &[&str]) -> Command {
        let mut command = self.lab.command("env");
        // This machine's own proxy leads into no lab.
        command.args(
            ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].map(|name| format!("--unset={name}")),
        );
        command
            .args(environment)
            .arg(format!("ARIGHT_CONFIG={}", self.session.display()))
            .arg(&self.program)
            .args(args);
        command.stdin(Stdio::null());
        command
    }
}
