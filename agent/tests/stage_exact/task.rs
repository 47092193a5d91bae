//! The real thing: a whole task, from stage to commit, and the one that undoes it.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aright_agent::confirm::Contact;
use aright_agent::task::here::{Evaluator, Here, Settings};
use aright_agent::task::host::{Cancel, Sight};
use aright_agent::task::spool::Spool;
use aright_agent::task::{Task, execute};
use aright_shared::content::script::Script;
use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, TASK};
use aright_shared::id::{AssetId, TaskId};
use aright_shared::posture::{Spot, Verdict};
use aright_shared::task::{Delivery, Target, TaskKind, TaskOrder, TaskReport};
use aright_shared::time::{Millis, WallClock};

pub const STATE: &str = "/var/lib/aright-exact";

/// Runs a script of this body.
pub fn run(touches: &[String], body: &str, params: BTreeMap<String, String>) -> TaskReport {
    obey(&script(touches, body), &TaskOrder { params, ..order(TaskKind::Run, None) })
}

pub fn undo(task: TaskId) -> TaskReport {
    obey(&script(&[], ""), &order(TaskKind::Undo, Some(task)))
}

fn obey(script: &Script, order: &TaskOrder) -> TaskReport {
    let state = Path::new(STATE);
    let spool = Spool::open(&state.join("tasks"), Arc::new(WallClock)).expect("opens");
    let settings = Settings {
        respect_managed: Default::default(),
        denied: Vec::new(),
        never_read: Vec::new(),
        state: vec![state.to_owned()],
        launcher: env!("CARGO_BIN_EXE_aright-agent").into(),
        name: None,
    };
    let here = Here::new(Arc::new(NoControls), settings).expect("here");
    let key = aright_shared::envelope::new_signing_key().expect("random");
    let envelope = Envelope::seal(TASK, &serde_json::json!({}), &[&key]).expect("seals");
    let delivery =
        Delivery { task: order.task.clone(), order: envelope, script: "{}".into(), approval: None };
    let mut journal = spool.accept(&delivery).expect("accepts");
    execute(Task { order, script, clock: None }, &here, &spool, &NoContact, &mut journal, &Cancel::default())
        .expect("ends")
}

fn script(touches: &[String], body: &str) -> Script {
    serde_json::from_value(serde_json::json!({
        "aright": 1, "kind": "script", "key": "exact", "origin": "custom", "title": "Test", "risk": "safe",
        "interpreter": "sh", "touches": touches, "timeout_s": 20, "body": body,
    }))
    .expect("a script")
}

fn order(kind: TaskKind, undo_of: Option<TaskId>) -> TaskOrder {
    TaskOrder {
        task: TaskId::new(),
        run: None,
        asset: AssetId::new(),
        kind,
        script: Digest::of(b""),
        approval: None,
        params: BTreeMap::new(),
        targets: Vec::new(),
        undo_of,
        not_before: Millis(0),
        not_after: Millis(i64::MAX),
        nonce: "n".into(),
        confirm_s: 5,
        clock_limit_ms: 30_000,
    }
}

/// The scripts are after nothing that a control could see.
struct NoControls;

impl Evaluator for NoControls {
    fn live(&self, _: &[Target]) -> Vec<Sight> {
        Vec::new()
    }
    fn staged(&self, _: BorrowedFd<'_>, _: &Script, _: &[Target]) -> Vec<Sight> {
        Vec::new()
    }
    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        BTreeMap::new()
    }
    fn guard(&self, _: &Script) -> Result<(), String> {
        Ok(())
    }
    fn persisted(&self, _: &str) -> Option<String> {
        None
    }
}

struct NoContact;

impl Contact for NoContact {
    fn reach(&self, _: Duration) -> Result<(), String> {
        Err("no script here can lock anybody out".into())
    }
}
