//! `aright posture`, and the choice of postures that `job create` shares with it.

use aright_shared::api::{Posture, PostureDetail, PostureFilter};
use aright_shared::client::Client;
use aright_shared::id::{Key, PostureId};
use aright_shared::posture::{Value, Verdict};
use aright_shared::text::{facts, plain};
use clap::{Args, Subcommand};

use crate::commands::asset;
use crate::output::{Format, one, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Verdicts by policy, control and host; narrow them by options, each of which may be repeated.
    List(Choice),
    /// One verdict with what was seen.
    Show { posture: PostureId },
}

/// Conditions that must all hold; of one that is repeated, any value.
#[derive(Args, Default)]
pub struct Choice {
    /// A policy, such as linux-first-steps
    #[arg(long, value_name = "KEY", help_heading = "What: postures by")]
    policy: Vec<Key>,
    /// A control, such as sshd-permit-root-login
    #[arg(long, value_name = "KEY", help_heading = "What: postures by")]
    control: Vec<Key>,
    /// A technology, such as debian-12
    #[arg(long, value_name = "KEY", help_heading = "What: postures by")]
    technology: Vec<Key>,
    /// One of several places a control looks at, such as cramfs
    #[arg(long, help_heading = "What: postures by")]
    instance: Vec<String>,
    /// A host, by name or id; its postures
    #[arg(long, help_heading = "What: postures by")]
    asset: Vec<String>,
    /// A tag of hosts
    #[arg(long, help_heading = "What: postures by")]
    tag: Vec<String>,
    /// pass, fail or error
    #[arg(long, help_heading = "What: postures by")]
    status: Vec<Verdict>,
}

impl Choice {
    pub fn is_empty(&self) -> bool {
        self.policy.is_empty()
            && self.control.is_empty()
            && self.technology.is_empty()
            && self.instance.is_empty()
            && self.asset.is_empty()
            && self.tag.is_empty()
            && self.status.is_empty()
    }

    pub async fn filter(self, client: &Client) -> anyhow::Result<PostureFilter> {
        let mut assets = Vec::new();
        for name in &self.asset {
            assets.push(asset::find(client, name).await?);
        }
        Ok(PostureFilter {
            policy: self.policy,
            control: self.control,
            technology: self.technology,
            instance: self.instance,
            asset: assets,
            hostname: Vec::new(),
            tag: self.tag,
            status: self.status,
        })
    }
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::List(choice) => {
                let filter = choice.filter(&client).await?;
                let mut postures: Vec<Posture> = all(&client, "/api/v1/postures", &filter).await?;
                postures.sort_by(|one, two| place(one).cmp(&place(two)));
                list(format, &postures)
            }
            Self::Show { posture } => {
                let detail: PostureDetail = client.get(&format!("/api/v1/postures/{posture}")).await?;
                one(format, &detail, text)
            }
        }
    }
}

/// Host by host, in order of the controls' numbers.
fn place(posture: &Posture) -> (&str, u32, &str, &str) {
    (&posture.hostname, posture.number, &posture.spot.instance, posture.policy.as_str())
}

fn list(format: Format, postures: &[Posture]) -> anyhow::Result<()> {
    let head = ["status", "no.", "control", "instance", "host", "actual", "fix writes", "fix", "policy"];
    rows(format, postures, head, |posture| {
        [
            posture.status.to_string(),
            posture.number.to_string(),
            posture.spot.control.to_string(),
            if posture.spot.instance == "default" { String::new() } else { posture.spot.instance.clone() },
            posture.hostname.clone(),
            posture.reading.to_string(),
            posture.set.as_ref().map_or_else(String::new, Value::plain),
            match (posture.remediable, posture.fix_available) {
                (true, true) => "available",
                (true, false) => "none yet",
                (false, _) => "",
            }
            .into(),
            posture.policy.to_string(),
        ]
    })
}

fn text(detail: &PostureDetail) -> String {
    let posture = &detail.posture;
    let scripts: Vec<_> = detail.scripts.iter().map(ToString::to_string).collect();
    let mut text = facts(&[
        ("id", posture.id.to_string()),
        ("status", posture.status.to_string()),
        ("control", format!("{} {}: {}", posture.number, posture.spot.control, posture.statement)),
        ("instance", posture.spot.instance.clone()),
        ("technology", posture.spot.technology.to_string()),
        ("host", format!("{} ({})", posture.hostname, posture.asset)),
        ("policy", posture.policy.to_string()),
        ("criticality", posture.criticality.to_string()),
        ("actual", posture.reading.to_string()),
        ("expected", posture.expect.to_string()),
        ("fix writes", posture.set.as_ref().map_or_else(String::new, Value::plain)),
        ("scripts", scripts.join(", ")),
        ("why", detail.rationale.trim().to_owned()),
        ("by hand", detail.remediation_text.trim().to_owned()),
        ("first failed", time(posture.first_failed)),
        ("last passed", time(posture.last_passed)),
        ("last evaluated", posture.last_evaluated.to_string()),
        ("beware", detail.managed.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
    ]);
    for evidence in &detail.evidence {
        let place = evidence.place.as_deref().map_or_else(String::new, |place| format!(" ({place})"));
        text.push_str(&plain(&format!("\n{}{place}\n", evidence.source)));
        for line in plain(&evidence.text).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
