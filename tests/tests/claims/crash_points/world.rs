//! A host whose agent can be killed: the lab's view of this machine, with files of the host's own at [`HOST`].

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, bail};
use aright_agent::task::journal::Step;
use aright_shared::content::script::Script;
use aright_shared::id::TaskId;
use aright_shared::task::TaskReport;
use aright_tests::{Canary, Lab, Place as _, binary};
use nix::libc::SIGKILL;

use super::files::{self, Files, HOST, Last};
use super::part::{Act, PART, Part};

const PARAMETER: &str = "/proc/sys/net/ipv4/conf/all/send_redirects";

pub struct World {
    pub lab: Lab,
    canary: Canary,
    /// Where the agent keeps its state.
    pub state: PathBuf,
    launcher: PathBuf,
    pub last: Last,
}

/// How one part of an agent's life ended.
#[derive(Debug)]
pub enum End {
    /// By the kill that was asked for.
    Died,
    /// By itself; with all results on disk.
    Said(Vec<TaskReport>),
}

/// What lies on the disks, seen from outside.
#[derive(Debug)]
pub struct Found {
    pub files: Files,
    /// Of the task's journal; none where there is no journal.
    pub steps: Vec<Step>,
    /// Of the journal of an order to undo it.
    pub undo: Vec<Step>,
}

impl World {
    pub fn new(last: Last) -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let state = lab.folder().join("state");
        fs::create_dir(&state)?;
        Ok(Self { canary: Canary::new(&lab)?, state, launcher: binary("aright-agent")?, last, lab })
    }

    /// Sings, then changes the files; its activation changes a kernel parameter. It could lock people out, so that
    /// it is kept only once confirmed.
    fn script(&self, task: &TaskId, pause: bool) -> anyhow::Result<Script> {
        let pause = if pause { "sleep 0.5" } else { "" };
        let body =
            format!("set -eu\n{}\n{pause}\n{}", self.canary.song(task.as_str()), files::script(self.last));
        Ok(serde_json::from_value(serde_json::json!({
            "aright": 1, "kind": "script", "key": "word", "origin": "library", "title": "Test", "risk": "safe",
            "lockout": true, "interpreter": "bash", "network": "host", "timeout_s": 20, "touches": files::TOUCHES,
            "activate": [{"sysctl": ["net.ipv4.conf.all.send_redirects"]}], "body": body,
        }))?)
    }

    /// A part of an agent's life, to its end or to a kill at `fail`.
    pub fn live(&self, act: Act, task: &TaskId, fail: Option<&str>) -> anyhow::Result<End> {
        self.spend(act, self.script(task, false)?, task, fail)
    }

    /// As [`Self::live`]; the script gives the test time to hear it before it goes on.
    pub fn live_slowly(&self, act: Act, task: &TaskId, fail: Option<&str>) -> anyhow::Result<End> {
        self.spend(act, self.script(task, true)?, task, fail)
    }

    fn spend(&self, act: Act, script: Script, task: &TaskId, fail: Option<&str>) -> anyhow::Result<End> {
        let said = self.lab.folder().join("said");
        let part = Part {
            act,
            task: task.clone(),
            undo: TaskId::new(),
            script,
            state: self.state.clone(),
            launcher: self.launcher.clone(),
            said: said.clone(),
        };
        let order = self.lab.folder().join("part");
        fs::write(&order, serde_json::to_vec(&part)?)?;
        let program = std::env::current_exe()?;
        let mut command = self.lab.command(&program.to_string_lossy());
        command.args(["--ignored", "--exact", "--nocapture", "crash_points::part::part"]).env(PART, order);
        if let Some(fail) = fail {
            command.env("ARIGHT_FAIL_AT", fail);
        }
        let output = command.stdin(Stdio::null()).output()?;
        let words = || [output.stdout.as_slice(), &output.stderr].map(String::from_utf8_lossy).join("\n");
        match (fail, output.status.signal()) {
            (Some(_), Some(SIGKILL)) => Ok(End::Died),
            (None, None) if output.status.success() => {
                Ok(End::Said(serde_json::from_slice(&fs::read(&said)?)?))
            }
            _ => bail!("{:?}, to be killed at {fail:?}: {}\n{}", part.act, output.status, words()),
        }
    }

    pub fn found(&self, task: &TaskId) -> anyhow::Result<Found> {
        let (mut steps, mut undo) = (Vec::new(), Vec::new());
        // Nothing at all lies on a disk that lost power early.
        for entry in fs::read_dir(self.tasks()).into_iter().flatten() {
            let folder = entry?.path();
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                *(if name == task.as_str() { &mut steps } else { &mut undo }) = steps_of(&folder)?;
            }
        }
        Ok(Found { files: self.files()?, steps, undo })
    }

    pub fn files(&self) -> anyhow::Result<Files> {
        Ok(files::read(&self.lab.path(HOST))?)
    }

    fn tasks(&self) -> PathBuf {
        self.lab.path(&self.state.to_string_lossy()).join("tasks")
    }

    /// How often the task's script was started, whoever did.
    pub fn starts(&self, task: &TaskId) -> usize {
        self.canary.heard().iter().filter(|word| *word == task.as_str()).count()
    }

    /// As the kernel has it after a start.
    pub fn reset_parameter(&self) -> anyhow::Result<()> {
        self.lab.stdout(&["sh", "-c", &format!("echo 1 >{PARAMETER}")]).map(drop)
    }

    pub fn parameter(&self) -> anyhow::Result<String> {
        self.lab.stdout(&["cat", PARAMETER])
    }
}

/// The whole lines of a journal.
fn steps_of(folder: &Path) -> anyhow::Result<Vec<Step>> {
    let bytes = fs::read(folder.join("steps")).with_context(|| folder.display().to_string())?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let step = |line: &str| {
        let word = line.split_once("\"step\":\"")?.1.split_once('"')?.0;
        Step::ALL.iter().copied().find(|step| step.as_str() == word)
    };
    whole.map(|line| step(line).with_context(|| format!("no step: {line:?}"))).collect()
}
