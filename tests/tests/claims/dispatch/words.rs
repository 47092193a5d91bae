//! What simulated agents say of their hosts and tasks.

use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::posture::{Missing, Observation, Reading, Spot};
use aright_shared::task::TaskReport;
use aright_shared::time::Millis;
use aright_shared::wire::{Facts, Report, observations_digest};

use super::ledger::now;

/// What fails on every host; each has a library script.
pub const CONTROLS: [&str; 6] = [
    "login-defs-pass-max-days",
    "login-defs-umask",
    "useradd-inactive",
    "shell-idle-timeout",
    "crontab-permissions",
    "suid-dumpable",
];

pub fn facts(hostname: &str) -> Facts {
    Facts {
        hostname: hostname.into(),
        os: "Debian GNU/Linux 12 (bookworm)".into(),
        kernel: "6.1.0".into(),
        arch: "x86_64".into(),
        memory_mb: 2048,
        cpus: 2,
        boot_time: Millis(1),
        agent_version: env!("CARGO_PKG_VERSION").into(),
        timezone: "UTC".into(),
        confinement: "staged".into(),
    }
}

/// Everything that fails.
pub fn report(facts: Facts) -> Report {
    let key = |text: &str| text.parse().expect("a key");
    let spot =
        |control| Spot { control: key(control), technology: key("debian-12"), instance: "default".into() };
    let observations = CONTROLS.map(|control| Observation {
        spot: spot(control),
        reading: Reading::Absent(Missing::File),
        evidence: Vec::new(),
        managed: Vec::new(),
        at: now(),
    });
    Report {
        full: true,
        facts: Some(facts),
        technologies: vec![key("debian-12")],
        digest: observations_digest(&observations),
        observations: observations.into(),
        not_applicable: Vec::new(),
        gone: Vec::new(),
        at: now(),
        clock: None,
    }
}

pub fn report_of(task: &TaskId, outcome: Outcome, change: HostChange) -> TaskReport {
    TaskReport::of(task, outcome, change, "simulated", now(), now())
}
