//! A script past its time is ended with all that it started, whatever session that is in and whatever signals it
//! ignores. Judged by a heartbeat that the canary hears, and by the machine's process list.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::Exit;
use aright_tests::{Agent, Canary, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(30);
const LIMIT_S: u64 = 3;
/// Stands in the command line of every process of the script's tree.
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
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.start()?;
    let asset: Asset =
        until("a report", PATIENCE, || Ok(cli.assets()?.into_iter().find(|asset| asset.postures.fail > 0)))?;

    let job = cli.create_job(&NewJob {
        name: "endless".into(),
        custom_scripts: vec![CustomScript { key: script, params: Default::default() }],
        include_assets: vec![asset.id],
        ..NewJob::default()
    })?;
    until("the heartbeat", PATIENCE, || Ok((canary.heard().len() > 3).then_some(())))?;
    ensure!(!marked()?.is_empty(), "its processes are not seen from outside: the judge is blind");
    let since = Instant::now();
    let tasks = cli.watch(&job)?;
    let took = since.elapsed();

    let beats = canary.heard().len();
    ensure!(marked()?.is_empty(), "left: {:?}", marked()?);
    std::thread::sleep(Duration::from_secs(1));
    ensure!(canary.heard().len() == beats, "the heart beats on");
    let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
    let report = cli.task(&task.id)?.report.context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::TimedOut, HostChange::None), "{report:#?}");
    let result = report.script.context("no result")?;
    ensure!(result.exit == Exit::TimedOut, "{result:?}");
    ensure!(result.stdout.head.contains("said before the end"), "{result:?}");
    ensure!(result.stderr.head.contains("and on stderr"), "{result:?}");
    ensure!(!chamber.path("/etc/timeout-was-here").exists(), "what it wrote reached the host");

    println!(
        "figure: {beats} heartbeats of a grandchild in its own session that ignores SIGTERM, none after the end; \
         ended {:.1} s into a limit of {LIMIT_S} s; 0 processes left",
        took.as_secs_f64()
    );
    Ok(())
}

fn endless(canary: &Canary) -> String {
    format!(
        "aright: 1\nkind: script\nkey: endless\norigin: custom\ntitle: Endless\nrisk: safe\ninterpreter: bash\n\
         timeout_s: {LIMIT_S}\nnetwork: host\ntouches: [/etc/timeout-was-here]\nbody: |\n  \
         echo said before the end\n  echo and on stderr >&2\n  echo x >/etc/timeout-was-here\n  \
         setsid bash -c 'trap \"\" TERM HUP INT; : {MARK}; (while true; do {}; sleep 0.1; done) </dev/null >/dev/null 2>&1 & disown' &\n  \
         sleep 1000\n",
        canary.song("beat")
    )
}

/// Command lines of this machine's processes that belong to the script.
fn marked() -> anyhow::Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        if let Ok(line) = fs::read(entry.path().join("cmdline"))
            && String::from_utf8_lossy(&line).contains(MARK)
        {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(found)
}
