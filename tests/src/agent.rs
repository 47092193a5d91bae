//! An agent on a host or in a chamber, with its clock right or wrong.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::binaries::binary;
use crate::cli::{Cli, EnrollKey};
use crate::controller::Controller;
use crate::place::Place;
use crate::process::Running;

const PATIENCE: Duration = Duration::from_secs(20);
const PROGRAM: &str = "/usr/bin/aright-agent";
const STATE: &str = "/var/lib/aright-agent";
const SETTINGS: &str = "/etc/aright/agent.toml";
const UNIT: &str = include_str!("../../packaging/systemd/aright-agent.service");
const FAKETIME: &str = "/usr/lib/faketime.so.1";
/// Settings of the service until the next boot, no file of the host's.
const UNTIL_BOOT: &str = "/run/systemd/system/aright-agent.service.d";

/// What a program believes the time to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Clock {
    #[default]
    Right,
    /// As libfaketime writes it: `-10m`, `+2y`, `@1970-01-01 00:00:00`.
    Wrong(String),
}

impl Clock {
    /// What tells a program so. `library` is libfaketime, where the program finds it.
    pub(crate) fn environment(&self, library: &str) -> Vec<String> {
        match self {
            Self::Right => Vec::new(),
            Self::Wrong(time) => vec![
                format!("LD_PRELOAD={library}"),
                format!("FAKETIME={time}"),
                "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
                // The times of files are what they are.
                "NO_FAKE_STAT=1".to_owned(),
            ],
        }
    }
}

pub struct Agent<'a, P: Place> {
    place: &'a P,
    clock: Clock,
    fail_at: Option<String>,
    log: PathBuf,
    running: Option<Running>,
}

impl<'a, P: Place> Agent<'a, P> {
    /// Copies the program in. `log` is a file of the test's own.
    ///
    /// # Errors
    /// Names the file.
    pub fn install(place: &'a P, log: PathBuf) -> anyhow::Result<Self> {
        Self::of(place, &binary("aright-agent")?, log)
    }

    /// The same with another build of it.
    ///
    /// # Errors
    /// Names the file.
    pub fn of(place: &'a P, program: &Path, log: PathBuf) -> anyhow::Result<Self> {
        place.install(program, PROGRAM)?;
        Ok(Self { place, clock: Clock::Right, fail_at: None, log, running: None })
    }

    /// Installed, enrolled and started, in place of a service.
    ///
    /// # Errors
    /// The words of `aright enroll-key create` or of the agent.
    pub fn joined(place: &'a P, controller: &Controller, cli: &Cli) -> anyhow::Result<Self> {
        let mut agent = Self::install(place, controller.lab().folder().join("agent.log"))?;
        agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
        agent.start()?;
        Ok(agent)
    }

    /// From its next start on.
    ///
    /// # Errors
    /// libfaketime is not there.
    pub fn set_clock(&mut self, clock: Clock) -> anyhow::Result<()> {
        if clock != Clock::Right {
            self.place.install(&faketime()?, FAKETIME)?;
        }
        self.clock = clock;
        Ok(())
    }

    /// Where it kills itself from its next start on, such as `after:accepted`; see the agent's fail points.
    pub fn set_fail_point(&mut self, point: Option<&str>) {
        self.fail_at = point.map(str::to_owned);
    }

    /// Adds lines to its settings file.
    ///
    /// # Errors
    /// Names the file.
    pub fn set(&self, lines: &str) -> anyhow::Result<()> {
        let before = self.place.read(SETTINGS).unwrap_or_default();
        self.place.write(SETTINGS, &format!("{before}{lines}\n"))
    }

    /// # Errors
    /// Its words.
    pub fn enroll(&self, controller_url: &str, key: &EnrollKey) -> anyhow::Result<()> {
        let output = self.output(&[
            "enroll",
            "--controller",
            controller_url,
            "--key",
            &key.secret,
            "--ca-fingerprint",
            &key.authority,
            "--trust-fingerprint",
            &key.trust,
        ])?;
        ensure!(output.status.success(), "enrolment: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The folder of its key, its spool and all else that it keeps, seen from the test.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.place.path(STATE)
    }

    /// The service loop.
    ///
    /// # Errors
    /// It ends at once; with its words.
    pub fn start(&mut self) -> anyhow::Result<()> {
        let mut command = self.command();
        command.arg("run");
        self.running = Some(Running::start("aright-agent", command, &self.log)?);
        Ok(())
    }

    /// Instead of [`Self::start`]: as the host's own service, now and after each boot.
    ///
    /// # Errors
    /// systemctl's words.
    pub fn serve(&self) -> anyhow::Result<()> {
        let unit = UNIT.replace("/usr/sbin/", "/usr/bin/");
        self.place.write("/etc/systemd/system/aright-agent.service", &unit)?;
        self.place.stdout(&["systemctl", "enable", "--now", "aright-agent"]).map(drop)
    }

    /// Starts the host's own service anew, with the clock that was set, until the next boot.
    ///
    /// # Errors
    /// systemctl's words.
    pub fn serve_anew(&self) -> anyhow::Result<()> {
        let clock: Vec<_> = self.clock.environment(FAKETIME).iter().map(|one| format!("\"{one}\"")).collect();
        self.place.stdout(&["mkdir", "-p", UNTIL_BOOT])?;
        let settings = format!("[Service]\nEnvironment={}\n", clock.join(" "));
        self.place.write(&format!("{UNTIL_BOOT}/clock.conf"), &settings)?;
        self.place.stdout(&["systemctl", "daemon-reload"])?;
        self.place.stdout(&["systemctl", "restart", "aright-agent"]).map(drop)
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// It was not running.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the agent is not running")?.kill()
    }

    /// # Errors
    /// It was not running, or does not end.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the agent is not running")?.stop().map(drop)
    }

    /// Waits until it has ended by itself, at a fail point.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn died(&mut self) -> anyhow::Result<()> {
        self.running.take().context("the agent is not running")?.ended(PATIENCE).map(drop)
    }

    /// # Errors
    /// It is not running.
    pub fn running(&mut self) -> anyhow::Result<&mut Running> {
        self.running.as_mut().context("the agent is not running")
    }

    /// Another command of the agent's, such as `status`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn output(&self, args: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command().args(args).output()?)
    }

    /// Everything the service said, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        crate::process::words(&self.log)
    }

    fn command(&self) -> Command {
        let mut command = self.place.command("env");
        command.args(self.clock.environment(FAKETIME));
        command.args(self.fail_at.iter().map(|point| format!("ARIGHT_FAIL_AT={point}"))).arg(PROGRAM);
        command
    }
}

/// Debian's package, wherever its architecture puts it.
pub(crate) fn faketime() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")?.flatten();
    folders
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.is_file())
        .context("libfaketime is not installed; next: apt-get install faketime")
}
