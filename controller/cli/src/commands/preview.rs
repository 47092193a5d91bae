//! `aright preview`: what a script would do on one host, by its own stage.

use std::process::ExitCode;

use aright_shared::api::{NewPreview, Task};
use aright_shared::id::Key;
use aright_shared::outcome::Outcome;
use clap::Args;

use crate::commands::{asset, task, watch};
use crate::output::{Format, one};
use crate::session::client;

#[derive(Args)]
pub struct Preview {
    /// A library script, or an approved one of your own.
    script: Key,
    /// A hostname or an asset's id.
    #[arg(long)]
    asset: String,
    /// A value that the script wants to be given; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = aright_shared::values::named)]
    param: Vec<(String, String)>,
}

impl Preview {
    pub async fn run(self, format: Format) -> anyhow::Result<ExitCode> {
        let client = client()?;
        let asset = asset::find(&client, &self.asset).await?;
        let new = NewPreview { script: self.script, params: self.param.into_iter().collect() };
        let asked: Task = client.post(&format!("/api/v1/assets/{asset}/previews"), &new).await?;
        let detail = task::until_ended(&client, &asked).await?;
        one(format, &detail, task::text)?;
        let well = detail.task.outcome.is_some_and(Outcome::is_good);
        Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(watch::NOT_ALL_WELL) })
    }
}
