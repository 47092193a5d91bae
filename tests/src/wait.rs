//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

use anyhow::bail;

const STEP: Duration = Duration::from_millis(20);

/// Asks again and again until there is an answer.
///
/// # Errors
/// What `ask` says, or that `patience` ran out.
pub fn until<T>(
    what: &str,
    patience: Duration,
    mut ask: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let since = Instant::now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if since.elapsed() > patience {
            bail!("{what}: not within {patience:?}");
        }
        std::thread::sleep(STEP);
    }
}
