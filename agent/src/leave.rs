//! The end of an enrolment, by the host itself: the controller is asked to revoke it. Nothing on the host is removed.

use std::time::Duration;

use anyhow::Context as _;
use aright_shared::id::AssetId;
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::controllers;
use crate::identity::{Identity, StateDir};
use crate::link::{Floor, Link};

/// Longest time in all: whoever takes the agent away waits for it.
const WITHIN: Duration = Duration::from_secs(15);

pub enum Left {
    NeverEnrolled,
    Revoked(AssetId),
    /// The controller had revoked it before.
    Before(AssetId),
}

/// # Errors
/// The controller was not told: why, and the command that does it from elsewhere.
pub async fn leave(config: &Config) -> anyhow::Result<Left> {
    // The state folder is not made: there may be nothing left of an agent here.
    let identity = config.state.join("identity.json");
    if !identity.try_exists().with_context(|| format!("cannot look for {}", identity.display()))? {
        return Ok(Left::NeverEnrolled);
    }
    let state = StateDir::open(&config.state)?;
    let identity = state.identity()?.context("identity.json is gone")?;
    let asset = identity.asset.clone();
    tell(config, &state, identity).await.map_err(|why| {
        anyhow::anyhow!("the controller was not told that this host leaves: {why:#}; next, where you are logged in: aright asset revoke {asset}")
    })
}

async fn tell(config: &Config, state: &StateDir, identity: Identity) -> anyhow::Result<Left> {
    let floor = Floor::new(state.read("controller-time.json").unwrap_or_default());
    let deadline = Instant::now() + WITHIN;
    let urls = controllers::in_order(config, &identity);
    let route = config.route()?;
    let mut failed = Vec::new();
    for (url, left) in urls.iter().zip((1..=urls.len()).rev()) {
        let link =
            Link::new(url, identity.ca_fingerprint, route.clone(), &floor, Some(state.tls_identity()?))?;
        // None takes the time of those after it.
        let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left)?;
        match timeout(share, link.leave()).await {
            Ok(Ok(())) => return Ok(Left::Revoked(identity.asset)),
            Ok(Err(error)) if error.is("revoked") => return Ok(Left::Before(identity.asset)),
            Ok(Err(error)) => failed.push(error.to_string()),
            Err(_) => failed.push(format!("{url} did not answer within {} s", share.as_secs())),
        }
    }
    anyhow::bail!("{}", failed.join("; "))
}
