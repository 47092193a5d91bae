//! Following a run: a countdown while it is pending, a bar while it executes, its tasks at the end.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::api::{
    Job, MAX_WATCH_S, Run, RunState, Stop, Stopped, Task, TaskFilter, Watch, query_pairs,
};
use aright_shared::client::Client;
use aright_shared::task::TaskState;
use aright_shared::text::{facts, plain};
use aright_shared::time::{Clock as _, WallClock};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::output::{Format, json, rows};
use crate::session::all;

/// Of a run that ended otherwise than wished.
pub const NOT_ALL_WELL: u8 = 3;

#[derive(Serialize)]
struct Ended {
    run: Run,
    tasks: Vec<Task>,
}

pub async fn newest_run(client: &Client, format: Format, job: &Job) -> anyhow::Result<ExitCode> {
    let run = job.runs.first().context("this job has no run yet; next: aright job run")?;
    let run = follow(client, run.clone()).await?;
    let filter = TaskFilter { run: Some(run.id.clone()), ..TaskFilter::default() };
    let tasks: Vec<Task> = all(client, "/api/v1/tasks", &filter).await?;
    let well = run.state == RunState::Completed && run.outcomes.keys().all(|outcome| outcome.is_good());
    print(format, Ended { run, tasks })?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(NOT_ALL_WELL) })
}

/// Waits for the end, on stderr, so that stdout holds the result alone. Short losses of contact are sat out.
async fn follow(client: &Client, mut run: Run) -> anyhow::Result<Run> {
    let bar = ProgressBar::new(u64::from(run.tasks));
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}")?);
    let mut failures = 0;
    while !run.state.is_final() {
        let stopped = client.get::<Stop>("/api/v1/stop").await.ok().and_then(|stop| stop.stopped);
        show(&bar, &run, stopped.as_ref());
        let wait_s = if run.state == RunState::Pending { 1 } else { MAX_WATCH_S };
        let watch = Watch { revision: Some(run.revision), wait_s: Some(wait_s) };
        match client.find(&format!("/api/v1/runs/{}", run.id), &query_pairs(&watch)).await {
            Ok(newer) => (run, failures) = (newer, 0),
            Err(error) if error.is_refusal() || failures == 20 => return Err(error.into()),
            Err(error) => {
                failures += 1;
                bar.set_message(format!("{error}; trying again"));
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
    bar.finish_and_clear();
    Ok(run)
}

fn show(bar: &ProgressBar, run: &Run, stopped: Option<&Stopped>) {
    bar.set_length(u64::from(run.tasks));
    bar.set_position(u64::from(run.states.get(&TaskState::Ended).copied().unwrap_or(0)));
    if let Some(Stopped { by, reason, .. }) = stopped {
        let why = plain(&format!("{by} {reason}"));
        bar.set_message(format!("{}; all remediation was stopped by {why}", run.state));
        return;
    }
    bar.set_message(match run.state {
        RunState::Pending => {
            let seconds = run.due.since(WallClock.now()).max(0) / 1000;
            format!(
                "pending, starts in {}:{:02}; aright job cancel {} stops it",
                seconds / 60,
                seconds % 60,
                run.job
            )
        }
        RunState::Paused => format!("{}; aright job resume {} lets it go on", run.detail, run.job),
        _ => [run.state.as_str(), &run.detail, &outcomes(run)].map(str::trim).join(" ").replace("  ", " "),
    });
}

/// `14 fixed, 2 ran_not_fixed`.
pub fn outcomes(run: &Run) -> String {
    let counts: Vec<_> = run.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
    counts.join(", ")
}

fn print(format: Format, ended: Ended) -> anyhow::Result<()> {
    if format == Format::Json {
        return json(&ended);
    }
    rows(format, &ended.tasks, ["host", "script", "outcome", "change", "what", "task"], |task| {
        [
            task.hostname.clone(),
            task.script.to_string(),
            outcome(task),
            task.change.map_or_else(String::new, |change| change.to_string()),
            task.detail.clone(),
            task.id.to_string(),
        ]
    })?;
    if format == Format::Table {
        let run = &ended.run;
        let took = match (run.started, run.ended) {
            (Some(started), Some(ended)) => format!(" in {:.1} s", ended.since(started) as f64 / 1000.0),
            _ => String::new(),
        };
        print_line(&facts(&[("run", format!("{}{took}: {}", run.state, outcomes(run)))]))?;
    }
    Ok(())
}

fn print_line(text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(text.as_bytes())
}

/// `refused: clock_skew`, or the state where there is no outcome yet.
pub fn outcome(task: &Task) -> String {
    match (task.outcome, task.refusal) {
        (Some(outcome), Some(refusal)) => format!("{outcome}: {refusal}"),
        (Some(outcome), None) => outcome.to_string(),
        (None, _) => task.state.to_string(),
    }
}
