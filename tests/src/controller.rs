//! A controller in the lab, with its own data, on ports that stay the same over restarts.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use serde::Deserialize;

use crate::agent::{Clock, faketime};
use crate::binaries::binary;
use crate::lab::Lab;
use crate::network::CONTROLLER;
use crate::place::Place as _;
use crate::process::{Running, success};
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Controller {
    running: Option<Running>,
    addresses: Addresses,
    options: Vec<String>,
    clock: Clock,
    data: PathBuf,
    lab: Lab,
}

#[derive(Clone, Copy, Deserialize)]
struct Addresses {
    agents: SocketAddr,
    operators: SocketAddr,
}

impl Controller {
    /// A fresh one, in `--dev`.
    ///
    /// # Errors
    /// It does not become ready; with its words.
    pub fn start(lab: &Lab) -> anyhow::Result<Self> {
        Self::start_with(lab, &[])
    }

    /// With further options of `serve`.
    ///
    /// # Errors
    /// It does not become ready; with its words.
    pub fn start_with(lab: &Lab, options: &[&str]) -> anyhow::Result<Self> {
        let any = SocketAddr::from((CONTROLLER, 0));
        let mut controller = Self {
            running: None,
            addresses: Addresses { agents: any, operators: any },
            options: options.iter().map(|&option| option.to_owned()).collect(),
            clock: Clock::Right,
            data: lab.folder().join("controller"),
            lab: lab.clone(),
        };
        controller.start_again()?;
        Ok(controller)
    }

    /// Starts it on the data it left, after [`Self::kill`] or [`Self::stop`].
    ///
    /// # Errors
    /// It does not become ready; with its words.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        let ready = self.data().join("run/addresses.json");
        let _ = fs::remove_file(&ready);
        let mut serve = self.lab.command("env");
        if self.clock != Clock::Right {
            serve.args(self.clock.environment(&faketime()?.to_string_lossy()));
        }
        serve.arg(binary("aright-controller")?).args(["serve", "--dev", "--data"]).arg(self.data());
        serve.args(["--agents", &self.addresses.agents.to_string()]);
        serve.args(["--operators", &self.addresses.operators.to_string()]).args(&self.options);
        let mut running = Running::start("aright-controller", serve, &self.log_file())?;
        self.addresses = until("the controller's addresses", PATIENCE, || {
            running.check()?;
            Ok(fs::read(&ready).ok().and_then(|text| serde_json::from_slice(&text).ok()))
        })?;
        self.running = Some(running);
        Ok(())
    }

    /// From its next start on.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the controller is not running")?.kill()
    }

    /// # Errors
    /// It was not running, or does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the controller is not running")?.stop().map(drop)
    }

    /// # Errors
    /// It is not running.
    pub fn running(&mut self) -> anyhow::Result<&mut Running> {
        self.running.as_mut().context("the controller is not running")
    }

    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Its data folder, which the test may look into and spoil.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// As an operator takes one, while it serves. What that prints.
    ///
    /// # Errors
    /// The words of `aright-controller backup`.
    pub fn backup(&self, file: &Path, passphrase: &Path) -> anyhow::Result<String> {
        let file = file.to_string_lossy();
        self.command(&["backup", &file], &self.data, passphrase)
    }

    /// Into a folder that is its data from its next start on. What that prints.
    ///
    /// # Errors
    /// The words of `aright-controller restore`.
    pub fn restore(
        &mut self,
        file: &Path,
        passphrase: &Path,
        data: &Path,
        options: &[&str],
    ) -> anyhow::Result<String> {
        let file = file.to_string_lossy();
        let said = self.command(&[&["restore", &file], options].concat(), data, passphrase)?;
        self.data = data.to_owned();
        Ok(said)
    }

    fn command(&self, words: &[&str], data: &Path, passphrase: &Path) -> anyhow::Result<String> {
        let output = success(&mut self.prepared(words, data, passphrase)?)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// As [`Self::backup`], not waited for.
    ///
    /// # Errors
    /// It does not start.
    pub fn begin_backup(&self, file: &Path, passphrase: &Path) -> anyhow::Result<Running> {
        let command = self.prepared(&["backup", &file.to_string_lossy()], &self.data, passphrase)?;
        Running::start("backup", command, &self.lab.folder().join("backup.log"))
    }

    fn prepared(&self, words: &[&str], data: &Path, passphrase: &Path) -> anyhow::Result<Command> {
        let mut command = self.lab.command("env");
        command.arg(binary("aright-controller")?).args(words).arg("--data").arg(data);
        command.arg("--passphrase-file").arg(passphrase);
        Ok(command)
    }

    /// A key of its own, such as `keys/task.key`, for a test that plays a thief.
    ///
    /// # Errors
    /// Not there.
    pub fn signing_key(&self, below: &str) -> anyhow::Result<SigningKey> {
        let pem = fs::read_to_string(self.data().join(below)).with_context(|| below.to_owned())?;
        Ok(SigningKey::from_pkcs8_pem(&pem)?)
    }

    #[must_use]
    pub fn agents_url(&self) -> String {
        format!("https://{}", self.addresses.agents)
    }

    #[must_use]
    pub fn operators_url(&self) -> String {
        format!("https://{}", self.addresses.operators)
    }

    #[must_use]
    pub fn agents_address(&self) -> SocketAddr {
        self.addresses.agents
    }

    #[must_use]
    pub fn operators_address(&self) -> SocketAddr {
        self.addresses.operators
    }

    /// What it said, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        crate::process::words(&self.log_file())
    }

    /// What stood behind a label that it printed at its first start, such as `password`.
    ///
    /// # Errors
    /// It did not print that.
    pub fn printed(&self, label: &str) -> anyhow::Result<String> {
        let log = self.log();
        let line = log.lines().find_map(|line| line.trim().strip_prefix(label)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("the controller printed no {label:?}:\n{log}"))?.trim().to_owned())
    }

    fn log_file(&self) -> PathBuf {
        self.lab.folder().join("controller.log")
    }
}
