//! `aright enroll-key`.

use aright_shared::api::{EnrollKey, EnrollKeyMade, Installs, NewEnrollKey, NewRevocation, Paging};
use aright_shared::id::EnrollKeyId;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::output::{Format, one, rows};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Make a secret by which agents enrol; prints what to run on a host, per platform.
    Create(Create),
    /// All keys: uses and ends, never the secrets.
    List,
    /// Let no host enrol with a key any more; those that did stay.
    Revoke {
        /// As `list` shows it.
        id: EnrollKeyId,
        /// For the audit log.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Args)]
pub struct Create {
    /// For people.
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// How many hosts may enrol with it.
    #[arg(long, default_value_t = 1, value_name = "N")]
    uses: u32,
    /// How long it is valid, in hours.
    #[arg(long, default_value_t = 24, value_name = "H", value_parser = clap::value_parser!(u32).range(1..=365 * 24))]
    hours: u32,
    /// What its hosts are tagged with; may be repeated.
    #[arg(long)]
    tag: Vec<String>,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        let client = client()?;
        match self {
            Self::Create(Create { name, uses, hours, tag }) => {
                let valid_s = hours * 3600;
                let new = NewEnrollKey { name, max_uses: Some(uses), valid_s: Some(valid_s), tags: tag };
                let made: EnrollKeyMade = client.post("/api/v1/enroll-keys", &new).await?;
                let install = Installs::of(&made);
                one(format, &Shown { made, install }, text)
            }
            Self::Revoke { id, reason } => {
                let path = format!("/api/v1/enroll-keys/{id}/revoke");
                let key: EnrollKey = client.post(&path, &NewRevocation { reason }).await?;
                one(format, &key, |key| {
                    format!(
                        "{} is not valid since {}; {} hosts enrolled with it\n",
                        key.id, key.expires, key.uses
                    )
                })
            }
            Self::List => {
                let keys: Vec<EnrollKey> = all(&client, "/api/v1/enroll-keys", &Paging::default()).await?;
                rows(format, &keys, ["name", "id", "uses", "tags", "by", "expires"], |key| {
                    [
                        key.name.clone(),
                        key.id.to_string(),
                        format!("{} of {}", key.uses, key.max_uses),
                        key.tags.join(", "),
                        key.created_by.clone(),
                        key.expires.to_string(),
                    ]
                })
            }
        }
    }
}

/// What the controller said, and what to do with it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    made: EnrollKeyMade,
    install: Installs,
}

/// A bare host name is what a controller has where nobody named it: other hosts seldom know it.
fn lookup(made: &EnrollKeyMade) -> String {
    let host = made
        .urls
        .first()
        .and_then(|url| url.strip_prefix("https://")?.rsplit_once(':'))
        .map(|(host, _)| host);
    match host.filter(|host| !host.contains(['.', ':'])) {
        Some(host) => format!(
            "\nwhere hosts do not look the controller up as {host}: agents.names in its settings first, and a new key\n"
        ),
        None => String::new(),
    }
}

fn text(Shown { made, install }: &Shown) -> String {
    let key = &made.key;
    let hosts = if key.max_uses == 1 { "1 host".to_owned() } else { format!("{} hosts", key.max_uses) };
    format!(
        "valid until {}, for {hosts}; on each, as root (sudo -i) or administrator, one of:\n\n\
         Debian, with the package beside you\n  {}\n\n\
         any Linux, with the agent installed\n  {}\n\n\
         Windows, with the package beside you\n  {}\n{}",
        key.expires,
        install.debian,
        install.by_hand,
        install.windows,
        lookup(made)
    )
}
