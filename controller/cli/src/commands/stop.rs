//! `aright stop-all`: the switch that stops all remediation.

use aright_shared::api::{NewStop, Stop};
use aright_shared::text::facts;
use clap::Args;

use crate::output::{Format, one};
use crate::session::client;

#[derive(Args)]
pub struct StopAll {
    /// For people: why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Let everything go on
    #[arg(long, conflicts_with_all = ["reason", "show"])]
    release: bool,
    /// Only say whether it is set
    #[arg(long)]
    show: bool,
}

impl StopAll {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        let stop: Stop = match (self.show, self.release) {
            (true, _) => client.get("/api/v1/stop").await?,
            (_, true) => client.delete("/api/v1/stop").await?,
            (_, false) => client.post("/api/v1/stop", &NewStop { reason: self.reason }).await?,
        };
        one(format, &stop, |stop| match &stop.stopped {
            None => "remediation goes on\n".to_owned(),
            Some(stopped) => facts(&[
                (
                    "remediation",
                    "stopped: nothing of a job begins; aright stop-all --release lets it go on".into(),
                ),
                ("by", stopped.by.clone()),
                ("since", stopped.at.to_string()),
                ("why", stopped.reason.clone()),
            ]),
        })
    }
}
