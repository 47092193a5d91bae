//! The real thing: a whole task, from stage to commit, and the one that undoes it.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use aright_agent::confirm::Contact;
use aright_agent::task::here::Evaluator;
use aright_agent::task::host::Sight;
use aright_shared::content::script::Script;
use aright_shared::id::TaskId;
use aright_shared::posture::{Spot, Verdict};
use aright_shared::task::{Target, TaskKind, TaskOrder, TaskReport};

use crate::obey::order;

pub const STATE: &str = "/var/lib/aright-exact";

/// Runs a script of this body.
pub fn run(touches: &[String], body: &str, params: BTreeMap<String, String>) -> TaskReport {
    obey(&script(touches, body), &TaskOrder { params, ..order(TaskKind::Run, None) })
}

pub fn undo(task: TaskId) -> TaskReport {
    obey(&script(&[], ""), &order(TaskKind::Undo, Some(task)))
}

fn obey(script: &Script, order: &TaskOrder) -> TaskReport {
    crate::obey::obey(Path::new(STATE), NoControls, &NoContact, script, order)
}

fn script(touches: &[String], body: &str) -> Script {
    serde_json::from_value(serde_json::json!({
        "aright": 1, "kind": "script", "key": "exact", "origin": "custom", "title": "Test", "risk": "safe",
        "interpreter": "sh", "touches": touches, "timeout_s": 20, "body": body,
    }))
    .expect("a script")
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
