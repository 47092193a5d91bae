//! Aright without its network, run on the host: ten orders, each from its envelope on disk to its end in the journal,
//! with stage, cage, commit, activation and confirmation. A controller is always reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_agent::confirm::Contact;
use aright_agent::evaluate::Evaluator;
use aright_agent::probe::View;
use aright_agent::root::Root;
use aright_agent::sight::TaskSight;
use aright_agent::task::here::{Here, Settings};
use aright_agent::task::host::Cancel;
use aright_agent::task::spool::Spool;
use aright_agent::task::{Task, execute};
use aright_shared::content::script::Script;
use aright_shared::envelope::{Envelope, TASK, new_signing_key};
use aright_shared::id::{AssetId, Key, TaskId};
use aright_shared::library::Library;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{Delivery, Target, TaskKind, TaskOrder};
use aright_shared::time::{Clock as _, Millis, WallClock};

use crate::fixes::FIXES;

pub const ARGUMENT: &str = "inside";
const STATE: &str = "/var/lib/aright-bench";
const LAUNCHER: &str = "/usr/bin/aright-agent";

/// # Errors
/// One that is not fixed and kept.
pub fn fix() -> anyhow::Result<()> {
    let library = Library::builtin();
    let state = PathBuf::from(STATE);
    let spool = Spool::open(&state.join("tasks"), Arc::new(WallClock))?;
    let sight = TaskSight { library, never_read: Vec::new(), state: vec![state.clone()] };
    let settings = Settings {
        denied: Vec::new(),
        respect_managed: Default::default(),
        never_read: Vec::new(),
        state: vec![state],
        launcher: LAUNCHER.into(),
        name: None,
    };
    let here = Here::new(Arc::new(sight), settings)?;
    for fix in &FIXES {
        let (order, script) = order(library, &fix.control.parse().map_err(anyhow::Error::msg)?)?;
        let delivery = deliver(&order, script)?;
        let mut journal = spool.accept(&delivery)?;
        let task = Task { order: &order, script, clock: None };
        let report = execute(task, &here, &spool, &Reached, &mut journal, &Cancel::default())?;
        ensure!((report.outcome, report.change) == (Outcome::Fixed, HostChange::Kept), "{report:#?}");
    }
    Ok(())
}

/// What a controller would order for this control, as the host is now.
fn order(library: &'static Library, control: &Key) -> anyhow::Result<(TaskOrder, &'static Script)> {
    let root = Root::live()?;
    let seen =
        Evaluator::new(library, &root, &View::Live, WallClock.now()).controls(std::slice::from_ref(control));
    let spots: Vec<_> = seen.observations.into_iter().map(|one| one.spot).collect();
    let technology = &spots.first().with_context(|| format!("{control} does not apply"))?.technology;
    let script =
        library.fixes(control, technology).next().with_context(|| format!("{control} has no fix"))?;
    let on = library.control(control).and_then(|control| control.on(technology)).context("no check")?;
    let set = on.set().map(aright_shared::posture::Value::plain);
    let params = script.params.keys().filter_map(|name| Some((name.clone(), set.clone()?))).collect();
    let order = TaskOrder {
        task: TaskId::new(),
        run: None,
        asset: AssetId::new(),
        kind: TaskKind::Run,
        script: script.digest(),
        approval: None,
        params,
        targets: spots.into_iter().map(|spot| Target { spot, expect: on.expect.clone() }).collect(),
        undo_of: None,
        not_before: Millis(0),
        not_after: Millis(i64::MAX),
        nonce: "of a bench".into(),
        confirm_s: 10,
        clock_limit_ms: 30_000,
    };
    Ok((order, script))
}

fn deliver(order: &TaskOrder, script: &Script) -> anyhow::Result<Delivery> {
    let key = new_signing_key()?;
    let envelope = Envelope::seal(TASK, order, &[&key])?;
    let script = serde_json::to_string(script)?;
    Ok(Delivery { task: order.task.clone(), order: envelope, script, approval: None })
}

struct Reached;

impl Contact for Reached {
    fn reach(&self, _: Duration) -> Result<(), String> {
        Ok(())
    }
}
