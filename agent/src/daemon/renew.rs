//! The agent's certificate, renewed when two thirds of its time are over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::time::SECOND;
use tracing::{info, warn};

use super::{Agent, spread};
use crate::facts;
use crate::identity::NewKey;

const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a renewal that failed while the certificate still serves.
const AGAIN: Duration = Duration::from_secs(3600);
/// Hosts that were installed together do not renew together.
const SPREAD: Duration = Duration::from_secs(600);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    NotYet,
    Soon,
    /// Nothing but its renewal is granted to this host: it was off too long.
    Now,
}

/// Never ends.
pub async fn run(agent: Arc<Agent>) {
    // By what is known at a start no certificate has ended since the last contact. A controller that is away is asked
    // by others, until the next look.
    let _ = agent.sample_clock().await;
    loop {
        let pause = look(&agent).await.unwrap_or_else(|error| {
            warn!("certificate not renewed: {error:#}");
            AGAIN
        });
        tokio::time::sleep(pause).await;
    }
}

/// How long until the next look.
async fn look(agent: &Agent) -> anyhow::Result<Duration> {
    let due = due(agent)?;
    if due == Due::NotYet || agent.is_revoked() {
        return Ok(LOOK_EVERY);
    }
    if due == Due::Soon {
        spread(SPREAD).await;
    }
    match renew(agent).await {
        Ok(()) => info!("certificate renewed"),
        Err(error) if due == Due::Now => warn!("certificate has ended and is not renewed: {error:#}"),
        Err(error) => return Err(error),
    }
    Ok(LOOK_EVERY)
}

/// By the controller's time, as far as it is known.
fn due(agent: &Agent) -> anyhow::Result<Due> {
    let identity = agent.state.tls_identity()?;
    let leaf = identity.chain.first().context("certificate.pem is empty")?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)?;
    let (from, to) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let now = agent.controller_now().0.div_euclid(SECOND);
    Ok(match now {
        now if now > to => Due::Now,
        now if now > from + (to - from) / 3 * 2 => Due::Soon,
        _ => Due::NotYet,
    })
}

async fn renew(agent: &Agent) -> anyhow::Result<()> {
    let csr = NewKey::stored(&agent.state)?.request(&facts::hostname())?;
    let reply = agent.link().renew(csr).await?;
    agent.state.keep_certificate(&reply.certificate)?;
    agent.open_link_anew()
}
