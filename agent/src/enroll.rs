//! Enrolment: a key made here, a certificate signed there, authority and trust root pinned.

use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::wire::EnrollRequest;

use crate::config::{Config, check_controllers};
use crate::identity::{Identity, NewKey, StateDir};
use crate::link::{Floor, Link};
use crate::{facts, secret_file};

/// What was said on the command line or in the environment; where that is silent, agent.toml speaks.
#[derive(Default)]
pub struct Told {
    pub controllers: Vec<String>,
    pub key: Option<String>,
    pub ca_fingerprint: Option<Digest>,
    pub trust_fingerprint: Option<Digest>,
    /// Replace an enrolment that is already there.
    pub again: bool,
}

/// All that enrolment takes, as `aright enroll-key create` gave it to the operator.
pub struct Invitation {
    controllers: Vec<String>,
    key: String,
    /// Where the key lay, to be removed once it has served.
    key_file: Option<PathBuf>,
    ca_fingerprint: Digest,
    trust_fingerprint: Digest,
    again: bool,
}

impl Invitation {
    /// # Errors
    /// Names what is missing, or why the key cannot be read.
    pub fn new(told: Told, config: &Config) -> anyhow::Result<Self> {
        let controllers =
            if told.controllers.is_empty() { config.controllers.clone() } else { told.controllers };
        ensure!(!controllers.is_empty(), "no controller named; next: --controller https://HOST:8440");
        check_controllers(&controllers).context("controller")?;
        let ca_fingerprint = told.ca_fingerprint.or(config.ca_fingerprint).context(
            "no authority to pin; next: --ca-fingerprint sha256:… as `aright enroll-key create` printed it",
        )?;
        let trust_fingerprint = told.trust_fingerprint.or(config.trust_fingerprint).context(
            "no trust root to pin; next: --trust-fingerprint sha256:… as `aright enroll-key create` printed it",
        )?;
        let (key, key_file) = match (told.key, &config.enroll_key_file) {
            (Some(key), _) => (key, None),
            (None, Some(file)) => (secret_file::read(file).context("enroll_key_file")?, Some(file.clone())),
            (None, None) => {
                bail!("no enrolment key; next: --key, ARIGHT_ENROLL_KEY, or enroll_key_file in agent.toml")
            }
        };
        Ok(Self { controllers, key, key_file, ca_fingerprint, trust_fingerprint, again: told.again })
    }

    /// It has served; what cannot be removed is said, and harms nobody once it is used up.
    fn forget_key(&self) {
        if let Some(file) = &self.key_file
            && let Err(error) = std::fs::remove_file(file)
        {
            tracing::warn!("the enrolment key was not removed: {}: {error}", file.display());
        }
    }
}

/// Enrols with the first controller that answers. With the same `key` it may be tried again: a controller whose
/// reply was lost knows it.
///
/// # Errors
/// Already enrolled, nobody reached, a wrong fingerprint (both are named), a key that is refused.
pub async fn enroll(config: &Config, invitation: &Invitation, key: &NewKey) -> anyhow::Result<AssetId> {
    let state = StateDir::open(&config.state)?;
    if let Some(identity) = state.identity()?
        && !invitation.again
    {
        bail!(
            "this host is already enrolled with {} as asset {}; next: --again to replace that",
            identity.controllers.join(", "),
            identity.asset
        );
    }
    let request = EnrollRequest {
        key: invitation.key.clone(),
        csr: key.request(&facts::hostname())?,
        machine: facts::machine(),
        trust_fingerprint: Some(invitation.trust_fingerprint),
        facts: facts::facts("not tried yet".into()),
    };
    let floor = Floor::new(None);
    let mut refused = Vec::new();
    for url in &invitation.controllers {
        let link = Link::new(url, invitation.ca_fingerprint, config.route()?, &floor, None)?;
        let reply = match link.enroll(&request).await {
            Ok(reply) => reply,
            // It answered: another controller would not answer otherwise.
            Err(error) if error.is_refusal() => return Err(error).context("enrolment refused"),
            Err(error) => {
                refused.push(error.to_string());
                continue;
            }
        };
        let identity = Identity {
            asset: reply.asset.clone(),
            controllers: answered_first(url, &invitation.controllers),
            ca_fingerprint: invitation.ca_fingerprint,
            trust_fingerprint: invitation.trust_fingerprint,
            task_key: reply.task_key,
        };
        state.enrol(&reply, key, identity)?;
        state.write("controller-time.json", &reply.now)?;
        invitation.forget_key();
        return Ok(reply.asset);
    }
    bail!("no controller was reached: {}", refused.join("; "))
}

/// The one that answered, then the others in their order.
fn answered_first(url: &str, all: &[String]) -> Vec<String> {
    std::iter::once(url)
        .chain(all.iter().map(String::as_str).filter(|other| *other != url))
        .map(str::to_owned)
        .collect()
}
