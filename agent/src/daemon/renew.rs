//! The agent's certificate, renewed when two thirds of its time are over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::time::SECOND;
use tracing::{info, warn};

use super::{Agent, spread};
use crate::facts;
use crate::identity::NewKey;

const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Never ends; a renewal that fails is tried again at the next look.
pub async fn run(agent: Arc<Agent>) {
    loop {
        match due(&agent) {
            Ok(true) if agent.is_revoked() => {}
            Ok(true) => match renew(&agent).await {
                Ok(()) => info!("certificate renewed"),
                Err(error) => warn!("certificate not renewed: {error:#}"),
            },
            Ok(false) => {}
            Err(error) => warn!("certificate: {error:#}"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
        spread(Duration::from_secs(600)).await;
    }
}

fn due(agent: &Agent) -> anyhow::Result<bool> {
    let identity = agent.state.tls_identity()?;
    let leaf = identity.chain.first().context("certificate.pem is empty")?;
    let (_, leaf) = x509_parser::parse_x509_certificate(leaf)?;
    let (from, to) = (leaf.validity().not_before.timestamp(), leaf.validity().not_after.timestamp());
    let now = agent.controller_now().0.div_euclid(SECOND);
    Ok(now > from + (to - from) / 3 * 2)
}

async fn renew(agent: &Agent) -> anyhow::Result<()> {
    let csr = NewKey::stored(&agent.state)?.request(&facts::hostname())?;
    let reply = agent.link().renew(csr).await?;
    agent.state.keep_certificate(&reply.certificate)?;
    agent.open_link_anew()
}
