//! Tells the service manager that the agent is alive: this thread by telling it, the host thread by what it
//! says of its work.

use std::convert::Infallible;

use tracing::error;

use crate::host::HostThread;
use crate::service;

/// Runs as long as it is polled; where nobody watches it says nothing.
pub async fn run(host: HostThread) -> Infallible {
    let Some(patience) = service::patience() else { return std::future::pending().await };
    loop {
        if host.is_well() {
            service::alive();
        } else {
            error!("the host thread is stuck or gone: the watchdog is not told");
        }
        tokio::time::sleep(patience / 3).await;
    }
}
