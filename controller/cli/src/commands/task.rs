//! `aright task`: one script on one host, from values before to values after.

use aright_shared::api::{Task, TaskDetail, TaskFilter};
use aright_shared::id::{JobId, RunId, TaskId};
use aright_shared::outcome::Outcome;
use aright_shared::text::facts;
use clap::{Args, Subcommand};

use crate::commands::{asset, watch};
use crate::output::{Format, one, rows, time};
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
        text.push_str(&aright_shared::text::report(report));
    }
    text
}
