//! Linux: told of by systemd, ended by signals.

use std::io::IsTerminal as _;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::cage;
use crate::enroll::Told;

/// Runs the service until it ends. `RUST_LOG` chooses what is logged to stderr; the service manager adds the time.
///
/// # Errors
/// The daemon's.
pub fn run(daemon: impl FnOnce() -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    let chosen = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = chosen.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    daemon()
}

/// Whether the service waits until somebody enrols the host: here its unit starts it only then.
pub fn is_installed() -> bool {
    false
}

/// What an installer was told for the service: here it enrols itself, by the environment.
///
/// # Errors
/// None of this system.
pub fn told() -> anyhow::Result<Told> {
    Ok(Told::default())
}

/// What starts it.
pub const START: &str = "systemctl start aright-agent";

/// The key that an installer was told has served.
pub fn forget_key() {}

/// What the process needs before any other is started.
pub fn settle() {
    cage::cgroup::settle();
}

/// Says that the service is up.
pub fn ready() {
    notify(NotifyState::Ready);
}

/// Says that it ends what is under way.
pub fn stopping() {
    notify(NotifyState::Stopping);
}

/// Says that it is alive.
pub fn alive() {
    notify(NotifyState::Watchdog);
}

/// How long the service manager waits for [`alive`]; `None` where nobody watches.
pub fn patience() -> Option<Duration> {
    let mut usec = 0;
    sd_notify::watchdog_enabled(false, &mut usec).then(|| Duration::from_micros(usec))
}

fn notify(state: NotifyState<'_>) {
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(false, &[state]);
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
