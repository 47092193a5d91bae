//! Linux: told of by systemd, ended by signals.

use crate::cage;

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
