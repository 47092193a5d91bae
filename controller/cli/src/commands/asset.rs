//! `aright asset`.

use aright_shared::api::{Asset, AssetFilter, AssetState, NewRevocation};
use aright_shared::client::Client;
use aright_shared::id::AssetId;
use aright_shared::text::facts;
use clap::{Args, Subcommand};

use crate::output::{Format, one, rows, time};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// All hosts: system, posture, clock, whether they can be remediated.
    List(List),
    /// One host.
    Show { asset: String },
    /// Ask a host to evaluate its controls now.
    Evaluate { asset: String },
    /// End a host's trust at once: it is refused from now on, in an open check-in too.
    Revoke {
        asset: String,
        /// For people, in the audit log
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Args)]
pub struct List {
    #[arg(long)]
    hostname: Option<String>,
    #[arg(long)]
    tag: Option<String>,
    /// active, quarantined or revoked
    #[arg(long)]
    state: Option<AssetState>,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::List(List { hostname, tag, state }) => {
                let filter = AssetFilter { hostname, tag, state };
                let assets: Vec<Asset> = all(&client, "/api/v1/assets", &filter).await?;
                list(format, &assets)
            }
            Self::Show { asset } => {
                let id = find(&client, &asset).await?;
                one(format, &client.get::<Asset>(&format!("/api/v1/assets/{id}")).await?, text)
            }
            Self::Evaluate { asset } => {
                let id = find(&client, &asset).await?;
                client.post::<_, ()>(&format!("/api/v1/assets/{id}/evaluate"), &()).await?;
                eprintln!("{asset} evaluates at its next check-in");
                Ok(())
            }
            Self::Revoke { asset, reason } => {
                let id = find(&client, &asset).await?;
                let why = NewRevocation { reason };
                let revoked: Asset = client.post(&format!("/api/v1/assets/{id}/revoke"), &why).await?;
                one(format, &revoked, text)
            }
        }
    }
}

/// An asset by id, or by the one hostname it has.
pub async fn find(client: &Client, name: &str) -> anyhow::Result<AssetId> {
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let filter = AssetFilter { hostname: Some(name.to_owned()), ..AssetFilter::default() };
    let mut found: Vec<Asset> = all(client, "/api/v1/assets", &filter).await?;
    // A revoked namesake is history; the live one is meant.
    if found.iter().any(|asset| asset.state != AssetState::Revoked) {
        found.retain(|asset| asset.state != AssetState::Revoked);
    }
    match found.as_slice() {
        [asset] => Ok(asset.id.clone()),
        [] => anyhow::bail!("no asset has the hostname {name:?}; next: aright asset list"),
        many => {
            let ids: Vec<_> = many.iter().map(|asset| asset.id.to_string()).collect();
            anyhow::bail!(
                "{} assets have the hostname {name:?}; next: name one by id: {}",
                many.len(),
                ids.join(", ")
            )
        }
    }
}

fn list(format: Format, assets: &[Asset]) -> anyhow::Result<()> {
    let head = ["host", "id", "system", "pass", "fail", "error", "clock", "eligible", "last seen"];
    rows(format, assets, head, |asset| {
        [
            asset.facts.hostname.clone(),
            asset.id.to_string(),
            asset.facts.os.clone(),
            asset.postures.pass.to_string(),
            asset.postures.fail.to_string(),
            asset.postures.error.to_string(),
            clock(asset),
            eligible(asset),
            time(asset.last_seen),
        ]
    })
}

fn eligible(asset: &Asset) -> String {
    if asset.eligible { "yes".into() } else { format!("no: {}", asset.reasons.join("; ")) }
}

fn clock(asset: &Asset) -> String {
    asset.clock.map_or_else(String::new, |clock| {
        let seconds = clock.reading.offset_ms as f64 / 1000.0;
        format!("{seconds:+.3} s ± {} ms {}", clock.reading.bound_ms, clock.verdict)
    })
}

fn text(asset: &Asset) -> String {
    let names: Vec<_> = asset.technologies.iter().map(ToString::to_string).collect();
    facts(&[
        ("host", asset.facts.hostname.clone()),
        ("id", asset.id.to_string()),
        ("state", asset.state.to_string()),
        ("system", asset.facts.os.clone()),
        ("kernel", format!("{} {}", asset.facts.kernel, asset.facts.arch)),
        ("machine", format!("{} CPUs, {} MB", asset.facts.cpus, asset.facts.memory_mb)),
        ("technologies", names.join(", ")),
        ("tags", asset.tags.join(", ")),
        (
            "posture",
            format!(
                "{} pass, {} fail, {} error",
                asset.postures.pass, asset.postures.fail, asset.postures.error
            ),
        ),
        ("eligible", eligible(asset)),
        ("clock", clock(asset)),
        ("zone", asset.facts.timezone.clone()),
        ("confinement", asset.facts.confinement.clone()),
        ("agent", asset.facts.agent_version.clone()),
        ("enrolled", asset.enrolled.to_string()),
        ("last seen", time(asset.last_seen)),
        ("connected", if asset.connected { "yes".into() } else { "no".into() }),
    ])
}
