//! `aright policy`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aright_shared::api::{Paging, Policy, PolicyDetail};
use aright_shared::client::Client;
use aright_shared::content::policy::{self, Assign, Choice, Tags};
use aright_shared::id::Key;
use aright_shared::text::{facts, plain};
use clap::Subcommand;

use crate::output::{Format, one, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// All policies: the library's and your own.
    List,
    /// One policy: what it chooses and what it expects instead of the controls' own values.
    Show { policy: Key },
    /// Check a policy file (YAML), store it and judge all hosts by it, from what they last told.
    Import { file: PathBuf },
    /// Take a policy of your own away, with its postures.
    Remove { policy: Key },
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        match self {
            Self::List => list(&client()?, format).await,
            Self::Show { policy } => one(format, &detail(&client()?, &policy).await?, text),
            Self::Import { file } => {
                let policy = read(&file)?;
                let stored: PolicyDetail = client()?.post("/api/v1/policies", &policy).await?;
                one(format, &stored, |PolicyDetail { policy, .. }| {
                    format!(
                        "{} version {} is in force, number {}; next: aright posture list --policy {}\n",
                        policy.key, policy.version, policy.number, policy.key
                    )
                })
            }
            Self::Remove { policy } => {
                client()?.delete::<()>(&format!("/api/v1/policies/{policy}")).await?;
                eprintln!("{policy} and its postures are gone");
                Ok(())
            }
        }
    }
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let policies: Vec<Policy> = all(client, "/api/v1/policies", &Paging::default()).await?;
    let head = ["policy", "no.", "version", "origin", "controls", "in force", "title"];
    rows(format, &policies, head, |policy| {
        [
            policy.key.to_string(),
            policy.number.to_string(),
            policy.version.to_string(),
            policy.origin.to_string(),
            policy.controls.to_string(),
            in_force(policy),
            policy.title.clone(),
        ]
    })
}

/// Where it is, or why it is not.
fn in_force(policy: &Policy) -> String {
    match &policy.set_aside {
        Some(why) => format!("no: {why}"),
        None => policy.assign.as_ref().map_or_else(|| "on all hosts".to_owned(), assigned),
    }
}

fn assigned(assign: &Assign) -> String {
    let include = tagged(&assign.include);
    match &assign.exclude {
        None => format!("on hosts tagged {include}"),
        Some(exclude) => format!("on hosts tagged {include}, but not {}", tagged(exclude)),
    }
}

fn tagged(tags: &Tags) -> String {
    match tags {
        Tags::Any(any) => any.join(" or "),
        Tags::All(all) => all.join(" and "),
    }
}

async fn detail(client: &Client, key: &Key) -> anyhow::Result<PolicyDetail> {
    Ok(client.get(&format!("/api/v1/policies/{key}")).await?)
}

fn read(path: &Path) -> anyhow::Result<policy::Policy> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    policy::Policy::from_yaml(&text).with_context(|| format!("{} is not a policy", path.display()))
}

fn text(detail: &PolicyDetail) -> String {
    let policy = &detail.policy;
    let technologies: Vec<_> = policy.technologies.iter().map(Key::as_str).collect();
    let mut text = facts(&[
        ("policy", format!("{} version {}", policy.key, policy.version)),
        ("title", policy.title.clone()),
        ("number", policy.number.to_string()),
        ("origin", policy.origin.to_string()),
        ("technologies", technologies.join(", ")),
        ("in force", in_force(policy)),
        ("imported by", policy.author.clone().unwrap_or_default()),
        ("imported", time(policy.created)),
    ]);
    for section in &detail.document.sections {
        text.push_str(&format!("\n{}\n", plain(&section.title)));
        for choice in &section.controls {
            text.push_str(&format!("  {}\n", plain(&chosen(choice))));
        }
    }
    text
}

/// `control: expects value 3; a fix writes 3`: what differs from the control's own.
fn chosen(choice: &Choice) -> String {
    let mut text = choice.control.to_string();
    let mut differs = Vec::new();
    if let Some(keys) = &choice.expect {
        let keys: Vec<_> = keys.iter().map(|(key, value)| format!("{key} {value}")).collect();
        differs.push(format!("expects {}", keys.join(", ")));
    }
    if let Some(set) = &choice.set {
        differs.push(format!("a fix writes {}", set.plain()));
    }
    if let Some(criticality) = choice.criticality {
        differs.push(criticality.to_string());
    }
    if !differs.is_empty() {
        text.push_str(&format!(": {}", differs.join("; ")));
    }
    text
}
