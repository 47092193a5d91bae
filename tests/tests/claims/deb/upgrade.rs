//! Upgrades while a run is in flight: its script starts once, its result comes, and the host's files are all old or all
//! new. Starts are counted by a canary outside of the host.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::packages::{apt, install, package, with_version};
use aright_tests::{Canary, Host, Place as _, needs, skip, until};

use super::agent::{STATE, invitation, is_active};
use crate::scene::Scene;

const PATIENCE: Duration = Duration::from_secs(30);
const WORD: &str = "ARIGHT_WORD";
const NAP: &str = "ARIGHT_NAP";
const FILES: [&str; 6] =
    ["/etc/claim/a", "/etc/claim/b", "/etc/claim/c", "/etc/claim/d", "/etc/claim/e", "/etc/claim/f"];
/// For how many seconds the script does nothing, and when the new version takes over, in milliseconds after its first
/// word, or as soon as it is ordered: before it, while it runs, about when its change is made.
const ROUNDS: [(&str, Option<u64>); 8] = [
    ("1", None),
    ("25", Some(0)),
    ("25", Some(1000)),
    ("2", Some(600)),
    ("2", Some(1000)),
    ("2", Some(1300)),
    ("2", Some(1600)),
    ("2", Some(1900)),
];
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
        "network: host\nparams:\n  {WORD}: {{from: given, pattern: '[a-z0-9]{{1,8}}'}}\n  {NAP}: {{from: given, pattern: \
         '[0-9]{{1,2}}'}}\ntouches: [{}]\n",
        FILES.join(", ")
    );
    let body = format!(
        "bash -c '{}'\nsleep ${NAP}\nfor file in {}; do echo \"${WORD}\" >$file; done",
        canary.song(&format!("${WORD}")),
        FILES.join(" ")
    );
    scene.approve("claim", &more, &body)?;
    let asset = scene.asset()?;

    let (mut kept, mut ended) = (0, 0);
    let mut before = "old".to_owned();
    for (round, (nap, after)) in ROUNDS.into_iter().enumerate() {
        let word = format!("new{round}");
        let sung = || canary.heard().iter().filter(|heard| **heard == word).count();
        let version = format!("99.0.{round}-1");
        host.install(&with_version(&built, &version, scene.lab.folder())?, "/opt/higher.deb")?;
        // Both halves of `dpkg -i`; the second one restarts the service.
        apt(host, &["dpkg", "--unpack", "/opt/higher.deb"])?;
        let job = scene.custom(&asset, "claim", &[(WORD, &word), (NAP, nap)], None)?;
        if let Some(after) = after {
            until("the script's word", PATIENCE, || Ok((sung() > 0).then_some(())))?;
            sleep(Duration::from_millis(after));
        }
        apt(host, &["dpkg", "--configure", "aright-agent"])?;
        is_active(host)?;
        ensure!(installed(host)? == version, "not upgraded");
        let detail = scene.ended(&job)?;
        let (outcome, change) = (detail.task.outcome, detail.task.change);
        let starts = sung();
        ensure!(starts <= 1, "started {starts} times: {detail:#?}");
        match (outcome, change) {
            (Some(Outcome::Ran), Some(HostChange::Kept)) => {
                ensure!(starts == 1, "kept, and never started: {detail:#?}");
                before = word;
                kept += 1;
            }
            (Some(Outcome::Interrupted), Some(HostChange::None | HostChange::Undone)) => ended += 1,
            _ => anyhow::bail!("{detail:#?}"),
        }
        ensure!(detail.report.is_some(), "its result was lost: {detail:#?}");
        for file in FILES {
            let now = host.read(file)?;
            ensure!(now == format!("{before}\n"), "{file} holds {now:?}, wanted {before}: {detail:#?}");
        }
        println!("a nap of {nap} s, {after:?} ms after its first word: {outcome:?}, {change:?}");
    }
    ensure!(host.read("/etc/aright/agent.toml")? == format!("{EDIT}{packaged}"), "edited settings were lost");
    ensure!(host.read(&format!("{STATE}/identity.json"))? == identity, "another identity");
    ensure!(ended >= 2, "scripts that slept were waited for");
    println!(
        "figure: {} upgrades with a run in flight: {kept} kept whole, {ended} left whole as they were, none lost, none \
         started twice",
        ROUNDS.len()
    );
    Ok(())
}

fn installed(host: &Host) -> anyhow::Result<String> {
    host.stdout(&["dpkg-query", "-W", "-f", "${Version}", "aright-agent"])
}
