//! A script may change what it declared, and only if the control passes then: else the host stays as it was.
//! Judged by a listing of the whole root: digest, mode, owner and time of every file.

use anyhow::{Context as _, ensure};
use aright_shared::api::{CustomScript, NewJob, PostureFilter, TaskDetail};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, needs, skip};

const CONTROL: &str = "login-defs-pass-max-days";

#[test]
fn what_was_not_declared_does_not_reach_the_host() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let (detail, things, changed) = run(
        "greedy",
        "  sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 30/' /etc/login.defs\n  echo intruder >>/etc/motd\n  \
         chmod 0666 /etc/crontab\n  rm /etc/issue\n  ln -s /etc/shadow /home/ops/shadow\n  \
         echo x >/usr/local/bin/x\n",
    )?;
    let report = detail.report.context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::Overreach, HostChange::None), "{report:#?}");
    let named: Vec<_> = report.overreach.iter().map(|over| over.path.as_str()).collect();
    let undeclared = ["/etc/crontab", "/etc/issue", "/etc/motd", "/home/ops/shadow", "/usr/local/bin/x"];
    ensure!(named == undeclared, "{named:?}");
    ensure!(changed.is_empty(), "{changed:?}");
    println!("figure: overreach names {}; 0 of {things} things in the root changed", named.join(", "));
    Ok(())
}

#[test]
fn exit_0_without_a_fix_is_not_a_fix() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let (detail, things, changed) =
        run("lazy", "  sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 5000/' /etc/login.defs\n")?;
    let report = detail.report.context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::RanNotFixed, HostChange::None), "{report:#?}");
    ensure!(changed.is_empty(), "{changed:?}");
    println!(
        "figure: exit 0 with PASS_MAX_DAYS 5000 ends ran_not_fixed; 0 of {things} things in the root changed"
    );
    Ok(())
}

/// Runs one approved script of the user's own for a failed control; what is known of the task, how many things
/// the host has, and what of them changed.
fn run(name: &str, body: &str) -> anyhow::Result<(TaskDetail, usize, Vec<String>)> {
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let script = cli.approve(&controller, &script(name, body))?;
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::joined(&chamber, &controller, &cli)?;
    let asset = cli.reported()?;
    let listing = || Listing::of_root(&chamber.root(), &agent.state());
    let before = listing()?;

    let job = cli.create_job(&NewJob {
        name: name.into(),
        filter: Some(PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() }),
        scripts: Some(Vec::new()),
        custom_scripts: vec![CustomScript { key: script, params: Default::default() }],
        include_assets: vec![asset.id],
        ..NewJob::default()
    })?;
    let tasks = cli.watch(&job)?;
    let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
    Ok((cli.task(&task.id)?, before.len(), before.diff(&listing()?)))
}

fn script(name: &str, body: &str) -> String {
    format!(
        "aright: 1\nkind: script\nkey: {name}\norigin: custom\ntitle: {name}\n\
         fixes: [{{control: {CONTROL}, technologies: [debian-12]}}]\nrisk: safe\ninterpreter: sh\n\
         timeout_s: 30\ntouches: [/etc/login.defs]\nbody: |\n  set -eu\n{body}"
    )
}
