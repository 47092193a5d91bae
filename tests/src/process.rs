//! Long-lived programs of a test, and what short ones said.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(20);

/// A program in a [`crate::Place`]; killed when dropped.
pub struct Running {
    /// `nsenter`, which waits for the program and passes its end on.
    entered: Child,
    pid: Pid,
    name: String,
    log: PathBuf,
}

impl Running {
    /// Starts what a place's `command` made. Output is appended to `log`.
    ///
    /// # Errors
    /// It does not start, or ends at once.
    pub fn start(name: &str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let mut entered = command.spawn().with_context(|| format!("starting {name}"))?;
        let outer = Pid::from_raw(entered.id().cast_signed());
        let pid = until(name, PATIENCE, || match entered.try_wait()? {
            Some(status) => bail!("{name} ended at once: {status}\n{}", words(log)),
            None => Ok(children(outer).first().copied()),
        })?;
        Ok(Self { entered, pid, name: name.to_owned(), log: log.to_owned() })
    }

    /// The program itself, by the number it has in the test's own view.
    #[must_use]
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Everything it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        words(&self.log)
    }

    /// # Errors
    /// It has ended; with its last words.
    pub fn check(&mut self) -> anyhow::Result<()> {
        match self.entered.try_wait()? {
            Some(status) => bail!("{} ended: {status}\n{}", self.name, self.log()),
            None => Ok(()),
        }
    }

    /// # Errors
    /// It has gone already.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        kill(self.pid, signal).with_context(|| format!("{signal} to {}", self.name))
    }

    /// As `kill -9` does.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.check()?;
        self.signal(Signal::SIGKILL)?;
        self.entered.wait()?;
        Ok(())
    }

    /// Asks it to end and waits.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        until(&format!("the end of {}", self.name), PATIENCE, || Ok(self.entered.try_wait()?))
    }

    /// Waits for its own end.
    ///
    /// # Errors
    /// It does not end in time.
    pub fn ended(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        until(&format!("the end of {}", self.name), patience, || Ok(self.entered.try_wait()?))
    }

    /// CPU time used so far by the program itself, user and system.
    ///
    /// # Errors
    /// It has gone.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_whitespace().collect());
        let ticks: u64 =
            fields.get(11..13).context("stat is short")?.iter().flat_map(|n| n.parse::<u64>()).sum();
        let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
        Ok(Duration::from_millis(ticks * 1000 / a_second.cast_unsigned()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.entered.try_wait(), Ok(None)) {
            let _ = kill(self.pid, Signal::SIGKILL);
            let _ = self.entered.wait();
        }
    }
}

/// The output of a program that succeeded.
///
/// # Errors
/// It did not start, or failed; with its words.
pub fn success(command: &mut Command) -> anyhow::Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}

/// The direct children of a process.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(path).unwrap_or_default();
    list.split_whitespace().flat_map(str::parse).map(Pid::from_raw).collect()
}

pub(crate) fn words(log: &Path) -> String {
    fs::read(log).map_or_else(|_| String::new(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}
