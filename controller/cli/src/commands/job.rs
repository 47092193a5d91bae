//! `aright job`: choose failed postures, save, run, follow, stop.

mod create;
mod reach;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use aright_shared::api::{Job, NewRun, Paging, Reach, Run, Schedule, Zone};
use aright_shared::client::Client;
use aright_shared::id::{JobId, RunId};
use aright_shared::text::facts;
use aright_shared::time::Millis;
use clap::Subcommand;

use crate::commands::{schedule, watch};
use crate::output::{Format, one, rows, time};
use crate::session::{all, client};
use create::{Create, Waits};

#[derive(Subcommand)]
pub enum Command {
    /// Save a job for failed postures, chosen by options or by a file; it runs after its hold time, at a time, or again and again
    #[command(after_help = EXAMPLES)]
    Create(Box<Create>),
    /// All jobs, newest first
    List,
    /// One job: what was chosen, its scripts, its schedule, its runs
    Show {
        job: JobId,
        /// Print it as a file that `create` and `edit` take
        #[arg(long)]
        spec: bool,
    },
    /// What would run where if it ran now, and why not elsewhere
    Reach { job: JobId },
    /// Put a file in place of what a job is; a pending run waits its hold time anew, or goes where the schedule changed
    Edit {
        job: JobId,
        /// As `aright job show --spec` prints it
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Save a draft, or let a deactivated job go on
    Activate { job: JobId },
    /// No further runs until it is activated again: a pending one is cancelled, one under way goes on
    Deactivate { job: JobId },
    /// Run a job once more, besides its schedule
    Run {
        job: JobId,
        #[command(flatten)]
        waits: Waits,
    },
    /// Follow the newest run of a job to its end; then print its tasks
    Watch { job: JobId },
    /// Let nothing more of its run begin; what is under way ends by itself
    Pause { job: JobId },
    /// Let a paused run go on
    Resume { job: JobId },
    /// End a job: what is pending or queued at once, what runs is asked to. No further runs
    Cancel { job: JobId },
}

const EXAMPLES: &str = "\
Examples:
  aright job create --policy linux-first-steps --name \"first steps\" --watch
  aright job create --status fail --tag web --canary 1 --at-once 10% --halt-after 3 --reach
  aright job create --policy linux-first-steps --name weekly --each-run --every week --on tue --at 2026-12-01T02:00 --zone Europe/Berlin
  aright job create --name mine --include-tags all:web,eu --exclude-tags lab --custom-script my-fix";

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<ExitCode> {
        let client = client()?;
        match self {
            Self::Create(create) => return create.run(&client, format).await,
            Self::List => list(&client, format).await?,
            Self::Show { job, spec: false } => one(format, &get(&client, &job).await?, text)?,
            Self::Show { job, spec: true } => {
                let spec = get(&client, &job).await?.spec;
                let yaml = serde_saphyr::to_string(&spec).context("the job as YAML")?;
                one(format, &spec, |_| yaml)?;
            }
            Self::Reach { job } => {
                reach::print(format, &client.get::<Reach>(&format!("/api/v1/jobs/{job}/reach")).await?)?;
            }
            Self::Edit { job, file } => {
                let new = create::from_file(&client, &file).await?;
                one(format, &client.put::<_, Job>(&format!("/api/v1/jobs/{job}"), &new).await?, text)?;
            }
            Self::Activate { job } => change(&client, format, &job, "activate").await?,
            Self::Deactivate { job } => change(&client, format, &job, "deactivate").await?,
            Self::Cancel { job } => change(&client, format, &job, "cancel").await?,
            Self::Run { job, waits } => {
                let new = NewRun { hold_s: waits.hold_s(), expiry_s: waits.expiry_s() };
                let run: Run = client.post(&format!("/api/v1/jobs/{job}/runs"), &new).await?;
                one(format, &run, |run| {
                    format!(
                        "run {} is {}, due {}; next: aright job watch {job}\n",
                        run.id, run.state, run.due
                    )
                })?;
            }
            Self::Watch { job } => {
                let job = get(&client, &job).await?;
                return watch::newest_run(&client, format, &job).await;
            }
            Self::Pause { job } => steer(&client, format, &job, "pause").await?,
            Self::Resume { job } => steer(&client, format, &job, "resume").await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

async fn get(client: &Client, job: &JobId) -> anyhow::Result<Job> {
    Ok(client.get(&format!("/api/v1/jobs/{job}")).await?)
}

async fn change(client: &Client, format: Format, job: &JobId, verb: &str) -> anyhow::Result<()> {
    one(format, &client.post::<_, Job>(&format!("/api/v1/jobs/{job}/{verb}"), &()).await?, text)
}

/// The newest run of the job that has not ended.
async fn steer(client: &Client, format: Format, job: &JobId, verb: &str) -> anyhow::Result<()> {
    let job = get(client, job).await?;
    let run = job.runs.iter().find(|run| !run.state.is_final());
    let run: &RunId = &run.context("no run of the job is under way; next: aright job show")?.id;
    let run: Run = client.post(&format!("/api/v1/runs/{run}/{verb}"), &()).await?;
    one(format, &run, of_run)
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let jobs: Vec<Job> = all(client, "/api/v1/jobs", &Paging::default()).await?;
    rows(format, &jobs, ["name", "id", "state", "postures", "hosts", "next", "last run", "outcomes"], |job| {
        let last = job.runs.first();
        [
            job.name.clone(),
            job.id.to_string(),
            job.state.to_string(),
            job.postures.to_string(),
            job.assets.to_string(),
            time(schedule::next(job)),
            last.map_or_else(String::new, |run| run.state.to_string()),
            last.map_or_else(String::new, watch::outcomes),
        ]
    })
}

fn text(job: &Job) -> String {
    let scripts: Vec<_> = job.scripts.iter().map(|script| script.key.to_string()).collect();
    let next: Vec<_> = job.next.iter().map(Millis::to_string).collect();
    let (schedule, rollout) = (&job.spec.schedule, &job.spec.rollout);
    let share =
        |what: &str, share: Option<aright_shared::api::Share>| share.map(|share| format!("{what} {share}"));
    let pace: Vec<_> = [
        share("canary", rollout.canary),
        share("at once", rollout.at_once),
        share("halt after", rollout.halt_after),
    ]
    .into_iter()
    .flatten()
    .collect();
    let by_own_clock = match (schedule.zone(), next.is_empty()) {
        (Some(Zone::Asset), false) => "each host by its own clock; these are the earliest on earth",
        _ => "",
    };
    let mut text = facts(&[
        ("job", job.name.clone()),
        ("id", job.id.to_string()),
        ("state", job.state.to_string()),
        (
            "chosen",
            format!(
                "{}, {}, {} ({})",
                many(job.postures, "posture"),
                many(job.controls, "control"),
                many(job.assets, "host"),
                job.spec.selection
            ),
        ),
        ("scripts", scripts.join(", ")),
        ("schedule", if *schedule == Schedule::Now { String::new() } else { schedule.to_string() }),
        ("next", next.join(", ")),
        ("", by_own_clock.to_owned()),
        ("pace", pace.join(", ")),
        ("saved", format!("{} by {}", job.created, job.created_by)),
        ("all of it", format!("aright job show --spec {}", job.id)),
    ]);
    for run in &job.runs {
        text.push_str(&of_run(run));
    }
    text
}

/// `1 host`, `2 hosts`.
fn many(number: u32, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn of_run(run: &Run) -> String {
    let hosts = match run.assets.all {
        0 => String::new(),
        all => format!(
            "{all}, {} begun, {} done, {} failed",
            run.assets.begun, run.assets.ended, run.assets.failed
        ),
    };
    facts(&[
        ("run", format!("{} {}", run.id, run.state)),
        ("once more", run.asked_by.as_ref().map_or_else(String::new, |who| format!("by {who}"))),
        ("why", run.detail.clone()),
        ("due", run.due.to_string()),
        ("started", time(run.started)),
        ("ended", time(run.ended)),
        ("hosts", hosts),
        ("outcomes", watch::outcomes(run)),
    ])
}
