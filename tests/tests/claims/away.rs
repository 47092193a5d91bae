//! A controller that is away while a fix ends: when it is back it learns of both, result and posture. Judged by
//! its own store, and by the file.

use std::time::Duration;

use anyhow::ensure;
use aright_shared::api::{CustomScript, NewJob, PostureFilter};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskState;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// Longer than a report is tried in one go.
const AWAY: Duration = Duration::from_secs(17);
const CONTROL: &str = "login-defs-pass-max-days";

#[test]
fn a_posture_that_could_not_be_told_is_told_later() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let script = cli.approve(
        &controller,
        "aright: 1\nkind: script\nkey: slow\norigin: custom\ntitle: Slow\n\
         fixes: [{control: login-defs-pass-max-days, technologies: [debian-12]}]\nrisk: safe\ninterpreter: sh\n\
         touches: [/etc/login.defs]\nbody: |\n  sleep 3\n  sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 30/' /etc/login.defs\n",
    )?;
    let chamber = Chamber::new(&lab)?;
    let _agent = Agent::joined(&chamber, &controller, &cli)?;
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let status = || -> anyhow::Result<Option<String>> {
        let postures = cli.json(&["posture", "list", "--control", CONTROL])?;
        Ok(postures[0]["status"].as_str().map(str::to_owned))
    };
    until("a failed posture", PATIENCE, || Ok(status()?.filter(|status| status == "fail")))?;

    cli.create_job(&NewJob {
        name: "slow".into(),
        filter: Some(filter),
        scripts: Some(Vec::new()),
        custom_scripts: vec![CustomScript { key: script, params: Default::default() }],
        ..NewJob::default()
    })?;
    let task = until("a task that runs", PATIENCE, || {
        let tasks: Vec<aright_shared::api::Task> = serde_json::from_value(cli.json(&["task", "list"])?)?;
        Ok(tasks.into_iter().find(|task| task.state == TaskState::Running))
    })?;
    controller.kill()?;
    until("the fix", PATIENCE, || {
        Ok(chamber.read("/etc/login.defs")?.contains("PASS_MAX_DAYS 30").then_some(()))
    })?;
    std::thread::sleep(AWAY);
    controller.start_again()?;

    let told = until("both being told", PATIENCE, || {
        let outcome = cli.task(&task.id)?.task.outcome;
        Ok(outcome.filter(|_| matches!(status().as_ref().map(Option::as_deref), Ok(Some("pass")))))
    })?;
    ensure!(told == Outcome::Fixed, "{told}");
    Ok(())
}
