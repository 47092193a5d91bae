//! A host that enrols by itself: agent.toml says all that it takes, the key lies in a file. It is tried until it
//! works.

use std::time::Duration;

use anyhow::bail;
use aright_shared::client::ClientError;
use tracing::{info, warn};

use crate::config::Config;
use crate::enroll::{Invitation, Told, enroll};
use crate::identity::{NewKey, StateDir};
use crate::link::Backoff;

/// Somebody has to do something first: another key, another fingerprint.
const REFUSED_PAUSE: Duration = Duration::from_secs(300);

pub fn is_enrolled(config: &Config) -> anyhow::Result<bool> {
    Ok(StateDir::open(&config.state)?.identity()?.is_some())
}

/// Returns once the host is enrolled.
///
/// # Errors
/// agent.toml does not say how.
pub async fn until_enrolled(config: &Config) -> anyhow::Result<()> {
    if config.enroll_key_file.is_none() {
        bail!("this host is not enrolled; next: aright-agent enroll --help");
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
        tokio::time::sleep(pause).await;
    }
}

async fn try_once(config: &Config, key: &NewKey) -> anyhow::Result<()> {
    // Read anew each time: the file may be put right meanwhile.
    let invitation = Invitation::new(Told::default(), config)?;
    let asset = enroll(config, &invitation, key).await?;
    info!(asset.id = %asset, "enrolled");
    Ok(())
}
