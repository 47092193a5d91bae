//! `aright schedule`: jobs that run at a time, or again and again.

use aright_shared::api::{Job, JobState, Paging, Schedule};
use clap::Subcommand;

use crate::output::{Format, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Those that are to come, the next first
    List,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let Self::List = self;
        let mut jobs: Vec<Job> = all(&client()?, "/api/v1/jobs", &Paging::default()).await?;
        jobs.retain(|job| job.spec.schedule != Schedule::Now && job.state != JobState::Ended);
        jobs.sort_by_key(|job| next(job).map_or(i64::MAX, |at| at.0));
        rows(format, &jobs, ["name", "job", "state", "next", "schedule", "last run"], |job| {
            [
                job.name.clone(),
                job.id.to_string(),
                job.state.to_string(),
                time(next(job)),
                job.spec.schedule.to_string(),
                time(job.runs.iter().find_map(|run| run.started)),
            ]
        })
    }
}

/// The run that waits, or the occurrence after it.
pub fn next(job: &Job) -> Option<aright_shared::time::Millis> {
    let waiting = job.runs.iter().filter(|run| run.started.is_none() && !run.state.is_final());
    waiting.map(|run| run.due).min().or(job.next.first().copied())
}
