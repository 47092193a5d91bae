//! A real Debian host: systemd as its first process, sshd, cron, a user who may become root, a network
//! of its own with a cable to the lab's bridge.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::cgroup::Group;
use crate::lab::{Lab, enter};
use crate::place::Place;
use crate::process::{Running, children, success};
use crate::wait::until;
use crate::{debian, network};

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Host {
    // Dropped in this order: first what runs, last what it ran on.
    boot: Option<Boot>,
    disk: TempDir,
    number: u8,
    name: String,
    lab: Lab,
}

/// One life of the host, from power on to power off.
struct Boot {
    container: Running,
    /// The host's own first process.
    leader: Pid,
    group: Group,
}

impl Host {
    /// A new host, up and running. Names are unique within a lab.
    ///
    /// # Errors
    /// It does not come up; with its console.
    pub fn boot(lab: &Lab, name: &str) -> anyhow::Result<Self> {
        Self::boot_from(&debian::debian_12()?, lab, name)
    }

    /// The same with a copy of another root.
    ///
    /// # Errors
    /// It does not come up; with its console.
    pub fn boot_from(root: &Path, lab: &Lab, name: &str) -> anyhow::Result<Self> {
        let number = lab.next();
        let disk = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(lab.folder())?;
        let mut host = Self { boot: None, disk, number, name: name.to_owned(), lab: lab.clone() };
        debian::copy(root, &host.disk())?;
        host.personalise()?;
        host.power_on()?;
        Ok(host)
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        network::address(self.number)
    }

    #[must_use]
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// A command by `ops` over SSH, on a connection of its own; the server's banner is on stderr.
    ///
    /// # Errors
    /// `ssh` cannot be started.
    pub fn ssh(&self, command: &str) -> anyhow::Result<Output> {
        let mut ssh = self.lab.network("ssh");
        ssh.arg("-i").arg(debian::ops_key()?).args(["-F", "none", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"]);
        ssh.arg(format!("ops@{}", self.address())).arg(command).stdin(Stdio::null());
        Ok(ssh.output()?)
    }

    /// CPU time of everything in the host since it was switched on.
    ///
    /// # Errors
    /// It is off.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        self.boot.as_ref().context("the host is off")?.group.cpu()
    }

    /// A connection to a port of the host.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(&self, port: u16) -> anyhow::Result<std::net::TcpStream> {
        network::connect(&self.lab, SocketAddr::from((self.address(), port)))
    }

    /// # Errors
    /// `ip`'s words.
    pub fn unplug(&self) -> anyhow::Result<()> {
        network::link(&self.lab, self.number, "down")
    }

    /// # Errors
    /// `ip`'s words.
    pub fn plug_in(&self) -> anyhow::Result<()> {
        network::link(&self.lab, self.number, "up")
    }

    /// Shuts down and comes up again, with the files that it had.
    ///
    /// # Errors
    /// It does not.
    pub fn reboot(&mut self) -> anyhow::Result<()> {
        let mut boot = self.boot.take().context("the host is off")?;
        // Its answer may be lost with the host.
        let _ = enter(boot.leader, &["-a"], "systemctl").arg("poweroff").output();
        boot.container.ended(PATIENCE)?;
        drop(boot);
        self.power_on()
    }

    /// Ends everything at once, as a power cut does for processes; files keep what was written.
    ///
    /// # Errors
    /// It was off.
    pub fn cut_power(&mut self) -> anyhow::Result<()> {
        let mut boot = self.boot.take().context("the host is off")?;
        kill(boot.leader, Signal::SIGKILL)?;
        boot.container.ended(PATIENCE)?;
        Ok(())
    }

    /// # Errors
    /// It does not come up; with its console.
    pub fn power_on(&mut self) -> anyhow::Result<()> {
        let group = Group::new(&self.lab_unique_name())?;
        let console = self.disk.path().join("console");
        let mut nspawn = self.lab.command("sh");
        nspawn.arg("-c").arg(format!("{}exec \"$@\"", group.join())).arg("sh");
        nspawn.args(["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"]);
        nspawn.args(["--console=pipe", "--private-network", "--machine", &self.name, "--directory"]);
        nspawn.arg(self.disk()).env("TMPDIR", self.disk.path());
        let mut container = Running::start(&self.name, nspawn, &console)?;
        let leader = until(&format!("systemd on {}", self.name), PATIENCE, || {
            container.check()?;
            Ok(children(container.pid()).into_iter().find(|pid| is_systemd(*pid)))
        })?;
        network::plug(&self.lab, self.number, leader)?;
        self.boot = Some(Boot { container, leader, group });
        self.wait_until_running()
    }

    fn wait_until_running(&mut self) -> anyhow::Result<()> {
        let name = self.name.clone();
        until(&format!("{name} being up"), PATIENCE, || {
            let state = self.output(&["systemctl", "is-system-running", "--wait"])?;
            match String::from_utf8_lossy(&state.stdout).trim() {
                "running" => Ok(Some(())),
                "degraded" => {
                    bail!("{name} is degraded: {}", self.stdout(&["systemctl", "--failed", "--plain"])?)
                }
                _ => self.boot.as_mut().context("off")?.container.check().map(|()| None),
            }
        })
    }

    /// What no two hosts share.
    fn personalise(&self) -> anyhow::Result<()> {
        let disk = self.disk();
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|error| anyhow!("no randomness: {error}"))?;
        let name = &self.name;
        fs::write(disk.join("etc/machine-id"), format!("{}\n", hex::encode(id)))?;
        fs::write(disk.join("etc/hostname"), format!("{name}\n"))?;
        let hosts = format!("127.0.0.1 localhost\n127.0.1.1 {name}\n{} controller\n", network::CONTROLLER);
        fs::write(disk.join("etc/hosts"), hosts)?;
        success(Command::new("chroot").arg(disk).args(["ssh-keygen", "-q", "-A"]))?;
        Ok(())
    }

    fn disk(&self) -> PathBuf {
        self.disk.path().join("root")
    }

    /// The lab's folder is named after this process.
    pub(crate) fn lab_unique_name(&self) -> String {
        let lab = self.lab.folder().file_name().unwrap_or_default().to_string_lossy();
        format!("{lab}-{}", self.number)
    }
}

impl Place for Host {
    fn command(&self, program: &str) -> Command {
        match &self.boot {
            Some(boot) => enter(boot.leader, &["-a"], program),
            None => Command::new("/the/host/is/off"),
        }
    }

    fn root(&self) -> PathBuf {
        match &self.boot {
            Some(boot) => format!("/proc/{}/root", boot.leader).into(),
            None => self.disk(),
        }
    }
}

impl Drop for Boot {
    fn drop(&mut self) {
        // Its processes end with it, and only then can its control group go.
        let _ = kill(self.leader, Signal::SIGKILL);
        let _ = until("the container's end", Duration::from_secs(10), || {
            Ok(self.container.check().is_err().then_some(()))
        });
    }
}

fn is_systemd(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd")
}
