//! A script that runs can be cancelled by request: it is ended with all that it started, whatever signals that
//! ignores, and the host is as before; a preview likewise. Judged by a canary that would sing after the
//! script's sleep, by the lab's list of processes, and by a listing of the host's files.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob, TaskDetail};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{TaskKind, TaskState};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Canary, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};
use rusqlite::Connection;

const PATIENCE: Duration = Duration::from_secs(30);
/// Far beyond what a test may take: who is not cancelled ends otherwise, and says so.
const LIMIT_S: u64 = 120;
/// Launcher, PID 1, the script, its `sleep`, the child, its `sleep`.
const TREE: usize = 6;

#[test]
fn a_script_that_runs_is_ended_with_all_that_it_started() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let canary = Canary::new(&lab)?;
    for (key, traps) in [("obedient", ""), ("stubborn", "trap \"\" TERM HUP INT QUIT USR1")] {
        cli.approve(&controller, &sleeper(&canary, key, traps))?;
    }
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::joined(&chamber, &controller, &cli)?;
    let asset = cli.reported()?;
    let listing = || Listing::of_root(&chamber.root(), &agent.state());
    let before = listing()?;

    let mut ended = Vec::new();
    for key in ["obedient", "stubborn"] {
        let job = cli.create_job(&runs(key, &asset)?)?;
        ended.push(cancel_when_heard(&lab, &cli, &canary, key)?);
        // The run is over with its task.
        let tasks = cli.watch(&job)?;
        ensure!(tasks.len() == 1 && tasks[0].state == TaskState::Ended, "{tasks:#?}");
    }
    let (cancelled, shown) = std::thread::scope(|scope| {
        let preview = scope.spawn(|| cli.output(&["preview", "stubborn", "--asset", asset.id.as_str()]));
        (cancel_when_heard(&lab, &cli, &canary, "stubborn"), preview.join())
    });
    ended.push(cancelled?);
    let shown = shown.ok().context("the preview's own command")??;
    ensure!(shown.status.code() == Some(3), "{shown:?}");

    let kinds: Vec<_> = ended.iter().map(|detail| detail.task.kind).collect();
    ensure!(kinds == [TaskKind::Run, TaskKind::Run, TaskKind::Preview], "{kinds:?}");
    ensure!(!canary.heard().iter().any(|word| word.contains("after")), "{:?}", canary.heard());
    let changed = before.changed(&listing()?);
    ensure!(changed.is_empty(), "{changed:?}");
    let database = Connection::open(controller.data().join("aright.db"))?;
    for detail in &ended {
        let id = detail.task.id.as_str();
        let sql = "SELECT who FROM audit WHERE action = 'task.cancel' AND subject = $1";
        let who: String = database.query_row(sql, [id], |row| row.get(0))?;
        ensure!(who == "admin" && detail.task.cancel_by.as_deref() == Some("admin"), "{detail:#?}");
    }
    let late = cli.output(&["task", "cancel", ended[0].task.id.as_str()])?;
    ensure!(late.status.code() == Some(1), "{late:?}");
    ensure!(String::from_utf8_lossy(&late.stderr).contains("has ended already"), "{late:?}");

    println!(
        "figure: 3 sleeping scripts (one obeys signals, one ignores them, one is a preview) with children in \
         sessions of their own, cancelled {}; 0 processes left, 0 files changed, 0 of 3 canaries",
        ended
            .iter()
            .filter_map(|detail| detail.report.as_ref()?.script.as_ref())
            .map(|script| format!("{} ms after their start", script.wall_ms))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

/// Once all of it runs: the script has said its first word, and its child too.
fn cancel_when_heard(lab: &Lab, cli: &Cli, canary: &Canary, key: &str) -> anyhow::Result<TaskDetail> {
    let running = until("a task that runs", PATIENCE, || {
        let tasks: Vec<aright_shared::api::Task> = serde_json::from_value(cli.json(&["task", "list"])?)?;
        Ok(tasks.into_iter().find(|task| task.state == TaskState::Running && task.script.as_str() == key))
    })?;
    until("its words", PATIENCE, || {
        let heard = canary.heard();
        Ok((heard.iter().rev().take(2).filter(|word| word.contains(key)).count() == 2).then_some(()))
    })?;
    until("the whole tree", PATIENCE, || Ok((lab.caged()?.len() >= TREE).then_some(())))?;

    let detail: TaskDetail = serde_json::from_value(cli.json(&["task", "cancel", running.id.as_str()])?)?;
    let left = lab.caged()?;
    ensure!(left.is_empty(), "left: {left:?}");
    let report = detail.report.as_ref().context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::Cancelled, HostChange::None), "{report:#?}");
    ensure!(detail.task.outcome == Some(Outcome::Cancelled), "{detail:#?}");
    Ok(detail)
}

/// It writes, starts a child in a session of its own, and would sing after a long sleep: also when the sleep alone
/// were ended.
fn sleeper(canary: &Canary, key: &str, traps: &str) -> String {
    let (first, child) = (canary.song(&format!("{key} sleeps")), canary.song(&format!("{key} child")));
    let after = canary.song("after the sleep");
    format!(
        "aright: 1\nkind: script\nkey: {key}\norigin: custom\ntitle: Sleeper\nrisk: safe\ninterpreter: bash\n\
         timeout_s: {LIMIT_S}\nnetwork: host\ntouches: [/etc/cancel-was-here]\nbody: |\n  \
         {traps}\n  \
         echo x >/etc/cancel-was-here\n  {first}\n  \
         setsid bash -c '{traps}\n  {child}; sleep 1000; {after}' </dev/null >/dev/null 2>&1 &\n  \
         sleep 1000\n  {after}\n"
    )
}

fn runs(key: &str, asset: &Asset) -> anyhow::Result<NewJob> {
    Ok(NewJob {
        name: key.into(),
        custom_scripts: vec![CustomScript { key: key.parse()?, params: Default::default() }],
        include_assets: vec![asset.id.clone()],
        ..NewJob::default()
    })
}
