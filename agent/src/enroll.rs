//! Enrolment: a key made here, a certificate signed there, authority and trust root pinned.

use anyhow::{Context as _, bail, ensure};
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::wire::EnrollRequest;

use crate::config::Config;
use crate::facts;
use crate::identity::{Identity, NewKey, StateDir};
use crate::link::{Floor, Link};

/// What the operator was given by `aright enroll-key create`.
pub struct Invitation {
    pub controllers: Vec<String>,
    pub key: String,
    pub ca_fingerprint: Digest,
    pub trust_fingerprint: Digest,
    /// Replace an enrolment that is already there.
    pub again: bool,
}

/// Enrols with the first controller that answers.
///
/// # Errors
/// Already enrolled, nobody reached, a wrong fingerprint (both are named), a key that is refused.
pub async fn enroll(config: &Config, invitation: Invitation) -> anyhow::Result<AssetId> {
    ensure!(!invitation.controllers.is_empty(), "no controller named; next: --controller https://HOST:8440");
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
    let key = NewKey::make()?;
    let request = EnrollRequest {
        key: invitation.key.clone(),
        csr: key.request(&facts::hostname())?,
        machine: facts::machine(),
        facts: facts::facts("not tried yet".into()),
    };
    let floor = Floor::new(None);
    let mut refused = Vec::new();
    for url in &invitation.controllers {
        let link = Link::new(url, invitation.ca_fingerprint, &floor, None)?;
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
        state.enrol(&reply, &key, identity)?;
        state.write("controller-time.json", &reply.now)?;
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
