//! `aright job create` and `edit`: a job from options or from a file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use aright_shared::api::{CustomScript, Job, NewJob, Reach, Rollout, Selection, Share, Skip};
use aright_shared::client::Client;
use aright_shared::content::policy::Tags;
use aright_shared::id::{AssetId, Key, PostureId};
use clap::Args;
use serde_json::Value;

use super::{reach, text};
use crate::commands::posture::Choice;
use crate::commands::{asset, watch};
use crate::output::{Format, one};
use crate::schedule::When;

#[derive(Args)]
pub struct Create {
    /// The whole job as YAML (the fields of POST /api/v1/jobs) instead of options; hosts by name or id
    #[arg(
        short,
        long,
        value_name = "FILE",
        conflicts_with_all = ["name", "What", "Choice", "Hosts", "When", "expiry", "Pace"]
    )]
    file: Option<PathBuf>,
    /// For people, such as "first steps"
    #[arg(long, required_unless_present_any = ["file", "reach"])]
    name: Option<String>,
    /// Only show what would run where, and why not elsewhere; store nothing
    #[arg(long, conflicts_with = "watch")]
    reach: bool,
    /// Keep it without a run, whatever is not approved yet: aright job activate saves it
    #[arg(long)]
    draft: bool,
    /// Follow the run to its end
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    hosts: Hosts,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    waits: Waits,
    #[command(flatten)]
    pace: Pace,
}

/// What is to pass, and by which scripts.
#[derive(Args)]
struct What {
    /// One posture by id; may be repeated
    #[arg(long, value_name = "ID", help_heading = "What")]
    posture: Vec<PostureId>,
    #[command(flatten)]
    choice: Choice,
    /// Look the choice up again at each run; else what it finds now is frozen
    #[arg(long, help_heading = "What")]
    each_run: bool,
    /// Only these of the library scripts that fit
    #[arg(long, value_name = "KEY", help_heading = "What")]
    script: Vec<Key>,
    /// A library script that is not wanted
    #[arg(long, value_name = "KEY", help_heading = "What")]
    exclude_script: Vec<Key>,
    /// A script of your own, run on every host of the job
    #[arg(long, value_name = "KEY", help_heading = "What")]
    custom_script: Vec<Key>,
}

/// Which hosts, besides those of the postures.
#[derive(Args)]
struct Hosts {
    /// A further host (hostname or id), for scripts of your own
    #[arg(long, value_name = "HOST", help_heading = "Hosts")]
    include: Vec<String>,
    /// Further hosts by tag, looked up at each run: web,db (any of them) or all:web,eu
    #[arg(long, value_name = "TAGS", value_parser = tags, help_heading = "Hosts")]
    include_tags: Option<Tags>,
    /// Hosts left out by tag, whoever named them
    #[arg(long, value_name = "TAGS", value_parser = tags, help_heading = "Hosts")]
    exclude_tags: Option<Tags>,
    /// A host taken out of those of the postures
    #[arg(long, value_name = "HOST", help_heading = "Hosts")]
    remove: Vec<String>,
    /// A host that is left out, whatever else names it
    #[arg(long, value_name = "HOST", help_heading = "Hosts")]
    exclude: Vec<String>,
    /// One script that does not run on one host
    #[arg(long, value_name = "HOST:SCRIPT", help_heading = "Hosts")]
    skip: Vec<String>,
}

/// How long its runs wait.
#[derive(Args)]
pub struct Waits {
    /// Minutes between saving and running; at least 15
    #[arg(long, value_name = "MINUTES", conflicts_with = "hold_s", help_heading = "When")]
    hold: Option<u32>,
    /// As --hold, in seconds
    #[arg(long, value_name = "SECONDS", hide = true)]
    hold_s: Option<u32>,
    /// Minutes to wait for hosts that do not come; a day unless given
    #[arg(long, value_name = "MINUTES", help_heading = "When")]
    expiry: Option<u32>,
}

/// How fast it goes, and what stops it.
#[derive(Args)]
struct Pace {
    /// So many hosts go first, and must all end well: 1 or 5%
    #[arg(long, value_name = "HOSTS", help_heading = "How fast")]
    canary: Option<Share>,
    /// So many hosts at a time: 10 or 10%
    #[arg(long, value_name = "HOSTS", help_heading = "How fast")]
    at_once: Option<Share>,
    /// Halt once so many hosts failed: 3 or 2%
    #[arg(long, value_name = "HOSTS", help_heading = "How fast")]
    halt_after: Option<Share>,
}

impl Waits {
    pub fn hold_s(&self) -> Option<u32> {
        self.hold_s.or(self.hold.map(|minutes| minutes.saturating_mul(60)))
    }

    pub fn expiry_s(&self) -> Option<u32> {
        self.expiry.map(|minutes| minutes.saturating_mul(60))
    }
}

impl Create {
    pub async fn run(self, client: &Client, format: Format) -> anyhow::Result<ExitCode> {
        let (watched, reached) = (self.watch, self.reach);
        let new = self.job(client).await?;
        if reached {
            let found: Reach = client.post("/api/v1/jobs/reach", &new).await?;
            reach::print(format, &found)?;
            return Ok(ExitCode::SUCCESS);
        }
        let job: Job = client.post("/api/v1/jobs", &new).await?;
        if watched && !job.runs.is_empty() {
            eprintln!("job {} saved", job.id);
            return watch::newest_run(client, format, &job).await;
        }
        one(format, &job, |job| {
            let next = match (new.draft, job.runs.is_empty()) {
                (true, _) => format!("aright job activate {}", job.id),
                (false, true) => "aright schedule list".to_owned(),
                (false, false) => format!("aright job watch {}", job.id),
            };
            format!("{}\nnext: {next}\n", text(job))
        })?;
        Ok(ExitCode::SUCCESS)
    }

    async fn job(self, client: &Client) -> anyhow::Result<NewJob> {
        let Self { what, hosts, .. } = &self;
        let empty = what.choice.is_empty() && what.posture.is_empty();
        if let Some(path) = &self.file {
            let mut job = from_file(client, path).await?;
            job.hold_s = self.waits.hold_s().or(job.hold_s);
            job.draft |= self.draft;
            return Ok(job);
        }
        if empty && hosts.include.is_empty() && hosts.include_tags.is_none() {
            bail!(
                "nothing chosen; next: --policy, --control, --asset, --tag … or --posture; \
                 everything that fails: --status fail"
            );
        }
        let Self { what, hosts, when, waits, pace, .. } = self;
        let named = |keys: Vec<Key>| {
            keys.into_iter().map(|key| CustomScript { key, params: Default::default() }).collect()
        };
        Ok(NewJob {
            name: self.name.unwrap_or_default(),
            draft: self.draft,
            postures: what.posture,
            filter: if what.choice.is_empty() { None } else { Some(what.choice.filter(client).await?) },
            selection: if what.each_run { Selection::EachRun } else { Selection::Frozen },
            scripts: (!what.script.is_empty()).then_some(what.script),
            exclude_scripts: what.exclude_script,
            custom_scripts: named(what.custom_script),
            remove_assets: ids(client, &hosts.remove).await?,
            include_assets: ids(client, &hosts.include).await?,
            include_tags: hosts.include_tags,
            exclude_tags: hosts.exclude_tags,
            exclude_assets: ids(client, &hosts.exclude).await?,
            skip: skips(client, &hosts.skip).await?,
            schedule: when.schedule()?,
            hold_s: waits.hold_s(),
            expiry_s: waits.expiry_s(),
            rollout: Rollout { canary: pace.canary, at_once: pace.at_once, halt_after: pace.halt_after },
        })
    }
}

/// `web,db`, any of them; `all:web,db`.
fn tags(text: &str) -> Result<Tags, String> {
    let (all, list) = match text.split_once(':') {
        Some(("all", list)) => (true, list),
        Some(("any", list)) => (false, list),
        Some((other, _)) => return Err(format!("{other:?} is neither any nor all")),
        None => (false, text),
    };
    let list: Vec<String> = list.split(',').map(|tag| tag.trim().to_owned()).collect();
    if list.iter().any(String::is_empty) {
        return Err("tags are separated by commas: web,db".to_owned());
    }
    Ok(if all { Tags::All(list) } else { Tags::Any(list) })
}

async fn ids(client: &Client, names: &[String]) -> anyhow::Result<Vec<AssetId>> {
    let mut ids = Vec::new();
    for name in names {
        ids.push(asset::find(client, name).await?);
    }
    Ok(ids)
}

async fn skips(client: &Client, texts: &[String]) -> anyhow::Result<Vec<Skip>> {
    let mut skips = Vec::new();
    for text in texts {
        let (host, script) = text
            .rsplit_once(':')
            .with_context(|| format!("--skip {text:?}: HOST:SCRIPT, such as web1:sshd-banner-fix"))?;
        skips.push(Skip { asset: asset::find(client, host).await?, script: script.parse()? });
    }
    Ok(skips)
}

/// A job as a file holds it: hosts may stand there by name.
pub async fn from_file(client: &Client, path: &Path) -> anyhow::Result<NewJob> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let wrong = || format!("{} is not a job", path.display());
    let mut document: Value = serde_saphyr::from_str(&text).with_context(wrong)?;
    let lists = ["/include_assets", "/exclude_assets", "/remove_assets", "/filter/asset", "/skip"];
    for list in lists {
        let Some(Value::Array(items)) = document.pointer_mut(list) else { continue };
        for item in items {
            let host = if list == "/skip" { item.get_mut("asset") } else { Some(item) };
            if let Some(Value::String(name)) = host {
                *name = asset::find(client, name).await.with_context(wrong)?.to_string();
            }
        }
    }
    serde_json::from_value(document).with_context(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_any_of_a_list_unless_all_are_wanted() {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(tags("web, db"), Ok(Tags::Any(list(&["web", "db"]))));
        assert_eq!(tags("all:web,eu"), Ok(Tags::All(list(&["web", "eu"]))));
        assert!(tags("some:web").is_err() && tags("web,,db").is_err());
    }
}
