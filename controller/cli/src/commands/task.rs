//! `aright task`: one script on one host, from values before to values after.

use std::fmt::Write as _;

use aright_shared::api::{Task, TaskDetail, TaskFilter};
use aright_shared::id::{JobId, RunId, TaskId};
use aright_shared::outcome::Outcome;
use aright_shared::task::{Exit, FileDiff, Judged, Output, TaskReport};
use clap::{Args, Subcommand};

use crate::commands::{asset, watch};
use crate::output::{Format, facts, one, plain, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Tasks, narrowed by options.
    List(List),
    /// One task: outcome, values before and after, diff, output, the layers that held.
    Show { task: TaskId },
}

#[derive(Args)]
pub struct List {
    #[arg(long)]
    job: Option<JobId>,
    #[arg(long)]
    run: Option<RunId>,
    /// A hostname or an asset's id.
    #[arg(long)]
    asset: Option<String>,
    #[arg(long)]
    outcome: Option<Outcome>,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::List(List { job, run, asset, outcome }) => {
                let asset = match &asset {
                    Some(name) => Some(asset::find(&client, name).await?),
                    None => None,
                };
                let filter = TaskFilter { job, run, asset, state: None, outcome };
                let tasks: Vec<Task> = all(&client, "/api/v1/tasks", &filter).await?;
                rows(format, &tasks, ["host", "script", "outcome", "change", "ended", "task"], |task| {
                    [
                        task.hostname.clone(),
                        task.script.to_string(),
                        watch::outcome(task),
                        task.change.map_or_else(String::new, |change| change.to_string()),
                        time(task.ended),
                        task.id.to_string(),
                    ]
                })
            }
            Self::Show { task } => {
                let detail: TaskDetail = client.get(&format!("/api/v1/tasks/{task}")).await?;
                one(format, &detail, text)
            }
        }
    }
}

fn text(detail: &TaskDetail) -> String {
    let task = &detail.task;
    let params: Vec<_> = detail.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = facts(&[
        ("task", task.id.to_string()),
        ("host", task.hostname.clone()),
        ("script", format!("{} version {} {}", task.script, task.version, detail.digest)),
        ("values", params.join(" ")),
        ("outcome", watch::outcome(task)),
        ("change", task.change.map_or_else(String::new, |change| change.to_string())),
        ("what", task.detail.clone()),
        ("queued", task.queued.to_string()),
        ("ended", time(task.ended)),
    ]);
    if let Some(report) = &detail.report {
        text.push_str(&self::report(report));
    }
    text
}

fn report(report: &TaskReport) -> String {
    let mut text = String::new();
    if let Some(clock) = report.clock {
        text.push_str(&facts(&[("clock", format!("{:+} ms ± {} ms", clock.offset_ms, clock.bound_ms))]));
    }
    if let Some(confinement) = &report.confinement {
        text.push_str(&facts(&[
            ("stage", confinement.stage.clone()),
            ("layers", confinement.layers.join(", ")),
            ("without", confinement.missing.join("; ")),
        ]));
    }
    for target in &report.targets {
        let after = target.after.as_ref().or(target.staged.as_ref());
        let _ = writeln!(
            text,
            "\n{} {}\n  before {}\n  after  {}",
            target.spot.control,
            plain(&target.spot.instance),
            judged(Some(&target.before)),
            judged(after)
        );
    }
    for over in &report.overreach {
        let _ = writeln!(text, "\nnot declared: {} ({})", plain(&over.path), plain(&over.what));
    }
    for spot in &report.regressed {
        let _ = writeln!(text, "\nregressed: {} {}", spot.control, plain(&spot.instance));
    }
    for diff in &report.diff {
        text.push_str(&file(diff));
    }
    for done in &report.activation {
        let _ = writeln!(text, "\n{}: {}", plain(&done.what), plain(&done.result));
    }
    if let Some(script) = &report.script {
        let exit = match script.exit {
            Exit::Code(code) => format!("exit {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
            Exit::TimedOut => "timed out".into(),
        };
        let _ = writeln!(
            text,
            "\n{exit} after {} ms, {} ms of CPU, {} KiB",
            script.wall_ms, script.cpu_ms, script.peak_memory_kb
        );
        text.push_str(&output("stdout", &script.stdout));
        text.push_str(&output("stderr", &script.stderr));
    }
    text
}

fn judged(judged: Option<&Judged>) -> String {
    judged.map_or_else(
        || "not judged".into(),
        |judged| format!("{} {}", judged.verdict, plain(&judged.reading.to_string())),
    )
}

pub fn file(diff: &FileDiff) -> String {
    let mut text = format!("\n{} {}\n", diff.change, plain(&diff.path));
    for fact in &diff.facts {
        let _ = writeln!(text, "  {}", plain(fact));
    }
    if let Some(lines) = &diff.text {
        for line in plain(lines).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn output(name: &str, output: &Output) -> String {
    if output.head.is_empty() && output.tail.is_empty() {
        return String::new();
    }
    let mut text = format!("{name}:\n{}", plain(&output.head));
    if output.cut_bytes > 0 {
        let _ = write!(text, "\n… {} bytes cut …\n{}", output.cut_bytes, plain(&output.tail));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
