//! The agent's package goes where something is in its way: a change that a crash cut off, state elsewhere, settings that
//! are not valid, no room. Judged by the host's files and by the controller's list.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::AssetState;
use aright_tests::packages::{apt, install, package};
use aright_tests::{Cli, Host, Place as _, needs, skip, until};

use super::agent::{STATE, invitation};
use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(60);
const SETTINGS: &str = "/etc/aright/agent.toml";
/// Takes far longer to start than the agent lives.
const SLOW: &str = "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/sleep 300\n";

#[test]
fn whatever_is_in_its_way_the_host_is_whole_and_revoked() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    let scene = Scene::new()?;
    let host = &scene.host;
    cut_off(&scene)?;
    elsewhere(&scene)?;
    not_valid(&scene)?;
    no_room(&scene)?;
    ensure!(host.stdout(&["sh", "-c", "ls -d /var/lib/aright* 2>/dev/null || true"])?.is_empty());
    println!(
        "figure: a purge after a crash amid a change, with state elsewhere, settings not valid, no room: 4 of 4 whole"
    );
    Ok(())
}

/// Killed amid a change, and gone before it could start again: the host is as it was.
fn cut_off(scene: &Scene) -> anyhow::Result<()> {
    let host = &scene.host;
    installed(scene)?;
    host.write("/etc/canary", "old\n")?;
    host.write("/etc/systemd/system/slow.service", SLOW)?;
    host.stdout(&["systemctl", "daemon-reload"])?;
    let more = "touches: [/etc/canary]\nactivate: [{restart: [slow]}]\n";
    scene.approve("slow", more, "echo new >/etc/canary")?;
    let asset = scene.asset()?;
    scene.custom(&asset, "slow", &[], None)?;
    until("a change", PATIENCE, || Ok((host.read("/etc/canary")? == "new\n").then_some(())))?;
    host.stdout(&["systemctl", "kill", "--signal=KILL", "aright-agent"])?;
    let removed = said(host, &["remove"])?;
    ensure!(host.read("/etc/canary")? == "old\n", "left half-done:\n{removed}");
    ensure!(removed.contains("undone"), "{removed}");
    said(host, &["purge"])?;
    host.stdout(&["systemctl", "disable", "--now", "slow"])?;
    revoked(&scene.cli)
}

fn elsewhere(scene: &Scene) -> anyhow::Result<()> {
    let host = &scene.host;
    host.write("/etc/apt/apt.conf.d/90aright", "Dpkg::Options { \"--force-confold\"; };\n")?;
    host.write(SETTINGS, "state = \"/srv/agent\"\n")?;
    installed(scene)?;
    ensure!(host.path("/srv/agent/identity.json").exists(), "its state is not where it was to be");
    let purged = said(host, &["purge"])?;
    ensure!(purged.contains("/srv/agent are yours to remove"), "{purged}");
    host.stdout(&["rm", "-r", "/srv/agent"])?;
    revoked(&scene.cli)
}

/// The service says so, and a purge does not need them.
fn not_valid(scene: &Scene) -> anyhow::Result<()> {
    let host = &scene.host;
    installed(scene)?;
    host.write(SETTINGS, "evaluate_every = 5\n")?;
    let _ = host.output(&["systemctl", "restart", "aright-agent"])?;
    let result = host.stdout(&["systemctl", "show", "--value", "--property", "Result", "aright-agent"])?;
    ensure!(result == "exit-code", "systemd takes it for {result}");
    let state =
        host.stdout(&["systemctl", "show", "--value", "--property", "ActiveState", "aright-agent"])?;
    ensure!(["activating", "failed"].contains(&&*state), "systemd takes it for {state}");
    said(host, &["purge"])?;
    revoked(&scene.cli)
}

/// What a purge needs cannot be kept: that is said, and holds up nothing.
fn no_room(scene: &Scene) -> anyhow::Result<()> {
    let host = &scene.host;
    installed(scene)?;
    host.write(&format!("{STATE}/leave"), "in the way\n")?;
    let purged = said(host, &["purge"])?;
    ensure!(purged.contains("a purge will not tell the controller"), "{purged}");
    let active: Vec<_> =
        scene.cli.assets()?.into_iter().filter(|one| one.state == AssetState::Active).collect();
    let [asset] = &active[..] else { anyhow::bail!("{active:#?}") };
    scene.cli.text(&["asset", "revoke", asset.id.as_str()])?;
    Ok(())
}

fn installed(scene: &Scene) -> anyhow::Result<()> {
    let invitation = invitation(&scene.controller, &scene.cli)?;
    install(&scene.host, &package("aright-agent").context("built")?, &invitation)?;
    let active = |one: &aright_shared::api::Asset| one.state == AssetState::Active && one.connected;
    until("a check-in", PATIENCE, || Ok(scene.cli.assets()?.iter().any(active).then_some(())))
}

fn revoked(cli: &Cli) -> anyhow::Result<()> {
    let assets = cli.assets()?;
    ensure!(assets.iter().all(|one| one.state == AssetState::Revoked), "{assets:#?}");
    Ok(())
}

/// What apt-get and the package's scripts say while it goes.
fn said(host: &Host, how: &[&str]) -> anyhow::Result<String> {
    let output = apt(host, &[&["apt-get", "-q", "-y"], how, &["aright-agent"]].concat())?;
    Ok(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
}
