//! `aright trust`.

use aright_shared::api::Trust;
use aright_shared::text::facts;
use clap::Subcommand;

use crate::output::{Format, one};
use crate::session::client;

#[derive(Subcommand)]
pub enum Command {
    /// The trust document in force: approvers, threshold, end; and the fingerprints to pin.
    Show,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::Show => one(format, &client.get::<Trust>("/api/v1/trust").await?, text),
        }
    }
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
