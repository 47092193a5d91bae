//! `aright tag`.

use aright_shared::api::{Asset, Paging, Tag};
use aright_shared::client::{Client, segment};
use aright_shared::id::AssetId;
use aright_shared::tag::{FORM, is_tag};
use clap::{Args, Subcommand};

use crate::commands::asset;
use crate::output::{Format, rows};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// All tags in use, with how many hosts have each; `aright asset list --tag TAG` says which.
    List,
    /// Give a tag to hosts. Policies that are for it hold for them at once.
    Add(Hosts),
    /// Take a tag from hosts. Policies that were for it hold for them no more.
    Remove(Hosts),
}

#[derive(Args)]
pub struct Hosts {
    #[arg(value_parser = tag)]
    tag: String,
    /// Host names or assets' ids.
    #[arg(required = true)]
    hosts: Vec<String>,
}

fn tag(text: &str) -> Result<String, String> {
    if is_tag(text) { Ok(text.to_owned()) } else { Err(format!("no tag is called so; next: {FORM}")) }
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::List => {
                let tags: Vec<Tag> = all(&client, "/api/v1/tags", &Paging::default()).await?;
                rows(format, &tags, ["tag", "hosts"], |tag| [tag.name.clone(), tag.assets.to_string()])
            }
            Self::Add(hosts) => {
                let mut changed = Vec::new();
                for path in hosts.paths(&client).await? {
                    changed.push(client.put::<_, Asset>(&path, &()).await?);
                }
                list(format, &changed)
            }
            Self::Remove(hosts) => {
                let mut changed = Vec::new();
                for path in hosts.paths(&client).await? {
                    changed.push(client.delete::<Asset>(&path).await?);
                }
                list(format, &changed)
            }
        }
    }
}

impl Hosts {
    /// All are looked up before any is changed: a slip in one name changes none.
    async fn paths(&self, client: &Client) -> anyhow::Result<Vec<String>> {
        let mut paths = Vec::new();
        for host in &self.hosts {
            let id: AssetId = asset::find(client, host).await?;
            paths.push(format!("/api/v1/assets/{id}/tags/{}", segment(&self.tag)));
        }
        Ok(paths)
    }
}

fn list(format: Format, assets: &[Asset]) -> anyhow::Result<()> {
    rows(format, assets, ["host", "tags", "pass", "fail", "error"], |asset| {
        [
            asset.facts.hostname.clone(),
            asset.tags.join(", "),
            asset.postures.pass.to_string(),
            asset.postures.fail.to_string(),
            asset.postures.error.to_string(),
        ]
    })
}
