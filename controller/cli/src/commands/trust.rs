//! `aright trust`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use aright_shared::api::Trust;
use aright_shared::envelope::Envelope;
use aright_shared::text::facts;
use clap::Subcommand;

use crate::output::{Format, one};
use crate::session::client;

#[derive(Subcommand)]
pub enum Command {
    /// The trust document in force: approvers, threshold, end; and the fingerprints to pin.
    Show,
    /// Put a higher version in force, signed elsewhere by the root key; agents take it over at once.
    Import { file: PathBuf },
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::Show => one(format, &client.get::<Trust>("/api/v1/trust").await?, text),
            Self::Import { file } => {
                let trust: Trust = client.post("/api/v1/trust", &read(&file)?).await?;
                one(format, &trust, text)
            }
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Envelope> {
    let name = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!(
            "{name} is no signed trust document (a DSSE envelope, JSON); next: give what the root key signed"
        )
    })
}

fn text(trust: &Trust) -> String {
    let document = &trust.document;
    let mut text = facts(&[
        ("ca fingerprint", trust.authority.to_string()),
        ("trust fingerprint", trust.root.to_string()),
        ("version", document.version.to_string()),
        ("expires", document.expires.to_string()),
        ("approvals needed", format!("{} of {} approvers", document.threshold, document.approvers.len())),
    ]);
    for approver in &document.approvers {
        let place = if approver.online { " (key stays with the controller)" } else { "" };
        text.push_str(&facts(&[(
            "approver",
            format!("{} {}{place}", approver.name, approver.key.fingerprint()),
        )]));
    }
    text
}
