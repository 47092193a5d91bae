//! The lab: mount, PID, network, IPC and UTS namespaces of a test's own.
//!
//! Everything that a test starts lives in them. Their init ends when the test does, be it by a panic or by
//! `kill -9`, since it reads from a pipe that the test holds; with it the kernel ends every process, every
//! mount and every link of the lab. What can be left is a folder, which the next lab removes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::place::Place;
use crate::process::children;
use crate::wait::until;
use crate::{cgroup, debian, network};

/// By this the agent's program knows that it is to be a launcher.
const LAUNCHER: &str = "__launch";

/// A handle; the lab ends with its last one.
#[derive(Clone)]
pub struct Lab(Arc<Inner>);

struct Inner {
    /// `unshare`, whose child is the lab's init.
    unshare: Child,
    init: Pid,
    hosts: AtomicU8,
    folder: TempDir,
}

impl Lab {
    /// # Errors
    /// The namespaces cannot be made.
    pub fn new() -> anyhow::Result<Self> {
        let folder = fresh_folder()?;
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--pid", "--net", "--ipc", "--uts", "--propagation", "private"])
            .args(["--fork", "--kill-child=KILL", "--mount-proc", "bash", "-c"])
            .arg("mount -t tmpfs lab /run && ip link set lo up && echo ready && read -r _")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting unshare")?;
        let mut first = String::new();
        BufReader::new(unshare.stdout.take().context("unshare has no output")?).read_line(&mut first)?;
        ensure!(first.trim() == "ready", "the lab's namespaces cannot be made");
        let outer = Pid::from_raw(unshare.id().cast_signed());
        let init = until("the lab's init", Duration::from_secs(5), || Ok(children(outer).first().copied()))?;
        let lab = Self(Arc::new(Inner { unshare, init, hosts: AtomicU8::new(0), folder }));
        network::bridge(&lab)?;
        Ok(lab)
    }

    /// A folder for the test's files, gone with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// `program` in the lab's network, but otherwise on this machine.
    #[must_use]
    pub fn network(&self, program: &str) -> Command {
        enter(self.0.init, &["-n"], program)
    }

    /// What lives of any stage in the lab's chambers: command lines of launchers, and of every process in a
    /// PID namespace below the lab's, as the lab's own `/proc` lists them.
    ///
    /// # Errors
    /// There is no such list.
    pub fn caged(&self) -> anyhow::Result<Vec<String>> {
        let mut caged = Vec::new();
        for entry in fs::read_dir(self.path("/proc"))?.flatten() {
            // What has ended since it was listed is not there.
            let Ok(status) = fs::read_to_string(entry.path().join("status")) else { continue };
            let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if numbers.split_whitespace().count() > 1 || line.contains(LAUNCHER) {
                caged.push(line);
            }
        }
        Ok(caged)
    }

    /// The number of the next host.
    pub(crate) fn next(&self) -> u8 {
        self.0.hosts.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn init(&self) -> Pid {
        self.0.init
    }
}

impl Place for Lab {
    fn command(&self, program: &str) -> Command {
        enter(self.0.init, &["-m", "-p", "-n", "-i", "-u"], program)
    }

    fn root(&self) -> PathBuf {
        format!("/proc/{}/root", self.0.init).into()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        drop(self.unshare.stdin.take());
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// `program` in namespaces of another process.
pub(crate) fn enter(target: Pid, which: &[&str], program: &str) -> Command {
    let mut command = Command::new("nsenter");
    command.arg("-t").arg(target.to_string()).args(which).arg("--").arg(program);
    command
}

/// Named after this process and its start, so that later labs see whether it still lives.
fn fresh_folder() -> anyhow::Result<TempDir> {
    let all = debian::cache()?.join("labs");
    fs::create_dir_all(&all)?;
    sweep(&all);
    let own = std::process::id();
    let started = start_of(own).context("reading this process's own start")?;
    Ok(tempfile::Builder::new().prefix(&format!("{own}-{started}-")).tempdir_in(&all)?)
}

/// Removes what tests left that were killed.
fn sweep(all: &Path) {
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let mut parts = name.to_str().unwrap_or_default().split('-').map(str::parse::<u64>);
        if let (Some(Ok(pid)), Some(Ok(started))) = (parts.next(), parts.next())
            && u32::try_from(pid).is_ok_and(|pid| start_of(pid) != Some(started))
        {
            let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(entry.path()).status();
            cgroup::sweep(&format!("{pid}-"));
        }
    }
}

/// When a process started, in the kernel's ticks; tells a process from a later one of the same number.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
