//! `aright enroll-key`.

use aright_shared::api::{EnrollKey, EnrollKeyMade, NewEnrollKey, Paging};
use clap::{Args, Subcommand};

use crate::output::{Format, one, rows};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// Make a secret by which agents enrol; prints the command to run on a host.
    Create(Create),
    /// All keys: uses and ends, never the secrets.
    List,
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
    #[arg(long, default_value_t = 24, value_name = "H")]
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
                let valid_s = hours.saturating_mul(3600);
                let new = NewEnrollKey { name, max_uses: Some(uses), valid_s: Some(valid_s), tags: tag };
                let made: EnrollKeyMade = client.post("/api/v1/enroll-keys", &new).await?;
                one(format, &made, text)
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

fn text(made: &EnrollKeyMade) -> String {
    let url = made.urls.first().map_or("https://CONTROLLER:8440", String::as_str);
    format!(
        "valid until {}, for {} host{}; on each, as root:\n\n  aright-agent enroll --controller {url} \\\n    \
         --key {} \\\n    --ca-fingerprint {} \\\n    --trust-fingerprint {}\n",
        made.key.expires,
        made.key.max_uses,
        if made.key.max_uses == 1 { "" } else { "s" },
        made.secret,
        made.authority,
        made.trust,
    )
}
