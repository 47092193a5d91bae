//! The agent's life as a package: installed, enrolled by the environment, at work, rebooted, removed, purged. Judged by
//! the host's own programs, by the controller's list, and by a listing of everything on the host before and after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, AssetState, Task};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::packages::{apt, install, package};
use aright_tests::tree::Listing;
use aright_tests::{Cli, Controller, Host, Lab, Place as _, Release, debian, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(60);
pub const STATE: &str = "/var/lib/aright-agent";

/// What some fixes of the job are judged by, once they were made.
const JUDGES: &[(&str, &str)] = &[
    ("sshd -T | sed -n 's/^permitrootlogin //p'", "no"),
    ("stat -c '%U %a' /etc/crontab", "root 600"),
    ("sed -nE 's/^PASS_MAX_DAYS[[:space:]]+//p' /etc/login.defs", "365"),
    ("sysctl -n net.ipv4.conf.all.send_redirects", "0"),
];

/// What dpkg, apt and systemd note for themselves.
const NOTES: &[&str] = &[
    "tmp",
    "var/tmp",
    "var/lib/dpkg",
    "var/lib/apt",
    "var/lib/systemd",
    "var/log",
    "var/cache",
    "var/backups",
];

#[test]
fn on_debian_12_a_purge_leaves_nothing_and_revokes() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    println!("figure: {}", whole_life(Release::Debian12, Away::No)?);
    Ok(())
}

#[test]
fn on_debian_13_with_the_controller_away_a_purge_leaves_nothing_and_says_so() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    println!("figure: {}", whole_life(Release::Debian13, Away::AtThePurge)?);
    Ok(())
}

/// Whether the controller is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    No,
    AtThePurge,
}

/// What it came to, in a line.
fn whole_life(release: Release, away: Away) -> anyhow::Result<String> {
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let mut host = Host::boot_from(&debian(release)?, &lab, "web1")?;
    let stock = files(&host)?;

    let said = install(&host, &package("aright-agent").context("built")?, &invitation(&controller, &cli)?)?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.contains("enrolled with https://"), "{said}");
    let asset = cli.reported()?;
    is_active(&host)?;
    let installed = files(&host)?;
    let fixed = remediate(&cli)?;
    is_judged(&host)?;

    host.reboot()?;
    is_active(&host)?;
    let again = connected(&cli)?;
    ensure!(
        (again.id, again.state) == (asset.id.clone(), AssetState::Active),
        "another asset after the reboot"
    );
    is_judged(&host)?;

    let working = files(&host)?;
    let removed = apt(&host, &["apt-get", "-q", "-y", "remove", "aright-agent"])?;
    let removed = String::from_utf8_lossy(&removed.stdout).into_owned();
    ensure!(removed.contains("fixes that were applied stay in place"), "{removed}");
    is_judged(&host)?;
    ensure!(host.path(STATE).join("identity.json").exists(), "a removal took the identity");
    ensure!(host.path("/etc/aright/agent.toml").exists(), "a removal took the settings");
    ensure!(one(&cli)?.state == AssetState::Active, "a removal revoked");

    if away == Away::AtThePurge {
        controller.stop()?;
    }
    let purged = apt(&host, &["apt-get", "-q", "-y", "purge", "aright-agent"])?;
    let purged = [purged.stdout, purged.stderr].concat();
    let purged = String::from_utf8_lossy(&purged).into_owned();
    let state = match away {
        Away::No => AssetState::Revoked,
        Away::AtThePurge => {
            ensure!(purged.contains(&format!("aright asset revoke {}", asset.id)), "{purged}");
            controller.start_again()?;
            AssetState::Active
        }
    };
    ensure!(one(&cli)?.state == state, "after the purge: {:?}", one(&cli)?.state);
    is_judged(&host)?;
    let is_state = |path: &Path| Path::new("/").join(path).starts_with(STATE);
    let mut fixes = new_in(&installed, &working);
    fixes.retain(|path| !is_state(path));
    let left = new_in(&stock, &files(&host)?);
    let left: Vec<_> = left.difference(&fixes).collect();
    ensure!(left.is_empty(), "left by the purge: {left:?}");
    ensure!(host.stdout(&["systemctl", "is-system-running"])? == "running");

    Ok(format!(
        "on Debian {} the package enrols while it is installed, {fixed} of {fixed} fixed, still so after a \
         reboot, a removal and a purge; of {} files and folders that it brought or made none is left",
        release.number(),
        new_in(&stock, &working).difference(&fixes).count()
    ))
}

/// The variables by which a package enrols.
pub fn invitation(controller: &Controller, cli: &Cli) -> anyhow::Result<Vec<String>> {
    let key = cli.enroll_key(1)?;
    Ok(vec![
        format!("ARIGHT_CONTROLLER_URL={}", controller.agents_url()),
        format!("ARIGHT_ENROLL_KEY={}", key.secret),
        format!("ARIGHT_CA_FINGERPRINT={}", key.authority),
        format!("ARIGHT_TRUST_FINGERPRINT={}", key.trust),
    ])
}

/// Everything that fails, by one job; how many there were.
fn remediate(cli: &Cli) -> anyhow::Result<usize> {
    let mut job = vec!["job", "create", "--name", "first steps", "--hold-s", "0", "--watch"];
    job.extend(["--policy", "linux-first-steps", "--status", "fail"]);
    let tasks: Vec<Task> = serde_json::from_value(cli.json(&job)?["tasks"].clone())?;
    let fixed = (Some(Outcome::Fixed), Some(HostChange::Kept));
    let bad: Vec<_> = tasks.iter().filter(|task| (task.outcome, task.change) != fixed).collect();
    ensure!(bad.is_empty() && tasks.len() >= JUDGES.len(), "{} tasks: {bad:#?}", tasks.len());
    Ok(tasks.len())
}

fn is_judged(host: &Host) -> anyhow::Result<()> {
    for (command, expected) in JUDGES {
        let said = host.stdout(&["sh", "-c", command])?;
        ensure!(said == *expected, "{command}: {said:?}");
    }
    Ok(())
}

pub fn is_active(host: &Host) -> anyhow::Result<()> {
    let state = host.output(&["systemctl", "is-active", "aright-agent"])?;
    let journal = || host.stdout(&["journalctl", "-u", "aright-agent", "--no-pager", "-o", "cat"]);
    ensure!(state.status.success(), "{}\n{}", String::from_utf8_lossy(&state.stdout), journal()?);
    Ok(())
}

fn one(cli: &Cli) -> anyhow::Result<Asset> {
    let assets = cli.assets()?;
    let [asset] = &assets[..] else { anyhow::bail!("not one asset: {assets:#?}") };
    Ok(asset.clone())
}

fn connected(cli: &Cli) -> anyhow::Result<Asset> {
    until("a check-in", PATIENCE, || Ok(Some(one(cli)?).filter(|asset| asset.connected)))
}

/// Everything on the host's disk, by the host's own names.
pub fn files(host: &Host) -> anyhow::Result<Listing> {
    let root = host.root();
    Ok(Listing::of_root(&root, Path::new("/nothing"))?.below(&root))
}

/// What is new, gone or another, but for what others note for themselves.
pub fn new_in(before: &Listing, after: &Listing) -> BTreeSet<PathBuf> {
    let is_note = |path: &Path| NOTES.iter().any(|note| path.starts_with(note));
    before.changed(after).into_iter().filter(|path| is_ours(path) || !is_note(path)).collect()
}

fn is_ours(path: &Path) -> bool {
    path.to_string_lossy().contains("aright")
}
