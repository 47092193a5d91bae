//! `aright job`: choose failed postures, save, run, follow, cancel.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use aright_shared::api::{CustomScript, Job, NewJob, NewRun, Paging, Run};
use aright_shared::client::Client;
use aright_shared::id::{JobId, Key, PostureId};
use aright_shared::text::facts;
use clap::{Args, Subcommand};

use crate::commands::posture::Choice;
use crate::commands::{asset, watch};
use crate::output::{Format, one, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Save a job for failed postures, chosen by options or by a file; it runs after its hold time.
    Create(Box<Create>),
    /// All jobs, newest first.
    List,
    /// One job: what was chosen, its scripts, its runs.
    Show { job: JobId },
    /// Run a job once more.
    Run {
        job: JobId,
        /// Minutes between saving and running; at least 15.
        #[arg(long, value_name = "MINUTES", conflicts_with = "hold_s")]
        hold: Option<u32>,
        /// As --hold, in seconds.
        #[arg(long, value_name = "SECONDS", hide = true)]
        hold_s: Option<u32>,
    },
    /// Follow the newest run of a job to its end; then print its tasks.
    Watch { job: JobId },
    /// End what is pending or queued; a script that runs ends by itself.
    Cancel { job: JobId },
}

#[derive(Args)]
pub struct Create {
    /// The whole job as YAML (the fields of POST /api/v1/jobs) instead of options.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// For people, such as "first steps"
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// One posture by id; may be repeated.
    #[arg(long, value_name = "ID")]
    posture: Vec<PostureId>,
    #[command(flatten)]
    choice: Choice,
    /// Only these of the library scripts that fit.
    #[arg(long, value_name = "KEY")]
    script: Vec<Key>,
    /// A script of your own, run on every host of the job.
    #[arg(long, value_name = "KEY")]
    custom_script: Vec<Key>,
    /// A further host (hostname or id), for scripts of your own.
    #[arg(long, value_name = "HOST")]
    include: Vec<String>,
    /// A host that is left out, whatever else names it.
    #[arg(long, value_name = "HOST")]
    exclude: Vec<String>,
    /// Minutes between saving and running; at least 15.
    #[arg(long, value_name = "MINUTES", conflicts_with = "hold_s")]
    hold: Option<u32>,
    /// As --hold, in seconds.
    #[arg(long, value_name = "SECONDS", hide = true)]
    hold_s: Option<u32>,
    /// Follow the run to its end.
    #[arg(long)]
    watch: bool,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<ExitCode> {
        let client = client()?;
        match self {
            Self::Create(create) => return create.run(&client, format).await,
            Self::List => list(&client, format).await?,
            Self::Show { job } => one(format, &get(&client, &job).await?, text)?,
            Self::Run { job, hold, hold_s } => {
                let new = NewRun { hold_s: seconds(hold, hold_s) };
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
            Self::Cancel { job } => {
                one(format, &client.post::<_, Job>(&format!("/api/v1/jobs/{job}/cancel"), &()).await?, text)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn seconds(minutes: Option<u32>, seconds: Option<u32>) -> Option<u32> {
    seconds.or(minutes.map(|minutes| minutes.saturating_mul(60)))
}

async fn get(client: &Client, job: &JobId) -> anyhow::Result<Job> {
    Ok(client.get(&format!("/api/v1/jobs/{job}")).await?)
}

impl Create {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<ExitCode> {
        let watched = self.watch;
        let new = self.job(client).await?;
        let job: Job = client.post("/api/v1/jobs", &new).await?;
        if watched {
            eprintln!("job {} saved", job.id);
            return watch::newest_run(client, format, &job).await;
        }
        one(format, &job, |job| format!("{}\nnext: aright job watch {}\n", text(job), job.id))?;
        Ok(ExitCode::SUCCESS)
    }

    async fn job(self, client: &Client) -> anyhow::Result<NewJob> {
        if let Some(path) = &self.file {
            ensure!(
                self.choice.is_empty() && self.posture.is_empty() && self.custom_script.is_empty(),
                "--file holds the whole job; leave out the options that choose"
            );
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut job: NewJob =
                serde_saphyr::from_str(&text).with_context(|| format!("{} is not a job", path.display()))?;
            job.hold_s = seconds(self.hold, self.hold_s).or(job.hold_s);
            return Ok(job);
        }
        if self.choice.is_empty() && self.posture.is_empty() && self.include.is_empty() {
            bail!(
                "nothing chosen; next: --policy, --control, --asset, --tag … or --posture; \
                 everything that fails: --status fail"
            );
        }
        let named = |keys: Vec<Key>| {
            keys.into_iter().map(|key| CustomScript { key, params: Default::default() }).collect()
        };
        Ok(NewJob {
            name: self.name,
            postures: self.posture,
            filter: if self.choice.is_empty() { None } else { Some(self.choice.filter(client).await?) },
            scripts: (!self.script.is_empty()).then_some(self.script),
            custom_scripts: named(self.custom_script),
            include_assets: ids(client, &self.include).await?,
            exclude_assets: ids(client, &self.exclude).await?,
            hold_s: seconds(self.hold, self.hold_s),
            ..NewJob::default()
        })
    }
}

async fn ids(client: &Client, names: &[String]) -> anyhow::Result<Vec<aright_shared::id::AssetId>> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(asset::find(client, name).await?);
    }
    Ok(ids)
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let jobs: Vec<Job> = all(client, "/api/v1/jobs", &Paging::default()).await?;
    rows(
        format,
        &jobs,
        ["name", "id", "state", "postures", "hosts", "last run", "outcomes", "by", "created"],
        |job| {
            let last = job.runs.first();
            [
                job.name.clone(),
                job.id.to_string(),
                job.state.to_string(),
                job.postures.to_string(),
                job.assets.to_string(),
                last.map_or_else(String::new, |run| run.state.to_string()),
                last.map_or_else(String::new, watch::outcomes),
                job.created_by.clone(),
                job.created.to_string(),
            ]
        },
    )
}

fn text(job: &Job) -> String {
    let scripts: Vec<_> = job.scripts.iter().map(|script| script.key.to_string()).collect();
    let mut text = facts(&[
        ("job", job.name.clone()),
        ("id", job.id.to_string()),
        ("state", job.state.to_string()),
        ("chosen", format!("{} postures, {} controls, {} hosts", job.postures, job.controls, job.assets)),
        ("scripts", scripts.join(", ")),
        ("saved", format!("{} by {}", job.created, job.created_by)),
    ]);
    for run in &job.runs {
        text.push_str(&facts(&[
            ("run", format!("{} {}", run.id, run.state)),
            ("due", run.due.to_string()),
            ("started", time(run.started)),
            ("ended", time(run.ended)),
            ("outcomes", watch::outcomes(run)),
        ]));
    }
    text
}
