//! A host that enrols by itself: agent.toml says all that it takes and the key lies in a file, or its installer was
//! told. It is tried until it works.

use std::time::Duration;

use anyhow::bail;
use aright_shared::client::ClientError;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::enroll::{Invitation, enroll};
use crate::identity::{NewKey, StateDir};
use crate::link::Backoff;
use crate::service;

/// Somebody has to do something first: another key, another fingerprint.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

/// How soon an enrolment by hand beside the service is seen.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

pub fn is_enrolled(config: &Config) -> anyhow::Result<bool> {
    Ok(StateDir::open(&config.state)?.identity()?.is_some())
}

/// Returns once the host is enrolled.
///
/// # Errors
/// agent.toml does not say how.
pub async fn until_enrolled(config: &Config) -> anyhow::Result<()> {
    if !is_told(config)? {
        let remedy = "this host is not enrolled; next: aright-agent enroll --help";
        if !service::is_installed() {
            bail!(remedy);
        }
        warn!("{remedy}");
        while !is_told(config)? {
            if is_enrolled_within(config, LOOK_AGAIN).await? {
                return Ok(());
            }
        }
    }
    let key = NewKey::make()?;
    let mut backoff = Backoff::default();
    loop {
        let error = match try_once(config, &key).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let refused = error.downcast_ref::<ClientError>().is_some_and(ClientError::is_refusal);
        let pause = if refused { REFUSED_PAUSE } else { backoff.pause() };
        warn!(retry_ms = pause.as_millis(), "not enrolled yet: {error:#}");
        if is_enrolled_within(config, pause).await? {
            service::forget_key();
            return Ok(());
        }
    }
}

/// Waits so long, or until somebody enrolled this host by hand.
async fn is_enrolled_within(config: &Config, pause: Duration) -> anyhow::Result<bool> {
    let end = Instant::now() + pause;
    loop {
        tokio::time::sleep_until(end.min(Instant::now() + LOOK_AGAIN)).await;
        if is_enrolled(config)? {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
    }
}

/// Whether anybody said how this host is to enrol.
fn is_told(config: &Config) -> anyhow::Result<bool> {
    Ok(config.enroll_key_file.is_some() || service::told()?.key.is_some())
}

async fn try_once(config: &Config, key: &NewKey) -> anyhow::Result<()> {
    // Read anew each time: the file may be put right meanwhile.
    let invitation = Invitation::new(service::told()?, config)?;
    let asset = enroll(config, &invitation, key).await?;
    service::forget_key();
    info!(asset.id = %asset, "enrolled");
    Ok(())
}
