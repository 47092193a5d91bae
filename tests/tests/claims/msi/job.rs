//! The whole life of an installed agent under Wine: it enrols by what the installer was told, evaluates, fixes,
//! takes back, ends a script past its time, keeps its identity over an upgrade, and is revoked by its removal.
//! Judged by `reg` (the registry exported before and after), the disk, and the controller's list of hosts.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, AssetState, CustomScript, NewJob, PostureFilter, Task};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::Exit;
use aright_tests::{Cli, Controller, Lab, Wine, msi_package, needs, skip, until};

use super::{Kept, is_installed};
use crate::scene::ends_as;

const POLICY: &str = "windows-first-steps";
/// Of its controls so many fail on a fresh Wine, by as many scripts.
const AT_LEAST: usize = 16;
const HIVES: [&str; 2] = [r"HKLM\SOFTWARE", r"HKLM\SYSTEM"];
const PATIENCE: Duration = Duration::from_secs(60);
const LIMIT_S: u32 = 8;

#[test]
fn an_installed_agent_fixes_and_takes_back() -> anyhow::Result<()> {
    needs!(skip::LAB, skip::WINDOWS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    cli.approve(&controller, &endless())?;
    let wine = Wine::new(&lab)?;
    let (old, new) = (msi_package(&lab, "0.1.0")?, msi_package(&lab, "0.1.1")?);
    let bare = Kept::of(&wine)?;

    let key = wine.join(&old, &controller, &cli)?;
    is_installed(&wine, "0.1.0")?;
    let asset =
        until("the host", PATIENCE, || Ok(cli.assets()?.into_iter().find(|asset| asset.postures.fail > 0)))?;
    let key_left = wine.registry(r"HKLM\SOFTWARE\Aright\Agent")?.unwrap_or_default();
    ensure!(!key_left.contains(&key.secret), "the key is still in the registry");

    let before = registry(&wine)?;
    let filter = PostureFilter { policy: vec![POLICY.parse()?], ..PostureFilter::default() };
    let job = NewJob { name: "first steps".into(), filter: Some(filter), ..NewJob::default() };
    let fixes = cli.watch(&cli.create_job(&job)?)?;
    ensure!(fixes.len() >= AT_LEAST, "only {} fixes: {fixes:#?}", fixes.len());
    for fix in &fixes {
        ends_as(&cli.task(&fix.id)?, &[Outcome::Fixed], HostChange::Kept)?;
    }
    ensure!(dword(&wine, r"HKLM\SYSTEM\CurrentControlSet\Control\Lsa", "LmCompatibilityLevel")? == Some(5));
    ensure!(registry(&wine)? != before);
    // The last first: some keys were made by the first of several.
    for fix in fixes.iter().rev() {
        let undo = serde_json::from_value(cli.json(&["task", "undo", fix.id.as_str()])?)?;
        ends_as(&undo, &[Outcome::Ran], HostChange::Undone).with_context(|| fix.script.to_string())?;
    }
    let after = registry(&wine)?;
    ensure!(after == before, "the registry is not as before: {}", difference(&before, &after));

    let beats = past_its_time(&cli, &wine, &asset)?;

    wine.install(&new, &[])?;
    is_installed(&wine, "0.1.1")?;
    let again = fixed_again(&cli)?;
    let assets = cli.assets()?;
    ensure!(assets.len() == 1 && assets[0].id == asset.id, "{assets:#?}");

    wine.remove(&new)?;
    ensure!(Kept::of(&wine)? == bare, "left: {:#?}\nbefore: {bare:#?}", Kept::of(&wine)?);
    let assets = cli.assets()?;
    ensure!(assets.len() == 1 && assets[0].state == AssetState::Revoked, "{assets:#?}");

    println!(
        "figure: installed by msiexec with four properties, enrolled over mutual TLS; {} of {POLICY} fixed and undone, \
         {} lines of the registry as before; a script past {LIMIT_S} s ended with its child after {beats} beats; \
         {again} fixed after the upgrade by the same host; removed: nothing left, revoked",
        fixes.len(),
        before.lines().count()
    );
    Ok(())
}

fn registry(wine: &Wine) -> anyhow::Result<String> {
    let hives = HIVES.iter().map(|hive| wine.registry(hive)?.context("a hive that cannot be exported"));
    Ok(hives.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

fn difference(before: &str, after: &str) -> String {
    let odd = |lines: &str, other: &str| -> Vec<String> {
        let known: std::collections::BTreeSet<&str> = other.lines().collect();
        lines.lines().filter(|line| !known.contains(line)).take(20).map(str::to_owned).collect()
    };
    format!("gone {:#?}\nnew {:#?}", odd(before, after), odd(after, before))
}

fn dword(wine: &Wine, key: &str, name: &str) -> anyhow::Result<Option<u32>> {
    let key = wine.registry(key)?.unwrap_or_default();
    let line = key.lines().find_map(|line| line.strip_prefix(&format!("\"{name}\"=dword:")));
    Ok(line.and_then(|hex| u32::from_str_radix(hex.trim(), 16).ok()))
}

/// A child that beats for ever, and a script that waits for it: both are gone, and what they wrote with them.
fn past_its_time(cli: &Cli, wine: &Wine, asset: &Asset) -> anyhow::Result<usize> {
    let beats = || std::fs::read_to_string(wine.file(BEATS)).map_or(0, |text| text.lines().count());
    let job = cli.create_job(&NewJob {
        name: "endless".into(),
        custom_scripts: vec![CustomScript { key: "endless".parse()?, params: Default::default() }],
        include_assets: vec![asset.id.clone()],
        ..NewJob::default()
    })?;
    let heard = until("a beat of the child", PATIENCE, || Ok(Some(beats()).filter(|beats| *beats > 1)))?;
    let tasks = cli.watch(&job)?;
    let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
    let report = cli.task(&task.id)?.report.context("no report")?;
    ensure!((report.outcome, report.change) == (Outcome::TimedOut, HostChange::Undone), "{report:#?}");
    let result = report.script.context("no result")?;
    ensure!(
        result.exit == Exit::TimedOut && result.stdout.head.contains("said before the end"),
        "{result:?}"
    );
    // A child that lived would make the file anew.
    std::thread::sleep(Duration::from_secs(4));
    ensure!(!wine.file(BEATS).exists(), "the child beats on, {} times", beats());
    Ok(heard)
}

const BEATS: &str = r"C:\beats.txt";

fn endless() -> String {
    format!(
        "aright: 1\nkind: script\nkey: endless\norigin: custom\ntitle: Endless\nrisk: safe\ninterpreter: cmd\n\
         timeout_s: {LIMIT_S}\ntouches: ['{BEATS}']\nbody: |\n  @echo off\n  echo said before the end\n  \
         start \"\" /b cmd /d /c \"for /l %%i in (1,1,1000) do @(ping -n 2 127.0.0.1 >nul & echo x>>{BEATS})\"\n  \
         ping -n 1000 127.0.0.1 >nul\n"
    )
}

fn fixed_again(cli: &Cli) -> anyhow::Result<String> {
    const CONTROL: &str = "windows-autorun";
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let job = NewJob { name: "once more".into(), filter: Some(filter), ..NewJob::default() };
    let fixes: Vec<Task> = cli.watch(&cli.create_job(&job)?)?;
    let [fix] = fixes.as_slice() else { anyhow::bail!("{fixes:#?}") };
    ends_as(&cli.task(&fix.id)?, &[Outcome::Fixed], HostChange::Kept)?;
    Ok(CONTROL.to_owned())
}
