//! `aright audit`.

use std::num::NonZeroU32;

use aright_shared::api::{AuditEntry, AuditFilter};
use clap::{Args, Subcommand};

use crate::output::{Format, rows};
use crate::session::{client, first};

#[derive(Subcommand)]
pub enum Command {
    /// What was done, newest first.
    List(List),
}

#[derive(Args)]
pub struct List {
    /// A user, or controller, or console
    #[arg(long)]
    who: Option<String>,
    /// Such as job.create, or a noun alone: job, asset, policy, session …
    #[arg(long)]
    action: Option<String>,
    /// The id or key of what it was done to
    #[arg(long)]
    subject: Option<String>,
    /// How many lines at most.
    #[arg(long, default_value = "200", value_name = "N")]
    limit: NonZeroU32,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let Self::List(List { who, action, subject, limit }) = self;
        let filter = AuditFilter { who, action, subject };
        let most = usize::try_from(limit.get())?;
        let (lines, more): (Vec<AuditEntry>, bool) =
            first(&client()?, "/api/v1/audit", &filter, most).await?;
        rows(format, &lines, ["when", "who", "action", "subject", "detail"], |line| {
            [
                line.at.to_string(),
                line.who.clone(),
                line.action.clone(),
                line.subject.clone(),
                line.detail.clone(),
            ]
        })?;
        if more {
            eprintln!("there are older lines: --limit {}", most.saturating_mul(10));
        }
        Ok(())
    }
}
