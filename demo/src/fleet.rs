//! The three programs: a controller and an agent that end with the demo, and the CLI that asks them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::view;

const PROGRAMS: [&str; 3] = ["aright-controller", "aright-agent", "aright"];
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the binaries are: as told, or beside this one.
pub fn bin_folder(told: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let folder = match told {
        Some(folder) => fs::canonicalize(folder)?,
        None => std::env::current_exe()?.parent().context("this program lies in no folder")?.to_owned(),
    };
    for program in PROGRAMS {
        let path = folder.join(program);
        ensure!(path.is_file(), "{} is missing; next: cargo build --release", path.display());
    }
    Ok(folder)
}

/// A child that is ended, and waited for, when it is dropped.
pub struct Running {
    child: Child,
    name: &'static str,
    log: PathBuf,
}

impl Running {
    fn start(name: &'static str, mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        Ok(Self { child, name, log: log.to_owned() })
    }

    /// Whether it still runs; else its last words.
    fn check(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let words = fs::read_to_string(&self.log).unwrap_or_default();
            bail!("{} ended: {status}\n{words}", self.name);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let soft_until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < soft_until {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that was started, in the order in which it is ended.
pub struct Fleet {
    pub agent: Running,
    pub controller: Running,
    pub cli: Cli,
}

/// The operator's command line, logged in.
pub struct Cli {
    program: PathBuf,
    pub session: PathBuf,
}

impl Cli {
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("ARIGHT_CONFIG", &self.session);
        command
    }

    /// Runs a command and parses what it prints as JSON.
    pub fn json(&self, args: &[&str]) -> anyhow::Result<Value> {
        let output = self.command(args).args(["--output", "json"]).stdin(Stdio::null()).output()?;
        ensure!(
            output.status.success() || output.status.code() == Some(3),
            "aright {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("aright {} printed no JSON", args.join(" ")))
    }

    /// Runs a command for the person who watches.
    pub fn show(&self, args: &[&str]) -> anyhow::Result<()> {
        let status = self.command(args).stdin(Stdio::null()).status()?;
        ensure!(status.success() || status.code() == Some(3), "aright {}: {status}", args.join(" "));
        Ok(())
    }

    fn output(&self, args: &[&str]) -> anyhow::Result<Output> {
        Ok(self.command(args).stdin(Stdio::null()).output()?)
    }
}

/// Where the agent lives.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the throwaway view.
    View,
    /// On the host itself, with the rights of an ordinary user.
    AsItIs,
}

/// Starts a controller on free loopback ports and enrols an agent.
pub fn start(bin: &Path, work: &Path, place: Place) -> anyhow::Result<Fleet> {
    for folder in ["bin", "view"] {
        fs::create_dir(work.join(folder))?;
    }
    // The view's /tmp and /run are empty: the agent's program comes along in the shared folder.
    let agent_program = work.join("bin/aright-agent");
    fs::copy(bin.join("aright-agent"), &agent_program)?;
    let controller = start_controller(bin, work)?;
    let cli = Cli { program: bin.join("aright"), session: work.join("session.toml") };
    log_in(&cli, work)?;
    let agent = start_agent(&cli, &agent_program, work, place)?;
    Ok(Fleet { agent, controller, cli })
}

fn start_controller(bin: &Path, work: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new(bin.join("aright-controller"));
    command.arg("serve").arg("--dev").arg("--data").arg(work.join("controller"));
    command.args(["--agents", "127.0.0.1:0", "--operators", "127.0.0.1:0"]);
    let mut controller = Running::start("aright-controller", command, &work.join("controller.log"))?;
    let ready = work.join("controller/run/addresses.json");
    let since = Instant::now();
    while !ready.exists() {
        controller.check()?;
        ensure!(since.elapsed() < PATIENCE, "the controller did not become ready within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(controller)
}

/// With what the controller printed at its first start.
fn log_in(cli: &Cli, work: &Path) -> anyhow::Result<()> {
    let words = fs::read_to_string(work.join("controller.log"))?;
    let after = |label: &str| {
        words
            .lines()
            .find_map(|line| line.trim().strip_prefix(label))
            .map(|rest| rest.trim().to_owned())
            .with_context(|| format!("the controller did not print its {label:?}:\n{words}"))
    };
    let password = work.join("password");
    fs::write(&password, after("password")?)?;
    let addresses: Value = serde_json::from_slice(&fs::read(work.join("controller/run/addresses.json"))?)?;
    let operators = addresses["operators"].as_str().context("addresses.json names no operators' address")?;
    let output = cli.output(&[
        "login",
        &format!("https://{operators}"),
        "--ca-fingerprint",
        &after("ca fingerprint")?,
        "--password-file",
        &password.to_string_lossy(),
    ])?;
    ensure!(output.status.success(), "log-in: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn start_agent(cli: &Cli, program: &Path, work: &Path, place: Place) -> anyhow::Result<Running> {
    let key = cli.json(&["enroll-key", "create", "--name", "demo"])?;
    let text = |field: &str| {
        key[field].as_str().map(str::to_owned).with_context(|| format!("the key has no {field}"))
    };
    let addresses: Value = serde_json::from_slice(&fs::read(work.join("controller/run/addresses.json"))?)?;
    let url = format!(
        "https://{}",
        addresses["agents"].as_str().context("addresses.json names no agents' address")?
    );
    let state = work.join("agent");
    let settings = work.join("agent.toml");
    fs::write(&settings, format!("controllers = [{url:?}]\nstate = {state:?}\n"))?;
    let enrol = Command::new(program)
        .arg("--config")
        .arg(&settings)
        .args(["enroll", "--key", &text("secret")?])
        .args(["--ca-fingerprint", &text("authority")?, "--trust-fingerprint", &text("trust")?])
        .stdin(Stdio::null())
        .output()?;
    ensure!(enrol.status.success(), "enrolment: {}", String::from_utf8_lossy(&enrol.stderr));
    let (mut command, private_net) = match place {
        Place::View => (view::command(work, program)?, Some("--private-net")),
        Place::AsItIs => (Command::new(program), None),
    };
    command.arg("--config").arg(&settings).arg("run").args(private_net);
    Running::start("aright-agent", command, &work.join("agent.log"))
}

impl Fleet {
    /// Waits until the agent has reported what it saw.
    pub fn wait_for_posture(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            self.agent.check()?;
            self.controller.check()?;
            let postures = self.cli.json(&["posture", "list"])?;
            if postures.as_array().is_some_and(|rows| !rows.is_empty()) {
                return Ok(());
            }
            ensure!(since.elapsed() < PATIENCE, "no posture within {PATIENCE:?}; is this Debian or Ubuntu?");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
