//! `aright login`.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::Context as _;
use aright_shared::api;
use aright_shared::digest::Digest;
use clap::Args;

use crate::session::{Session, anonymous};

/// Log in to a controller and remember it (in ~/.config/aright, or where ARIGHT_CONFIG says).
#[derive(Args)]
pub struct Login {
    /// The operators' address, such as https://aright.example:8441
    url: String,
    #[arg(long, default_value = "admin")]
    user: String,
    /// Fingerprint of the controller's authority, as it printed it at its first start.
    #[arg(long, value_name = "sha256:…")]
    ca_fingerprint: Digest,
    /// Read the password from a file; else it is asked for, or read from a pipe.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Login {
    pub async fn run(self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.url.starts_with("https://"),
            "{:?} is no operators' address; next: aright login https://HOST:8441 …",
            self.url
        );
        let password = self.password()?;
        let client = anonymous(&self.url, self.ca_fingerprint)?;
        let login = api::Login { user: self.user, password };
        let session: api::Session = client.post("/api/v1/session", &login).await?;
        let until = session.expires;
        Session {
            url: client.base().to_owned(),
            ca_fingerprint: self.ca_fingerprint,
            user: session.user.clone(),
            token: session.token,
        }
        .save()?;
        eprintln!("logged in to {} as {}, until {until}", client.base(), session.user);
        Ok(())
    }

    fn password(&self) -> anyhow::Result<String> {
        if let Some(path) = &self.password_file {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            return Ok(text.trim_end_matches(['\r', '\n']).to_owned());
        }
        if std::io::stdin().is_terminal() {
            return Ok(rpassword::prompt_password(format!("password of {}: ", self.user))?);
        }
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}
