//! `aright licence`: whether scripts of your own may be chosen and run.

use anyhow::Context as _;
use aright_shared::api::{Licence, LicenceKind};
use aright_shared::text::facts;
use aright_shared::time::Millis;
use clap::Subcommand;

use crate::output::{Format, one, time};
use crate::session::client;

#[derive(Subcommand)]
pub enum Command {
    /// The one in force
    Show,
    /// Set another: none, trial or full
    Set {
        kind: LicenceKind,
        /// The last day of a trial (UTC), such as 2027-01-31
        #[arg(long, value_name = "DATE", required_if_eq("kind", "trial"))]
        until: Option<jiff::civil::Date>,
    },
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        let licence: Licence = match self {
            Self::Show => client.get("/api/v1/licence").await?,
            Self::Set { kind, until } => {
                let until = until.map(end_of).transpose()?;
                client.put("/api/v1/licence", &Licence { kind, until }).await?
            }
        };
        one(format, &licence, |licence| {
            let worth = match licence.kind {
                LicenceKind::Full => "scripts of your own can be chosen and run",
                LicenceKind::Trial => "scripts of your own can be chosen; their tasks end refused: licence",
                LicenceKind::None => "library scripts only",
            };
            facts(&[
                ("licence", licence.kind.to_string()),
                ("until", time(licence.until)),
                ("means", worth.to_owned()),
            ])
        })
    }
}

fn end_of(day: jiff::civil::Date) -> anyhow::Result<Millis> {
    let midnight = day.tomorrow().and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC));
    Ok(Millis(midnight.context("--until")?.timestamp().as_millisecond()))
}
