//! An agent whose clock is wrong enrols and reports, is told apart by its offset, and runs nothing: the
//! reason is `clock_skew`, never a TLS error. Once its clock is right a new run of the same job fixes.
//!
//! The wrong clock is libfaketime's, in the agent's process alone. What ran is heard by a canary that each
//! script wakes first; what changed is seen by a listing of `/etc`.

use std::time::Instant;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob, PostureFilter};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::ClockVerdict;
use aright_shared::time::{Clock as _, WallClock};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Canary, Chamber, Cli, Clock, Controller, Lab, Place as _, needs, skip};

const MINUTE: i64 = 60;
const YEAR: i64 = 365 * 24 * 60 * MINUTE;
/// How far the offset told may be from the one given, in milliseconds.
const TOLERANCE: i64 = 1000;

const CONTROL: &str = "login-defs-pass-max-days";
const FIX: &str = "login-defs-pass-max-days-fix";

#[test]
fn ten_minutes_behind() -> anyhow::Result<()> {
    skewed("10 minutes behind", -10 * MINUTE)
}

#[test]
fn ten_minutes_ahead() -> anyhow::Result<()> {
    skewed("10 minutes ahead", 10 * MINUTE)
}

#[test]
fn two_years_ahead() -> anyhow::Result<()> {
    skewed("two years ahead", 2 * YEAR)
}

#[test]
fn in_1970() -> anyhow::Result<()> {
    skewed("in 1970", 30 * MINUTE - WallClock.now().0 / 1000)
}

/// `ahead` is how far the agent's clock is before the controller's, in seconds.
#[expect(clippy::print_stdout, reason = "the figure")]
fn skewed(what: &str, ahead: i64) -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::FAKETIME);
    let since = Instant::now();
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let canary = Canary::new(&lab)?;
    cli.approve(&controller, &noise(&canary))?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;

    agent.set_clock(Clock::Wrong(format!("{ahead:+}s")))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.start()?;
    let asset = cli.reported()?;
    let told = is_skewed(&asset, ahead)?;
    let before = Listing::of(&[&chamber.path("/etc")])?;

    let job = cli.create_job(&both(&asset)?)?;
    let tasks = cli.watch(&job)?;

    ensure!(tasks.len() == 2, "{tasks:?}");
    for task in &tasks {
        let end = (task.outcome, task.refusal, task.change);
        ensure!(
            end == (Some(Outcome::Refused), Some(Refusal::ClockSkew), Some(HostChange::None)),
            "{task:?}"
        );
        let clock = cli.task(&task.id)?.report.context("no report")?.clock.context("no clock")?;
        is_within(clock.offset_ms, ahead)?;
    }
    is_skewed(&shown(&cli, &asset)?, ahead)?;
    ensure!(canary.heard().is_empty(), "ran: {:?}", canary.heard());
    let changed = before.diff(&Listing::of(&[&chamber.path("/etc")])?);
    ensure!(changed.is_empty(), "{changed:?}");
    let warnings: Vec<_> = agent
        .log()
        .lines()
        .filter(|line| line.contains("WARN") || line.contains("ERROR"))
        .map(str::to_owned)
        .collect();
    ensure!(warnings.is_empty(), "{warnings:?}");

    agent.stop()?;
    agent.set_clock(Clock::Right)?;
    agent.start()?;
    cli.run_job(&job)?;
    let tasks = cli.watch(&job)?;
    let ends: Vec<_> = tasks.iter().map(|task| (task.script.as_str(), task.outcome)).collect();
    ensure!(ends == [(FIX, Some(Outcome::Fixed)), ("noise", Some(Outcome::Ran))], "{tasks:?}");
    ensure!(canary.heard() == ["noise"], "{:?}", canary.heard());
    let days = chamber.stdout(&["sed", "-n", "s/^PASS_MAX_DAYS[[:space:]]*//p", "/etc/login.defs"])?;
    ensure!(days == "365", "PASS_MAX_DAYS {days}");
    let right = shown(&cli, &asset)?.clock.context("no clock")?;
    ensure!(right.verdict == ClockVerdict::Right, "{right:?}");

    println!(
        "figure: {what}: refused: clock_skew, {:+.3} s told for {:+} s given; then fixed with {} ms ({:.1} s)",
        told as f64 / 1000.0,
        -ahead,
        right.reading.offset_ms,
        since.elapsed().as_secs_f64()
    );
    Ok(())
}

/// A script of the user's own that would be heard.
fn noise(canary: &Canary) -> String {
    format!(
        "aright: 1\nkind: script\nkey: noise\norigin: custom\ntitle: Noise\nrisk: safe\ninterpreter: bash\n\
         timeout_s: 30\nnetwork: host\ntouches: [/etc/noise]\nbody: |\n  {}\n  echo >/etc/noise\n",
        canary.song("noise")
    )
}

fn both(asset: &Asset) -> anyhow::Result<NewJob> {
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let noise = CustomScript { key: "noise".parse()?, params: Default::default() };
    Ok(NewJob {
        name: "clock".into(),
        filter: Some(filter),
        custom_scripts: vec![noise],
        include_assets: vec![asset.id.clone()],
        ..NewJob::default()
    })
}

fn shown(cli: &Cli, asset: &Asset) -> anyhow::Result<Asset> {
    Ok(serde_json::from_value(cli.json(&["asset", "show", asset.id.as_str()])?)?)
}

/// The offset that the asset shows, in milliseconds.
fn is_skewed(asset: &Asset, ahead: i64) -> anyhow::Result<i64> {
    let clock = asset.clock.with_context(|| format!("no clock on {asset:?}"))?;
    ensure!(clock.verdict == ClockVerdict::Skewed, "{clock:?}");
    is_within(clock.reading.offset_ms, ahead)?;
    Ok(clock.reading.offset_ms)
}

/// Offsets are the controller's time less the agent's.
fn is_within(offset_ms: i64, ahead: i64) -> anyhow::Result<()> {
    let wrong = offset_ms + ahead * 1000;
    ensure!(wrong.abs() <= TOLERANCE, "offset {offset_ms} ms, given {} s", -ahead);
    Ok(())
}
