//! One part of an agent's life, in a process of its own so that it can be killed: a task, an order to undo it, or
//! a start that finds what earlier lives left. The real order of steps, stage, commit and undo on the lab's view of
//! this machine; only the evaluator is a stand-in, which looks for a word in a file, and the controller is always reached.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aright_agent::confirm::Contact;
use aright_agent::task::here::{Evaluator, Here, Settings};
use aright_agent::task::host::{Cancel, Sight};
use aright_agent::task::journal::Journal;
use aright_agent::task::spool::{Pending, Spool, Wait};
use aright_agent::task::{Task, execute, recover};
use aright_shared::content::script::Script;
use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, TASK, new_signing_key};
use aright_shared::id::{AssetId, TaskId};
use aright_shared::posture::{Reading, Spot, Value, Verdict};
use aright_shared::task::{Delivery, Judged, Target, TaskKind, TaskOrder, TaskReport};
use aright_shared::time::{Millis, WallClock};
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

/// Names the file with the [`Part`].
pub const PART: &str = "ARIGHT_PART";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub act: Act,
    /// The task that the script is run for.
    pub task: TaskId,
    /// An order to undo it.
    pub undo: TaskId,
    pub script: Script,
    /// The agent's state.
    pub state: PathBuf,
    pub launcher: PathBuf,
    /// Where what came of it is to be written.
    pub said: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Execute the task; the controller takes the result.
    Run,
    /// Execute the order to undo it.
    Undo,
    /// Start, and bring to its end whatever is found.
    Recover,
}

#[test]
#[ignore = "a part of the claims of this module, which start it"]
fn part() -> anyhow::Result<()> {
    let part: Part = serde_json::from_slice(&fs::read(std::env::var(PART)?)?)?;
    let agent = Agent::new(&part)?;
    match part.act {
        Act::Run => {
            agent.obey(&part.task)?;
            agent.spool.acknowledge(&part.task)?;
        }
        Act::Undo => agent.obey(&part.undo)?,
        Act::Recover => agent.recover()?,
    }
    Ok(fs::write(&part.said, serde_json::to_vec(&agent.results()?)?)?)
}

struct Agent<'a> {
    part: &'a Part,
    spool: Spool,
    here: Here,
}

impl<'a> Agent<'a> {
    fn new(part: &'a Part) -> anyhow::Result<Self> {
        let settings = Settings {
            respect_managed: Default::default(),
            denied: Vec::new(),
            never_read: Vec::new(),
            state: vec![part.state.clone()],
            launcher: part.launcher.clone(),
            name: None,
        };
        Ok(Self {
            part,
            spool: Spool::open(&part.state.join("tasks"), Arc::new(WallClock))?,
            here: Here::new(Arc::new(Word), settings)?,
        })
    }

    fn obey(&self, order: &TaskId) -> anyhow::Result<()> {
        let envelope = Envelope::seal(TASK, &serde_json::json!({}), &[&new_signing_key()?])?;
        let delivery = Delivery { task: order.clone(), order: envelope, script: "{}".into(), approval: None };
        self.execute(self.spool.accept(&delivery)?)
    }

    fn execute(&self, mut journal: Journal) -> anyhow::Result<()> {
        let order = self.order(journal.task());
        let task = Task { order: &order, script: &self.part.script, clock: None };
        execute(task, &self.here, &self.spool, &Reached, &mut journal, &Cancel::default())?;
        Ok(())
    }

    fn recover(&self) -> anyhow::Result<()> {
        for (mut journal, pending) in self.spool.recover()? {
            if pending == Pending::Resume {
                self.execute(journal)?;
                continue;
            }
            let lock = self.spool.lock(Wait::ForIt)?;
            recover::finish(&mut journal, pending, &self.spool, &self.here, &lock)?;
        }
        Ok(())
    }

    /// Every result that lies on disk, the last task's last.
    fn results(&self) -> anyhow::Result<Vec<TaskReport>> {
        let mut results = Vec::new();
        for entry in fs::read_dir(self.part.state.join("tasks"))? {
            let name = entry?.file_name();
            if let Ok(task) = name.to_string_lossy().parse()
                && let Some(journal) = self.spool.journal(&task)?
            {
                results.extend(journal.result()?);
            }
        }
        results.sort_by(|a, b| a.task.cmp(&b.task));
        Ok(results)
    }

    /// The task's, or one to undo it.
    fn order(&self, id: &TaskId) -> TaskOrder {
        let undo = *id != self.part.task;
        TaskOrder {
            task: id.clone(),
            run: None,
            asset: AssetId::new(),
            kind: if undo { TaskKind::Undo } else { TaskKind::Run },
            script: Digest::of(b""),
            approval: None,
            params: BTreeMap::new(),
            targets: if undo { Vec::new() } else { vec![target()] },
            undo_of: undo.then(|| self.part.task.clone()),
            not_before: Millis(0),
            not_after: Millis(i64::MAX),
            nonce: "n".into(),
            confirm_s: 5,
            clock_limit_ms: 30_000,
        }
    }
}

fn target() -> Target {
    let key = |text: &str| text.parse().expect("a key");
    let expect = serde_json::json!({"operator": "eq", "value": super::files::NEW});
    Target {
        spot: Spot { control: key("word"), technology: key("debian-12"), instance: "default".into() },
        expect: serde_json::from_value(expect).expect("expects"),
    }
}

/// Sees the first word of the changed file.
struct Word;

fn look(root: BorrowedFd<'_>) -> Sight {
    let path = super::files::CHANGED.trim_start_matches('/');
    let mut text = String::new();
    let file = openat(root, path, OFlag::O_RDONLY, Mode::empty()).expect("opens");
    File::from(file).read_to_string(&mut text).expect("reads");
    let word = text.split_whitespace().next().unwrap_or_default().to_owned();
    let verdict = if word == super::files::NEW { Verdict::Pass } else { Verdict::Fail };
    Sight::Seen(Judged { verdict, reading: Reading::Value(Value::Text(word)) })
}

impl Evaluator for Word {
    fn live(&self, targets: &[Target]) -> Vec<Sight> {
        targets.iter().map(|_| look(File::open("/").expect("root").as_fd())).collect()
    }
    fn staged(&self, root: BorrowedFd<'_>, _: &Script, targets: &[Target]) -> Vec<Sight> {
        targets.iter().map(|_| look(root)).collect()
    }
    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        BTreeMap::new()
    }
    fn guard(&self, _: &Script) -> Result<(), String> {
        Ok(())
    }
    fn persisted(&self, _: &str) -> Option<String> {
        Some("0".into())
    }
}

struct Reached;

impl Contact for Reached {
    fn reach(&self, _: Duration) -> Result<(), String> {
        Ok(())
    }
}
