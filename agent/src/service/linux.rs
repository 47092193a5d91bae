//! Linux: told of by systemd, ended by signals.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::cage;
use crate::enroll::Told;

/// Runs the service until it ends. `RUST_LOG` chooses what is logged to stderr; the service manager adds the time.
///
/// # Errors
/// The daemon's.
pub fn run(daemon: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    daemon()
}

/// What an installer was told for the service: here it enrols itself, by the environment.
///
/// # Errors
/// None of this system.
pub fn told() -> anyhow::Result<Told> {
    Ok(Told::default())
}

/// The key that an installer was told has served.
pub fn forget_key() {}

/// What the process needs before any other is started.
pub fn settle() {
    cage::cgroup::settle();
}

/// Says that the service is up.
pub fn ready() {
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
}

/// Ends when the service is to stop: SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be waited for.
pub fn stopped() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Started by itself as the launcher of a script, this process is that and nothing else.
pub fn launched() {
    if std::env::args_os().nth(1).is_some_and(|arg| arg == cage::launcher::ARGUMENT) {
        cage::launcher::main();
    }
}
