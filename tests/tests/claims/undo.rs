//! Sixteen fixes of one job, taken back two days later by an operator's command: the files are exactly as before
//! the job, the postures fail again without anybody asking for it, and the audit log says who did what when.
//!
//! The two days are libfaketime's, in controller and agent alike. Judged by a listing of the host's settings (content,
//! mode, owner, attributes, times of files), by `sshd -T` and the like, and by the audit log as the store holds it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, NewJob, Posture, PostureFilter};
use aright_shared::id::JobId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::posture::Verdict;
use aright_shared::time::{Clock as _, DAY, HOUR, SECOND, WallClock};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Cli, Clock, Controller, Host, Lab, Place as _, needs, skip, until};
use rusqlite::Connection;

use crate::scene::ends_as;

const PATIENCE: Duration = Duration::from_secs(30);
const LATER: i64 = 2 * DAY;
const POLICY: &str = "linux-first-steps";
const FIXES: usize = 16;
/// Where a host's settings are.
const SETTINGS: &[&str] =
    &["/etc", "/root", "/home", "/boot", "/opt", "/srv", "/usr/local", "/usr/lib/sysctl.d"];
/// What programs make of them.
const IN_FORCE: &str = "sshd -T; useradd -D; env -i bash -lc 'echo $TMOUT'; modprobe --showconfig; sysctl -n \
    net.ipv4.conf.all.send_redirects net.ipv4.conf.default.send_redirects fs.suid_dumpable";

#[test]
fn a_job_of_two_days_ago_is_taken_back_by_command() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::FAKETIME);
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let host = Host::boot(&lab, "web1")?;
    let mut agent = Agent::install(&host, lab.folder().join("agent.log"))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.serve()?;
    cli.reported()?;
    let before = (files(&host)?, verdicts(&cli)?, in_force(&host)?);

    let filter = PostureFilter { policy: vec![POLICY.parse()?], ..PostureFilter::default() };
    let job = NewJob { name: "first steps".into(), filter: Some(filter), ..NewJob::default() };
    let job = cli.create_job(&job)?;
    let fixes = cli.watch(&job)?;
    ensure!(fixes.len() == FIXES, "{fixes:#?}");
    for fix in &fixes {
        ends_as(&cli.task(&fix.id)?, &[Outcome::Fixed], HostChange::Kept)?;
    }
    ensure!(verdicts(&cli)?.values().all(|verdict| *verdict == Verdict::Pass), "{:?}", verdicts(&cli)?);
    ensure!(in_force(&host)? != before.2);
    let changed = before.0.changed(&files(&host)?);

    controller.stop()?;
    controller.set_clock(later(LATER));
    controller.start_again()?;
    // A session lasts no two days.
    ensure!(!cli.output(&["asset", "list"])?.status.success());
    let cli = Cli::log_in(&controller)?;
    agent.set_clock(later(LATER))?;
    agent.serve_anew()?;
    let is_here = |asset: &Asset| asset.last_seen.is_some_and(|at| at > WallClock.now().plus(LATER - HOUR));
    until("the host, two days later", PATIENCE, || Ok(cli.assets()?.into_iter().find(is_here)))?;

    // The last first: several are on one file.
    for fix in fixes.iter().rev() {
        let undo = serde_json::from_value(cli.json(&["task", "undo", fix.id.as_str()])?)?;
        ends_as(&undo, &[Outcome::Ran], HostChange::Undone).with_context(|| fix.script.to_string())?;
        let clock = undo.report.as_ref().and_then(|report| report.clock).context("no clock")?;
        ensure!(clock.offset_ms.abs() < SAME_DAY, "two days apart? {clock:?}");
        let shown = cli.text(&["task", "show", fix.id.as_str()])?;
        ensure!(shown.lines().any(|line| line.split_whitespace().eq(["change", "undone"])), "{shown}");
    }

    // Nobody asked the host to evaluate anything: whoever sees the last undo sees the posture.
    ensure!(verdicts(&cli)? == before.1, "{:?}\nbut before {:?}", verdicts(&cli)?, before.1);
    let different = before.0.diff(&files(&host)?);
    ensure!(different.is_empty(), "{different:?}");
    ensure!(in_force(&host)? == before.2, "{}\nbut before {}", in_force(&host)?, before.2);
    let apart = audited(&controller, &job, &fixes.iter().map(|fix| fix.id.to_string()).collect::<Vec<_>>())?;

    let one = on_the_host_itself(&cli, &host)?;
    println!(
        "figure: {FIXES} fixes of one job ({} files) undone by {FIXES} commands {:.2} days later: {} things listed, 0 \
         different; {} postures fail again; {FIXES} audit lines name admin; {one} undone once more, on the host itself",
        changed.len(),
        apart as f64 / DAY as f64,
        before.0.len(),
        before.1.values().filter(|verdict| **verdict == Verdict::Fail).count()
    );
    Ok(())
}

/// An undo beside the running service, which the controller learns by itself, with the posture that it made.
fn on_the_host_itself(cli: &Cli, host: &Host) -> anyhow::Result<&'static str> {
    const CONTROL: &str = "login-defs-umask";
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let job =
        cli.create_job(&NewJob { name: "once more".into(), filter: Some(filter), ..NewJob::default() })?;
    let fixes = cli.watch(&job)?;
    let [fix] = fixes.as_slice() else { anyhow::bail!("{fixes:#?}") };
    ensure!(fix.change == Some(HostChange::Kept), "{fix:#?}");
    host.stdout(&["aright-agent", "undo", "--task", fix.id.as_str()])?;
    let is_known = || Ok((cli.task(&fix.id)?.task.change == Some(HostChange::Undone)).then_some(()));
    until("word of the undo", 2 * PATIENCE, is_known)?;
    let verdict = verdicts(cli)?.remove(&(CONTROL.to_owned(), "default".to_owned()));
    ensure!(verdict == Some(Verdict::Fail), "{verdict:?}");
    Ok(CONTROL)
}

/// No clock here is off by so many milliseconds, unless it is of another day.
const SAME_DAY: i64 = 600 * SECOND;

fn later(millis: i64) -> Clock {
    Clock::Wrong(format!("+{}s", millis / SECOND))
}

fn files(host: &Host) -> anyhow::Result<Listing> {
    let paths: Vec<PathBuf> = SETTINGS.iter().map(|folder| host.path(folder)).collect();
    let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
    Ok(Listing::of(&paths)?.without_folder_times())
}

fn in_force(host: &Host) -> anyhow::Result<String> {
    host.stdout(&["sh", "-c", IN_FORCE])
}

/// Of each control and instance by the policy.
fn verdicts(cli: &Cli) -> anyhow::Result<BTreeMap<(String, String), Verdict>> {
    let postures: Vec<Posture> = serde_json::from_value(cli.json(&["posture", "list", "--policy", POLICY])?)?;
    let by_place = |one: Posture| ((one.spot.control.to_string(), one.spot.instance), one.status);
    Ok(postures.into_iter().map(by_place).collect())
}

/// That each fix has one line saying that the administrator undid it; how long after the job, in milliseconds.
fn audited(controller: &Controller, job: &JobId, fixes: &[String]) -> anyhow::Result<i64> {
    let database = Connection::open(controller.data().join("aright.db"))?;
    let lines = |action: &str| -> anyhow::Result<Vec<(String, String, i64)>> {
        let mut lines =
            database.prepare("SELECT who, subject, at FROM audit WHERE action = $1 ORDER BY id")?;
        let lines = lines.query_map([action], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        Ok(lines.collect::<Result<_, _>>()?)
    };
    let saved = lines("job.create")?;
    let [(who, subject, saved)] = saved.as_slice() else { anyhow::bail!("{saved:?}") };
    ensure!(who == "admin" && subject == job.as_str(), "{who} {subject}");
    let undone = lines("task.undo")?;
    let expected: Vec<_> = fixes.iter().rev().map(|fix| ("admin", fix.as_str())).collect();
    let found: Vec<_> = undone.iter().map(|(who, subject, _)| (who.as_str(), subject.as_str())).collect();
    ensure!(found == expected, "{found:?}");
    let (_, _, first) = undone.first().context("no undo")?;
    ensure!(undone.iter().all(|(_, _, at)| *at >= saved + LATER), "{saved} {undone:?}");
    Ok(first - saved)
}
