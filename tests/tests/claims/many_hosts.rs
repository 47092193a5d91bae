//! Ten real hosts at once, one job, everything fixed: what a fleet costs beside its slowest host.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Job, Posture, Run, Task};
use aright_shared::id::AssetId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::{Agent, Cli, Controller, Host, Lab, Place as _, needs, skip, until};

const HOSTS: usize = 10;
const PATIENCE: Duration = Duration::from_secs(60);
/// Ten fixes: those that need no reload of sshd, and one that does.
const CONTROLS: [u32; 10] = [10001, 10013, 10018, 10021, 10022, 10037, 10038, 10044, 10049, 10052];

#[test]
fn ten_hosts_are_fixed_by_one_job() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let key = cli.enroll_key(HOSTS)?;
    let hosts = boot_all(&lab)?;
    for host in &hosts {
        let agent = Agent::install(host, lab.folder().join(format!("{}.log", host.name())))?;
        agent.enroll(&controller.agents_url(), &key)?;
        agent.serve()?;
    }
    let failed = until("all reports", PATIENCE, || {
        let assets = cli.assets()?;
        let whole =
            assets.len() == HOSTS && assets.iter().all(|asset| asset.postures.fail > 0 && asset.connected);
        Ok(if whole { Some(failing(&cli)?) } else { None })
    })?;
    let controls = controls_of(&failed);
    ensure!(controls.len() == CONTROLS.len(), "{controls:?}");

    let cpu_before = controller.running()?.cpu()?;
    let mut command = vec!["job", "create", "--name", "ten", "--hold-s", "0"];
    for control in &controls {
        command.extend(["--control", control]);
    }
    let job: Job = serde_json::from_value(cli.json(&[command.as_slice(), &["--status", "fail"]].concat())?)?;
    let ended = cli.json(&["job", "watch", job.id.as_str()])?;
    let cpu = controller.running()?.cpu()? - cpu_before;
    let run: Run = serde_json::from_value(ended["run"].clone())?;
    let tasks: Vec<Task> = serde_json::from_value(ended["tasks"].clone())?;

    ensure!(tasks.len() == HOSTS * CONTROLS.len(), "{} tasks", tasks.len());
    let bad: Vec<_> = tasks
        .iter()
        .filter(|task| (task.outcome, task.change) != (Some(Outcome::Fixed), Some(HostChange::Kept)))
        .collect();
    ensure!(bad.is_empty(), "{bad:#?}");
    for host in &hosts {
        let said = host.stdout(&["sh", "-c", "sshd -T | sed -n 's/^permitrootlogin //p'; sysctl -n net.ipv4.conf.all.send_redirects; stat -c %a /etc/crontab"])?;
        ensure!(said == "no\n0\n600", "{}: {said:?}", host.name());
    }

    let whole = run.ended.context("it ended")?.since(run.started.context("it started")?) as f64 / 1000.0;
    let slowest = slowest(&tasks)?;
    println!(
        "figure: {} fixes on {HOSTS} hosts in {whole:.2} s, the slowest host alone {slowest:.2} s: ratio {:.2}; \
         controller {:.2} s of CPU (debug builds, 2 cores)",
        tasks.len(),
        whole / slowest,
        cpu.as_secs_f64()
    );
    Ok(())
}

/// Two at a time: more only wait for each other's disk.
fn boot_all(lab: &Lab) -> anyhow::Result<Vec<Host>> {
    aright_tests::debian_12()?;
    let boot = |numbers: std::ops::Range<usize>| -> anyhow::Result<Vec<Host>> {
        numbers.map(|number| Host::boot(lab, &format!("web{number}"))).collect()
    };
    thread::scope(|scope| {
        let halves = [0..HOSTS / 2, HOSTS / 2..HOSTS].map(|half| scope.spawn(move || boot(half)));
        let mut hosts = Vec::new();
        for half in halves {
            hosts.extend(half.join().map_err(|_| anyhow::anyhow!("booting panicked"))??);
        }
        Ok(hosts)
    })
}

fn failing(cli: &Cli) -> anyhow::Result<Vec<Posture>> {
    Ok(serde_json::from_value(cli.json(&["posture", "list", "--status", "fail"])?)?)
}

/// The keys of the ten, as they fail.
fn controls_of(failed: &[Posture]) -> Vec<String> {
    let wanted = failed.iter().filter(|posture| CONTROLS.contains(&posture.number));
    let mut keys: Vec<_> = wanted.map(|posture| posture.spot.control.to_string()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Seconds from the first delivery to the last result of the host that took longest.
fn slowest(tasks: &[Task]) -> anyhow::Result<f64> {
    let mut spans: BTreeMap<&AssetId, (i64, i64)> = BTreeMap::new();
    for task in tasks {
        let (from, to) = (task.delivered.context("delivered")?.0, task.ended.context("ended")?.0);
        let span = spans.entry(&task.asset).or_insert((from, to));
        *span = (span.0.min(from), span.1.max(to));
    }
    let longest = spans.values().map(|(from, to)| to - from).max().context("no task")?;
    Ok(longest as f64 / 1000.0)
}
