//! `aright task`: one script on one host, from values before to values after.

use std::process::ExitCode;
use std::time::Duration;

use aright_shared::api::{Task, TaskDetail, TaskFilter};
use aright_shared::client::Client;
use aright_shared::id::{JobId, RunId, TaskId};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskState;
use aright_shared::text::{facts, plain};
use clap::{Args, Subcommand};
use indicatif::ProgressBar;

use crate::commands::{asset, watch};
use crate::output::{Format, one, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Tasks, narrowed by options.
    List(List),
    /// One task: outcome, values before and after, diff, output, the layers that held.
    Show { task: TaskId },
    /// Bring back what a task changed on its host, and wait until it is done.
    Undo { task: TaskId },
    /// End a task, and wait until it has ended: one that has not begun, a script that runs. Once its change is
    /// being made it is too late.
    Cancel { task: TaskId },
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
    pub async fn run(self, format: Format) -> anyhow::Result<ExitCode> {
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
                })?;
            }
            Self::Show { task } => {
                let detail: TaskDetail = client.get(&format!("/api/v1/tasks/{task}")).await?;
                one(format, &detail, text)?;
            }
            Self::Undo { task } => {
                let asked: Task = client.post(&format!("/api/v1/tasks/{task}/undo"), &()).await?;
                let detail = until_ended(&client, &asked).await?;
                one(format, &detail, text)?;
                if detail.task.change != Some(HostChange::Undone) {
                    return Ok(ExitCode::from(watch::NOT_ALL_WELL));
                }
            }
            Self::Cancel { task } => {
                let asked: Task = client.post(&format!("/api/v1/tasks/{task}/cancel"), &()).await?;
                let detail = until_ended(&client, &asked).await?;
                one(format, &detail, text)?;
                // It came too late.
                if detail.task.outcome != Some(Outcome::Cancelled) {
                    return Ok(ExitCode::from(watch::NOT_ALL_WELL));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Waits on stderr, so that stdout holds the result alone.
pub async fn until_ended(client: &Client, task: &Task) -> anyhow::Result<TaskDetail> {
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(100));
    loop {
        let detail: TaskDetail = client.get(&format!("/api/v1/tasks/{}", task.id)).await?;
        if detail.task.state == TaskState::Ended {
            spinner.finish_and_clear();
            return Ok(detail);
        }
        let (kind, host, state) = (task.kind, plain(&task.hostname), detail.task.state);
        spinner.set_message(format!("{kind} on {host}: {state}; aright task show {}", task.id));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// A task as people read it.
pub fn text(detail: &TaskDetail) -> String {
    let task = &detail.task;
    let params: Vec<_> = detail.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = facts(&[
        ("task", task.id.to_string()),
        ("kind", task.kind.to_string()),
        ("undoes", task.undo_of.as_ref().map_or_else(String::new, TaskId::to_string)),
        ("asked by", task.asked_by.clone().unwrap_or_default()),
        ("cancelled by", task.cancel_by.clone().unwrap_or_default()),
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
        text.push_str(&aright_shared::text::report(report));
    }
    text
}
