//! The main job on a real host: a stock Debian 12 with systemd, sixteen controls that fail, one job, sixteen
//! that pass. Judged by the programs whose settings they are, by the files, by a new SSH connection that shows
//! the notice, and by OpenSCAP with content that nobody here wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::ensure;
use aright_shared::api::{Posture, Task};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::posture::Verdict;
use aright_tests::{Agent, Cli, Controller, Host, Lab, Place as _, needs, skip, ssg, until};

const PATIENCE: Duration = Duration::from_secs(30);

/// The first 16 of CONTENT.md fail on a stock host, the last five pass.
const FAIL: [u32; 16] = [
    10001, 10003, 10007, 10008, 10012, 10013, 10018, 10021, 10022, 10031, 10037, 10038, 10044, 10049, 10051,
    10052,
];
const PASS: [u32; 5] = [10002, 10019, 10020, 10032, 10034];

/// What to run on the host, and what it prints before and after.
const JUDGES: &[(&str, &str, &str)] = &[
    ("sshd -T | sed -n 's/^permitrootlogin //p'", "without-password", "no"),
    ("sshd -T | sed -n 's/^maxauthtries //p'", "6", "4"),
    ("sshd -T | sed -n 's/^logingracetime //p'", "120", "60"),
    ("sshd -T | sed -n 's/^clientaliveinterval //p'", "0", "300"),
    ("sshd -T | sed -n 's/^banner //p'", "none", "/etc/issue.net"),
    ("stat -c '%U %G %a' /etc/ssh/sshd_config", "root root 644", "root root 600"),
    ("sed -nE 's/^PASS_MAX_DAYS[[:space:]]+//p' /etc/login.defs", "99999", "365"),
    ("sed -nE 's/^UMASK[[:space:]]+//p' /etc/login.defs", "022", "027"),
    ("useradd -D | sed -n 's/^INACTIVE=//p'", "-1", "45"),
    ("env -i bash -lc 'echo $TMOUT' | tail -n 1", "", "900"),
    ("stat -c '%U %a' /etc/crontab", "root 644", "root 600"),
    (
        "stat -c '%U %a' /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/cron.d | sort -u",
        "root 755",
        "root 700",
    ),
    ("sysctl -n net.ipv4.conf.all.send_redirects net.ipv4.conf.default.send_redirects | sort -u", "1", "0"),
    (
        "sysctl -n fs.suid_dumpable; grep -rhs '^fs.suid_dumpable' /etc/sysctl.d | tr -d ' '",
        "0",
        "0\nfs.suid_dumpable=0",
    ),
    (
        "modprobe --showconfig | grep -cE '^(install|blacklist) (cramfs|freevxfs|hfs|hfsplus|jffs2)( |$)' || true",
        "0",
        "10",
    ),
    ("modprobe --showconfig | grep -cE '^(install|blacklist) usb.storage( |$)' || true", "0", "2"),
];

#[test]
fn sixteen_failed_controls_are_fixed_by_one_job() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::SSG);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let host = Host::boot(&lab, "web1")?;
    let rules: Vec<&str> = ssg::COUNTERPARTS.iter().flat_map(|(_, rules)| rules.iter().copied()).collect();

    let others = ssg::evaluate(&host, &rules)?;
    ensure!(others.values().all(|result| result == "fail"), "oscap before: {others:?}");
    is_judged(&host, |(command, before, _)| (command, before))?;
    let notice = host.read("/etc/issue.net")?;
    ensure!(!banner(&host)?.contains(notice.trim()), "the notice is shown already");

    let agent = Agent::install(&host, lab.folder().join("agent.log"))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.serve()?;
    let before = until("a report", PATIENCE, || Ok(Some(verdicts(&cli)?).filter(|seen| !seen.is_empty())))?;
    is_as_expected(&before, &PASS)?;

    let since = Instant::now();
    let output = cli.json(&[
        "job",
        "create",
        "--name",
        "first steps",
        "--policy",
        "linux-first-steps",
        "--status",
        "fail",
        "--hold-s",
        "0",
        "--watch",
    ])?;
    let took = since.elapsed();
    let tasks: Vec<Task> = serde_json::from_value(output["tasks"].clone())?;
    let bad: Vec<_> = tasks
        .iter()
        .filter(|task| (task.outcome, task.change) != (Some(Outcome::Fixed), Some(HostChange::Kept)))
        .map(|task| format!("{}: {:?} {:?} {}", task.script, task.outcome, task.refusal, task.detail))
        .collect();
    let journal = || host.stdout(&["journalctl", "-u", "aright-agent", "--no-pager", "-o", "cat"]);
    ensure!(bad.is_empty() && tasks.len() == FAIL.len(), "{}\n{}", bad.join("\n"), journal()?);

    is_judged(&host, |(command, _, after)| (command, after))?;
    ensure!(banner(&host)?.contains(notice.trim()), "a new connection does not show the notice");
    let all: Vec<u32> = FAIL.iter().chain(&PASS).copied().collect();
    is_as_expected(&verdicts(&cli)?, &all)?;
    let others = ssg::evaluate(&host, &rules)?;
    ensure!(others.values().all(|result| result == "pass"), "oscap after: {others:?}");
    ensure!(host.stdout(&["systemctl", "is-system-running"])? == "running");

    println!(
        "figure: 16 of 16 fixed in {:.2} s, verified; {} outside judges agree before and after, \
         oscap on {} rules for {} of the controls",
        took.as_secs_f64(),
        JUDGES.len() + 1,
        rules.len(),
        ssg::COUNTERPARTS.len()
    );
    Ok(())
}

fn is_judged<'a>(
    host: &Host,
    expected: impl Fn((&'a str, &'a str, &'a str)) -> (&'a str, &'a str),
) -> anyhow::Result<()> {
    for judge in JUDGES {
        let (command, expected) = expected(*judge);
        let said = host.stdout(&["sh", "-c", command])?;
        ensure!(said == expected, "{command}: {said:?}, expected {expected:?}");
    }
    Ok(())
}

/// What a new SSH connection shows before the login.
fn banner(host: &Host) -> anyhow::Result<String> {
    let login = host.ssh("true")?;
    ensure!(login.status.success(), "{login:?}");
    Ok(String::from_utf8_lossy(&login.stderr).into_owned())
}

/// By the controls' numbers: whether all instances pass.
fn verdicts(cli: &Cli) -> anyhow::Result<BTreeMap<u32, bool>> {
    let postures: Vec<Posture> = serde_json::from_value(cli.json(&["posture", "list"])?)?;
    let mut passes = BTreeMap::new();
    for posture in postures {
        *passes.entry(posture.number).or_insert(true) &= posture.status == Verdict::Pass;
    }
    Ok(passes)
}

/// All 21 are there, and exactly these pass.
fn is_as_expected(seen: &BTreeMap<u32, bool>, pass: &[u32]) -> anyhow::Result<()> {
    let known: BTreeSet<u32> = seen.keys().copied().collect();
    let all: BTreeSet<u32> = FAIL.iter().chain(&PASS).copied().collect();
    ensure!(known == all, "controls {known:?}");
    let passing: BTreeSet<u32> =
        seen.iter().filter(|(_, passes)| **passes).map(|(number, _)| *number).collect();
    ensure!(passing == pass.iter().copied().collect(), "passing: {passing:?}");
    Ok(())
}
