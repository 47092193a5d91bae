//! Tells the service manager that the controller is alive: as long as the store's writer answers.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;

use crate::store::{Store, StoreError};

/// Runs as long as it is polled; where nobody watches it asks and says nothing.
pub async fn run(store: &Store) -> Infallible {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) {
        return std::future::pending().await;
    }
    loop {
        match store.write(|_| Ok::<_, StoreError>(())).await {
            // Not being run by systemd is no error.
            Ok(()) => drop(sd_notify::notify(false, &[NotifyState::Watchdog])),
            Err(error) => {
                tracing::error!(error = %error, "the store does not write: the watchdog is not told")
            }
        }
        tokio::time::sleep(Duration::from_micros(usec / 3)).await;
    }
}
