//! Whole tasks on this thread's root: real stage, real commit, whatever evaluator a test needs.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aright_agent::confirm::Contact;
use aright_agent::task::here::{Evaluator, Here, Settings};
use aright_agent::task::host::Cancel;
use aright_agent::task::spool::Spool;
use aright_agent::task::{Task, execute};
use aright_shared::content::script::Script;
use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, TASK};
use aright_shared::id::{AssetId, TaskId};
use aright_shared::task::{Delivery, TaskKind, TaskOrder, TaskReport};
use aright_shared::time::{Millis, WallClock};

/// An order without targets.
pub fn order(kind: TaskKind, undo_of: Option<TaskId>) -> TaskOrder {
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

/// Executes an order; `state` is the agent's own folder.
pub fn obey(
    state: &Path,
    evaluator: impl Evaluator + 'static,
    contact: &dyn Contact,
    script: &Script,
    order: &TaskOrder,
) -> TaskReport {
    let spool = Spool::open(&state.join("tasks"), Arc::new(WallClock)).expect("opens");
    let settings = Settings {
        respect_managed: Default::default(),
        denied: Vec::new(),
        never_read: Vec::new(),
        state: vec![state.to_owned()],
        launcher: env!("CARGO_BIN_EXE_aright-agent").into(),
        name: None,
    };
    let here = Here::new(Arc::new(evaluator), settings).expect("here");
    let key = aright_shared::envelope::new_signing_key().expect("random");
    let envelope = Envelope::seal(TASK, &serde_json::json!({}), &[&key]).expect("seals");
    let delivery =
        Delivery { task: order.task.clone(), order: envelope, script: "{}".into(), approval: None };
    let mut journal = spool.accept(&delivery).expect("accepts");
    execute(Task { order, script, clock: None }, &here, &spool, contact, &mut journal, &Cancel::default())
        .expect("ends")
}
