//! `aright-agent leave`, as a package calls it while it is removed: from a copy of the program, with no service and no
//! settings left. Judged by the controller's list and audit log, by exit codes, and by the files that stay.

use std::path::Path;
use std::process::Output;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use aright_shared::api::{AssetState, AuditEntry};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, binary, listen, needs, skip};

const STATE: &str = "/var/lib/aright-agent";
const COPY: &str = "/var/lib/aright-agent/aright-agent";

#[test]
fn a_host_that_leaves_is_revoked_by_its_own_hand_however_often_it_says_so() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let (lab, controller) = world()?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    ended(&chamber, &controller, &cli)?;
    let asset = cli.assets()?.pop().context("no asset")?.id;
    let before = kept(&chamber)?;

    let first = leave(&chamber, &["--state", STATE])?;
    let again = leave(&chamber, &["--state", STATE])?;

    ensure!(first.status.success() && said(&first).contains(asset.as_str()), "{first:?}");
    ensure!(again.status.success() && said(&again).contains("before"), "{again:?}");
    let shown = cli.assets()?.pop().context("no asset")?;
    ensure!(shown.state == AssetState::Revoked && shown.reasons == ["revoked"], "{shown:?}");
    let told: Vec<AuditEntry> =
        serde_json::from_value(cli.json(&["audit", "list", "--action", "asset.revoke"])?)?;
    let told: Vec<_> = told.iter().map(|line| (line.who.as_str(), line.subject.as_str())).collect();
    ensure!(told == [(asset.as_str(), asset.as_str())], "{told:?}");
    ensure!(kept(&chamber)? == before, "leaving changed the state folder");
    Ok(())
}

#[test]
fn a_host_that_never_enrolled_has_nobody_to_tell_and_nothing_is_made() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let chamber = Chamber::new(&lab)?;
    chamber.install(&binary("aright-agent")?, COPY)?;
    let none = leave(&chamber, &["--state", "/var/lib/nowhere"])?;
    ensure!(none.status.success() && said(&none).contains("not enrolled"), "{none:?}");
    ensure!(!chamber.path("/var/lib/nowhere").exists(), "a state folder was made");
    Ok(())
}

#[test]
fn with_the_controller_away_or_silent_leaving_ends_and_says_what_is_to_be_done() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let (lab, mut controller) = world()?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    ended(&chamber, &controller, &cli)?;
    let asset = cli.assets()?.pop().context("no asset")?.id;
    let todo = format!("aright asset revoke {asset}");

    controller.stop()?;
    let away = leave(&chamber, &["--state", STATE])?;
    ensure!(away.status.code() == Some(1) && said(&away).contains(&todo), "{away:?}");
    // Connections are taken, and nobody ever answers: each would be waited for as long as one may be.
    let silent: Vec<_> = (0..4).map(|_| listen(&lab)).collect::<Result<_, _>>()?;
    let urls: Vec<_> = silent
        .iter()
        .map(|one| Ok(format!("https://{}", one.local_addr()?)))
        .collect::<anyhow::Result<_>>()?;
    chamber.write("/etc/aright/agent.toml", &format!("controllers = {urls:?}\n"))?;
    let since = Instant::now();
    let unheard = leave(&chamber, &["--state", STATE])?;
    ensure!(unheard.status.code() == Some(1) && said(&unheard).contains(&todo), "{unheard:?}");
    println!(
        "figure: leaving ended after {:.1} s with four controllers that never answer",
        since.elapsed().as_secs_f64()
    );

    controller.start_again()?;
    chamber.write("/etc/aright/agent.toml", &format!("controllers = [\"{}\"]\n", controller.agents_url()))?;
    let back = leave(&chamber, &["--state", STATE])?;
    ensure!(back.status.success(), "{back:?}");
    Ok(())
}

fn world() -> anyhow::Result<(Lab, Controller)> {
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    Ok((lab, controller))
}

/// Enrolled, then its service ended and its package removed, but for the state folder with a copy of the program.
fn ended(chamber: &Chamber, controller: &Controller, cli: &Cli) -> anyhow::Result<()> {
    let mut agent = Agent::joined(chamber, controller, cli)?;
    cli.reported()?;
    agent.stop()?;
    chamber.install(&chamber.path("/usr/bin/aright-agent"), COPY)?;
    std::fs::remove_file(chamber.path("/usr/bin/aright-agent"))?;
    Ok(())
}

/// Given up by `timeout` after twice the time that it may take.
fn leave(chamber: &Chamber, options: &[&str]) -> anyhow::Result<Output> {
    chamber.output(&[&["timeout", "30", COPY, "leave"], options].concat())
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn kept(chamber: &Chamber) -> anyhow::Result<Listing> {
    let state = chamber.path(STATE);
    Listing::of(&[Path::new(&state)])
}
