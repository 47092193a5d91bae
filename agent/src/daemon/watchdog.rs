//! Tells the service manager that the agent is alive: this thread by telling it, the host thread by what it
//! says of its work.

use std::convert::Infallible;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::error;

use crate::host::HostThread;

/// Runs as long as it is polled; where nobody watches it says nothing.
pub async fn run(host: HostThread) -> Infallible {
    let mut usec = 0;
    if !sd_notify::watchdog_enabled(false, &mut usec) {
        return std::future::pending().await;
    }
    loop {
        if host.is_well() {
            super::notify_systemd(NotifyState::Watchdog);
        } else {
            error!("the host thread is stuck or gone: the watchdog is not told");
        }
        tokio::time::sleep(Duration::from_micros(usec / 3)).await;
    }
}
