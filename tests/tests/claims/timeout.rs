//! A script past its time is ended with all that it started, whatever session that is in and whatever signals it
//! ignores. Judged by a heartbeat that the canary hears, by the lab's list of processes, and by a listing of
//! the host's files.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_shared::api::{CustomScript, NewJob};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::Exit;
use aright_tests::tree::Listing;
use aright_tests::{Agent, Canary, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT_S: u64 = 3;
/// Of ending the tree, comparing nothing, reporting and being asked: as slow as this machine may be.
const AFTERWARDS: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_millis(100);
/// Launcher, PID 1, the script, its `sleep`, the grandchild.
const TREE: usize = 5;
/// Stands in the command line of the grandchild.
const MARK: &str = "heartbeat-of-the-grandchild";

#[test]
fn nothing_of_a_script_outlives_its_time() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let canary = Canary::new(&lab)?;
    let script = cli.approve(&controller, &endless(&canary))?;
    let chamber = Chamber::new(&lab)?;
    let _agent = Agent::joined(&chamber, &controller, &cli)?;
    let asset = cli.reported()?;
    let before = Listing::of(&[&chamber.path("/etc")])?;

    let job = cli.create_job(&NewJob {
        name: "endless".into(),
        custom_scripts: vec![CustomScript { key: script, params: Default::default() }],
        include_assets: vec![asset.id],
        ..NewJob::default()
    })?;
    until("the heartbeat", PATIENCE, || Ok((!canary.heard().is_empty()).then_some(())))?;
    let since = Instant::now();
    let tree =
        until("the whole tree", PATIENCE, || Ok(Some(lab.caged()?).filter(|tree| tree.len() >= TREE)))?;
    ensure!(tree.iter().any(|line| line.contains(MARK)), "the grandchild is not seen from outside: {tree:?}");
    let tasks = cli.watch(&job)?;
    let took = since.elapsed();

    let (left, beats) = (lab.caged()?, canary.heard().len());
    ensure!(left.is_empty(), "left: {left:?}");
    std::thread::sleep(10 * BEAT);
    ensure!(canary.heard().len() == beats, "the heart beats on");
    ensure!(took < Duration::from_secs(LIMIT_S) + AFTERWARDS, "ended only after {took:?}");
    // It did live until the end of its time: about as many beats as fit in, on however slow a machine.
    ensure!(beats > 5, "only {beats} heartbeats");
    let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
    let report = cli.task(&task.id)?.report.context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::TimedOut, HostChange::None), "{report:#?}");
    let result = report.script.context("no result")?;
    ensure!(result.exit == Exit::TimedOut, "{result:?}");
    ensure!(result.stdout.head.contains("said before the end"), "{result:?}");
    ensure!(result.stderr.head.contains("and on stderr"), "{result:?}");
    let changed = before.diff(&Listing::of(&[&chamber.path("/etc")])?);
    ensure!(changed.is_empty(), "{changed:?}");

    println!(
        "figure: {beats} heartbeats of a grandchild in its own session that ignores SIGTERM, none after the end; \
         limit {LIMIT_S} s, over and reported {:.1} s after the first; 0 of {} processes left, 0 files changed",
        took.as_secs_f64(),
        tree.len()
    );
    Ok(())
}

fn endless(canary: &Canary) -> String {
    format!(
        "aright: 1\nkind: script\nkey: endless\norigin: custom\ntitle: Endless\nrisk: safe\ninterpreter: bash\n\
         timeout_s: {LIMIT_S}\nnetwork: host\ntouches: [/etc/timeout-was-here]\nbody: |\n  \
         echo said before the end\n  echo and on stderr >&2\n  echo x >/etc/timeout-was-here\n  \
         setsid bash -c 'trap \"\" TERM HUP INT; : {MARK}; (while true; do {}; sleep {}; done) </dev/null >/dev/null 2>&1 & disown' &\n  \
         sleep 1000\n",
        canary.song("beat"),
        BEAT.as_secs_f64()
    )
}
