//! Upgrades while a run is in flight: its script starts once, its result comes, and the host's files are all old or all
//! new. Starts are counted by a canary outside of the host.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::packages::{apt, install, package, with_version};
use aright_tests::{Canary, Host, Place as _, needs, skip};

use super::agent::{STATE, invitation, is_active};
use crate::scene::Scene;

const WORD: &str = "ARIGHT_WORD";
const FILES: [&str; 6] =
    ["/etc/claim/a", "/etc/claim/b", "/etc/claim/c", "/etc/claim/d", "/etc/claim/e", "/etc/claim/f"];
/// How long after the order dpkg begins: before the script, while it runs, about when it commits, after.
const AFTER: [u64; 6] = [0, 300, 900, 1200, 1500, 2500];
const EDIT: &str = "# Mine.\nevaluate_every_s = 3600\n";

#[test]
fn an_upgrade_while_a_run_is_in_flight_loses_and_doubles_nothing() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    let scene = Scene::new()?;
    let host = &scene.host;
    let built = package("aright-agent").context("built")?;
    install(host, &built, &invitation(&scene.controller, &scene.cli)?)?;
    let packaged = host.read("/etc/aright/agent.toml")?;
    host.write("/etc/aright/agent.toml", &format!("{EDIT}{packaged}"))?;
    let identity = host.read(&format!("{STATE}/identity.json"))?;
    let canary = Canary::new(&scene.lab)?;
    for file in FILES {
        host.write(file, "old\n")?;
    }
    let more = format!(
        "network: host\nparams: {{{WORD}: {{from: given, pattern: '[a-z0-9]{{1,8}}'}}}}\ntouches: [{}]\n",
        FILES.join(", ")
    );
    let body = format!(
        "bash -c '{}'\nsleep 1\nfor file in {}; do echo \"${WORD}\" >$file; done",
        canary.song(&format!("${WORD}")),
        FILES.join(" ")
    );
    scene.approve("claim", &more, &body)?;
    let asset = scene.asset()?;

    let mut kept = 0;
    let mut before = "old".to_owned();
    for (round, after) in AFTER.into_iter().enumerate() {
        let word = format!("new{round}");
        let version = format!("99.0.{round}-1");
        let higher = with_version(&built, &version, scene.lab.folder())?;
        host.install(&higher, "/opt/higher.deb")?;
        let job = scene.custom(&asset, "claim", &[(WORD, &word)], None)?;
        sleep(Duration::from_millis(after));
        apt(host, &["dpkg", "-i", "/opt/higher.deb"])?;
        is_active(host)?;
        ensure!(installed(host)? == version, "not upgraded");
        let detail = scene.ended(&job)?;
        let (outcome, change) = (detail.task.outcome, detail.task.change);
        let starts = canary.heard().iter().filter(|heard| **heard == word).count();
        ensure!(starts <= 1, "started {starts} times: {detail:#?}");
        match (outcome, change) {
            (Some(Outcome::Ran), Some(HostChange::Kept)) => {
                ensure!(starts == 1, "kept, and never started: {detail:#?}");
                before = word;
                kept += 1;
            }
            (Some(Outcome::Interrupted), Some(HostChange::None | HostChange::Undone)) => {}
            _ => anyhow::bail!("{detail:#?}"),
        }
        ensure!(detail.report.is_some(), "its result was lost: {detail:#?}");
        for file in FILES {
            let now = host.read(file)?;
            ensure!(now == format!("{before}\n"), "{file} holds {now:?}, wanted {before}: {detail:#?}");
        }
        println!("{after} ms after the order: {outcome:?}, {change:?}");
    }
    ensure!(host.read("/etc/aright/agent.toml")? == format!("{EDIT}{packaged}"), "edited settings were lost");
    ensure!(host.read(&format!("{STATE}/identity.json"))? == identity, "another identity");
    println!(
        "figure: {0} upgrades with a run in flight: {kept} kept whole, {1} left whole as they were, none lost, none \
         started twice",
        AFTER.len(),
        AFTER.len() - kept
    );
    Ok(())
}

fn installed(host: &Host) -> anyhow::Result<String> {
    host.stdout(&["dpkg-query", "-W", "-f", "${Version}", "aright-agent"])
}
