//! The controller's package: a service of its own user, hardened, watched; and what a purge leaves. Judged by systemd, by
//! the command line on the host, and by a listing of the host.

use anyhow::{Context as _, ensure};
use aright_tests::packages::{apt, install, package};
use aright_tests::{Host, Lab, Place as _, Release, debian, needs, skip};

use super::agent::{files, new_in};

/// By `systemd-analyze security`; smaller is less exposed.
const AIM: f64 = 2.0;
const UNITS: [&str; 2] = ["aright-controller", "aright-agent"];

#[test]
fn the_controller_serves_as_its_own_user_and_a_purge_leaves_nothing_but_that() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    let lab = Lab::new()?;
    let host = Host::boot_from(&debian(Release::Debian13)?, &lab, "aright1")?;
    let stock = files(&host)?;
    for name in ["aright-controller", "aright", "aright-agent"] {
        install(&host, &package(name).context("built")?, &[])?;
    }

    let state = |what: &str, unit: &str| host.stdout(&["systemctl", "show", "--value", "-p", what, unit]);
    ensure!(state("ActiveState", "aright-controller")? == "active");
    // Nobody has enrolled this host: its agent waits for that, and is no failure.
    ensure!(
        state("ActiveState", "aright-agent")? == "inactive" && state("Result", "aright-agent")? != "success"
    );
    ensure!(host.stdout(&["systemctl", "is-system-running"])? == "running");
    let pid = state("MainPID", "aright-controller")?;
    ensure!(host.stdout(&["ps", "-o", "user=", "-p", &pid])? == "aright", "it runs as somebody else");
    ensure!(host.stdout(&["stat", "-c", "%U %a", "/var/lib/aright"])? == "aright 700");
    let journal = host.stdout(&["journalctl", "-u", "aright-controller", "--no-pager", "-o", "cat"])?;
    let reset = reset(&host)?;
    let secret = journal.lines().filter_map(|line| line.trim().strip_prefix("password"));
    let secret: Vec<_> = secret.map(str::trim).collect();
    ensure!(matches!(&secret[..], [one] if one.starts_with("not shown in the journal")), "{secret:?}");
    let authority = journal.lines().find_map(|line| line.trim().strip_prefix("ca fingerprint"));
    ensure!(reset.contains(authority.context("no fingerprint in the journal")?.trim()), "{reset}");
    log_in(&host, &reset)?;
    for unit in UNITS {
        println!("figure: systemd-analyze security {unit}: {:.1}", exposure(&host, unit)?);
    }
    ensure!(exposure(&host, "aright-controller")? <= AIM);

    apt(&host, &["apt-get", "-q", "-y", "purge", "aright-controller", "aright", "aright-agent"])?;
    let left = new_in(&stock, &files(&host)?);
    let user = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];
    let left: Vec<_> = left
        .iter()
        .filter(|path| !user.iter().any(|file| path.to_string_lossy().trim_end_matches('-') == *file))
        .collect();
    ensure!(left.is_empty(), "left by the purge: {left:?}");
    Ok(())
}

/// A new password of the administrator, made as the documentation says: what that prints.
fn reset(host: &Host) -> anyhow::Result<String> {
    host.stdout(&["runuser", "-u", "aright", "--", "aright-controller", "admin", "reset"])
}

/// By the line that the reset printed.
fn log_in(host: &Host, reset: &str) -> anyhow::Result<()> {
    let password = reset.lines().next().and_then(|line| line.rsplit(' ').next()).context("no password")?;
    let line = reset.lines().find_map(|line| line.strip_prefix("next: ")).context("no next step")?;
    host.write("/root/password", password)?;
    host.stdout(&["sh", "-c", &format!("{line} --password-file /root/password")])?;
    host.stdout(&["aright", "asset", "list"])?;
    host.stdout(&["rm", "-r", "/root/password", "/root/.config"]).map(drop)
}

fn exposure(host: &Host, unit: &str) -> anyhow::Result<f64> {
    let said = host.stdout(&["systemd-analyze", "security", "--no-pager", &format!("{unit}.service")])?;
    let line = said.lines().find(|line| line.contains("Overall exposure level")).context("no level")?;
    let level = line.rsplit(": ").next().and_then(|rest| rest.split(' ').next()).context("no level")?;
    Ok(level.parse()?)
}
