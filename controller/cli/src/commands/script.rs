//! `aright script`: upload, read, approve. Approving signs exactly the bytes that are shown.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aright_shared::api::{Paging, Script as ApiScript, ScriptApproval, ScriptDetail, ScriptUpload, Trust};
use aright_shared::client::Client;
use aright_shared::content::script::Script;
use aright_shared::digest::Digest;
use aright_shared::envelope::{APPROVAL, Envelope, PublicKey};
use aright_shared::id::Key;
use aright_shared::text::{facts, plain};
use aright_shared::time::{Clock as _, DAY, WallClock};
use aright_shared::trust::Approval;
use clap::{Args, Subcommand};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;

use crate::output::{Format, one, rows};
use crate::session::{all, client};

#[derive(Subcommand)]
pub enum Command {
    /// All scripts: the library's and your own.
    List,
    /// One script as it is approved and run.
    Show { script: Key },
    /// Check a script file and store it as a draft; `--template` prints one to start from.
    New(New),
    /// Sign a script with an approver's key, which never leaves this machine.
    Approve(Approve),
}

#[derive(Args)]
pub struct New {
    #[arg(required_unless_present = "template")]
    file: Option<PathBuf>,
    /// Print a script to start from and stop.
    #[arg(long)]
    template: bool,
}

#[derive(Args)]
pub struct Approve {
    script: Key,
    /// An approver's private key (PKCS#8 PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// How long the approval holds.
    #[arg(long, default_value_t = 365, value_name = "DAYS")]
    days: u16,
    /// Approve only if the script still has this digest.
    #[arg(long, value_name = "sha256:…")]
    digest: Option<Digest>,
}

impl Command {
    pub async fn run(self, format: Format) -> anyhow::Result<()> {
        if let Self::New(New { template: true, .. }) = self {
            return one(Format::Table, &(), |()| TEMPLATE.to_owned());
        }
        let client = client()?;
        match self {
            Self::List => list(&client, format).await,
            Self::Show { script } => one(format, &detail(&client, &script).await?, text),
            Self::New(new) => new.run(&client, format).await,
            Self::Approve(approve) => approve.run(&client, format).await,
        }
    }
}

async fn list(client: &Client, format: Format) -> anyhow::Result<()> {
    let scripts: Vec<ApiScript> = all(client, "/api/v1/scripts", &Paging::default()).await?;
    rows(format, &scripts, ["script", "version", "origin", "state", "risk", "fixes", "title"], |script| {
        let mut fixes: Vec<_> = script.fixes.iter().map(|fix| fix.control.to_string()).collect();
        fixes.dedup();
        [
            script.key.to_string(),
            script.version.to_string(),
            script.origin.to_string(),
            script.state.to_string(),
            script.risk.to_string(),
            fixes.join(", "),
            script.title.clone(),
        ]
    })
}

async fn detail(client: &Client, key: &Key) -> anyhow::Result<ScriptDetail> {
    Ok(client.get(&format!("/api/v1/scripts/{key}")).await?)
}

impl New {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let path = self.file.context("a script file is needed")?;
        let script = read(&path)?;
        let bytes = String::from_utf8(script.canonical())?;
        let stored: ScriptDetail = client.post("/api/v1/scripts", &ScriptUpload { bytes }).await?;
        one(format, &stored, |stored| {
            format!(
                "{} version {} is a {}; next: aright script approve {} --key APPROVER.pem\n",
                stored.script.key, stored.script.version, stored.script.state, stored.script.key
            )
        })
    }
}

fn read(path: &Path) -> anyhow::Result<Script> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Script::from_yaml(&text).with_context(|| format!("{} is not a script", path.display()))
}

impl Approve {
    async fn run(self, client: &Client, format: Format) -> anyhow::Result<()> {
        let key = self.signing_key()?;
        let trust: Trust = client.get("/api/v1/trust").await?;
        let public = PublicKey::from(&key);
        let Some(approver) = trust.document.approvers.iter().find(|approver| approver.key == public) else {
            bail!(
                "{} holds key {}, which is no approver's in trust document version {}; next: aright trust show",
                self.key.display(),
                public.fingerprint(),
                trust.document.version
            );
        };
        let detail = detail(client, &self.script).await?;
        let digest = Digest::of(detail.bytes.as_bytes());
        ensure!(
            digest == detail.script.digest,
            "the controller says {} has digest {}, its bytes have {digest}: nothing was signed",
            self.script,
            detail.script.digest
        );
        if let Some(wanted) = self.digest {
            ensure!(
                wanted == digest,
                "{} now has digest {digest}, not {wanted}: nothing was signed",
                self.script
            );
        }
        let parsed = Script::parse_canonical(detail.bytes.as_bytes()).context("nothing was signed")?;
        ensure!(
            parsed.key == self.script,
            "the controller gave {} for {}: nothing was signed",
            parsed.key,
            self.script
        );
        // On the other stream: what is signed here is seen here, whatever was shown before.
        eprintln!("signing\n\n{}", text(&detail));
        if self.digest.is_none() && std::io::stdin().is_terminal() {
            eprint!("sign it? [y/N] ");
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer)?;
            ensure!(answer.trim().eq_ignore_ascii_case("y"), "nothing was signed");
        }
        let now = WallClock.now();
        let approval = Approval {
            script: digest,
            key: self.script.clone(),
            approver: approver.name.clone(),
            approved: now,
            not_after: now.plus(i64::from(self.days) * DAY),
        };
        let envelope = Envelope::seal(APPROVAL, &approval, &[&key])?;
        let path = format!("/api/v1/scripts/{}/approvals", self.script);
        let stored: ScriptDetail = client.post(&path, &ScriptApproval { envelope }).await?;
        one(format, &stored, |stored| {
            format!(
                "{} version {} {digest} approved by {} until {}; it is {}\n",
                stored.script.key,
                stored.script.version,
                approval.approver,
                approval.not_after,
                stored.script.state
            )
        })
    }

    fn signing_key(&self) -> anyhow::Result<SigningKey> {
        let pem = std::fs::read_to_string(&self.key)
            .with_context(|| format!("cannot read {}", self.key.display()))?;
        SigningKey::from_pkcs8_pem(&pem)
            .with_context(|| format!("{} is no Ed25519 key (PKCS#8 PEM)", self.key.display()))
    }
}

fn text(detail: &ScriptDetail) -> String {
    let script = &detail.script;
    let approvals: Vec<_> = script
        .approvals
        .iter()
        .map(|given| format!("{} until {}", given.approver, given.not_after))
        .collect();
    // Of the bytes that are shown: the controller's word for it is not asked.
    let digest = Digest::of(detail.bytes.as_bytes());
    let digest = match digest == script.digest {
        true => digest.to_string(),
        false => format!("{digest}; BEWARE: the controller says {}", script.digest),
    };
    let mut text = facts(&[
        ("script", format!("{} version {}", script.key, script.version)),
        ("title", script.title.clone()),
        ("origin", script.origin.to_string()),
        ("state", script.state.to_string()),
        ("digest", digest),
        ("approved by", approvals.join(", ")),
        ("author", script.author.clone()),
    ]);
    // Shown from the bytes that are signed, not from what the controller says about them.
    match Script::parse_canonical(detail.bytes.as_bytes()) {
        Ok(parsed) => {
            let touches: Vec<_> = parsed.touches.iter().map(ToString::to_string).collect();
            let activate: Vec<_> =
                parsed.activate.iter().filter_map(|one| serde_json::to_string(one).ok()).collect();
            text.push_str(&facts(&[
                ("interpreter", parsed.interpreter.to_string()),
                ("confinement", parsed.confinement.to_string()),
                ("may change", touches.join(", ")),
                ("then", activate.join(", ")),
                (
                    "lock-out",
                    if parsed.lockout { "undone unless contact is proven".into() } else { String::new() },
                ),
            ]));
            text.push_str(&rest(&detail.bytes));
            text.push('\n');
            text.push_str(&plain(&parsed.body));
        }
        Err(error) => text.push_str(&format!("its bytes cannot be read: {error}\n")),
    }
    text
}

/// Every field that is not told above and not what it is by itself, under its own name.
fn rest(bytes: &str) -> String {
    const TOLD: &[&str] = &[
        "aright",
        "kind",
        "key",
        "version",
        "title",
        "origin",
        "author",
        "interpreter",
        "confinement",
        "touches",
        "activate",
        "lockout",
        "body",
    ];
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(bytes) else { return String::new() };
    let is_empty = |value: &serde_json::Value| match value {
        serde_json::Value::Null | serde_json::Value::Bool(false) => true,
        serde_json::Value::Array(items) => items.is_empty(),
        serde_json::Value::Object(fields) => fields.is_empty(),
        serde_json::Value::String(text) => text.is_empty(),
        _ => false,
    };
    let left = fields.iter().filter(|(name, value)| !TOLD.contains(&name.as_str()) && !is_empty(value));
    let left: Vec<_> = left
        .map(|(name, value)| (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        .collect();
    facts(&left)
}

const TEMPLATE: &str = r#"aright: 1
kind: script
key: motd-notice                 # a slug of your own
origin: custom
title: Say who owns this host
risk: safe                       # safe | disruptive
interpreter: sh                  # sh | bash | python3 | a program that the hosts allow
timeout_s: 60
touches: [/etc/motd]             # exactly these may change; anything else ends as overreach
body: |
  set -eu
  printf 'This host is hardened by Aright.\n' >/etc/motd
"#;
