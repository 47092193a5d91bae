//! The service loop: check in, take, run, report.
//!
//! Two halves over one link: [`poll`] holds a check-in open and passes on what it brings; [`work`] does
//! one thing after the other on the host thread. Either may fail and is tried again; neither waits for the other.

mod cancel;
mod obey;
mod poll;
mod renew;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aright_shared::id::HistoryId;
use aright_shared::library::Library;
use aright_shared::posture::{Observation, Spot};
use aright_shared::task::ClockReading;
use aright_shared::time::Millis;
use aright_shared::trust::TrustDocument;
use aright_shared::wire::Running;
use tokio::sync::mpsc;
use tracing::info;

use crate::clock::ClockFilter;
use crate::config::Config;
use crate::host::{HostThread, Network};
use crate::identity::{Identity, StateDir};
use crate::link::{Floor, Link, wall_us};

/// Orders that may wait for the host thread.
const QUEUE: usize = 16;
/// How far the known controller time may run ahead of what the disk knows, in milliseconds.
const FLOOR_STEP_MS: i64 = 60_000;

/// What both halves know.
pub(crate) struct Agent {
    pub config: Config,
    pub state: StateDir,
    pub identity: Identity,
    pub library: &'static Library,
    pub floor: Floor,
    pub host: HostThread,
    pub wishes: cancel::Wishes,
    link: Mutex<Link>,
    clock: Mutex<ClockFilter>,
    trust: Mutex<TrustDocument>,
    /// The controller's history to which everything that is kept was told.
    history: Mutex<Option<HistoryId>>,
    /// What the controller has, as far as it said so.
    reported: Mutex<BTreeMap<Spot, Observation>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// Not enrolled, damaged state, no runtime.
pub fn run(config: Config, network: Network) -> anyhow::Result<()> {
    // Before any other process is started.
    crate::cage::cgroup::settle();
    let host = HostThread::start(network)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let agent = Arc::new(Agent::open(config, host)?);
        info!(asset.id = %agent.identity.asset, controller = agent.link().url(), "agent started");
        notify_systemd();
        // Few: a controller that orders more than is obeyed is not listened to meanwhile.
        let (orders, inbox) = mpsc::channel(QUEUE);
        let stop = stop_signal()?;
        tokio::select! {
            result = poll::run(agent.clone(), orders) => result,
            result = work::run(agent.clone(), inbox) => result,
            () = renew::run(agent.clone()) => Ok(()),
            () = stop => {
                info!("agent stopped");
                Ok(())
            }
        }
    })
}

fn notify_systemd() {
    // Without a service manager there is nobody to tell.
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
}

fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
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

impl Agent {
    fn open(config: Config, host: HostThread) -> anyhow::Result<Self> {
        let state = StateDir::open(&config.state)?;
        let Some(identity) = state.identity()? else {
            bail!("this host is not enrolled; next: aright-agent enroll --help");
        };
        let floor = Floor::new(state.read("controller-time.json")?);
        let link = open_link(&identity, &floor, &state)?;
        let trust = state.trust()?;
        // Where it cannot be read everything is told once more.
        let history = state.read("history.json").unwrap_or_default();
        Ok(Self {
            config,
            identity,
            library: Library::builtin(),
            link: Mutex::new(link),
            floor,
            host,
            wishes: cancel::Wishes::default(),
            clock: Mutex::new(ClockFilter::new(Instant::now())),
            trust: Mutex::new(trust),
            history: Mutex::new(history),
            reported: Mutex::new(BTreeMap::new()),
            state,
        })
    }

    /// The connection in use; clones share it.
    pub fn link(&self) -> Link {
        lock(&self.link).clone()
    }

    /// From now on with the certificate that is on disk.
    pub fn open_link_anew(&self) -> anyhow::Result<()> {
        *lock(&self.link) = open_link(&self.identity, &self.floor, &self.state)?;
        Ok(())
    }

    /// Exchanges times once; whatever the wall clock says, the controller's time is known afterwards.
    pub async fn sample_clock(&self) -> Result<(), aright_shared::client::ClientError> {
        let (exchange, now) = self.link().time().await?;
        let controller_now = {
            let mut clock = lock(&self.clock);
            clock.add(exchange, now);
            clock.controller_now(now)
        };
        if let Some(now) = controller_now {
            self.keep_floor(now);
        }
        Ok(())
    }

    fn keep_floor(&self, now: Millis) {
        self.floor.raise(now);
        let stored: Option<Millis> = self.state.read("controller-time.json").unwrap_or_default();
        if stored.is_none_or(|stored| now.since(stored) > FLOOR_STEP_MS)
            && let Err(error) = self.state.write("controller-time.json", &now)
        {
            tracing::warn!("the controller's time was not kept: {error:#}");
        }
    }

    pub fn clock_reading(&self) -> Option<ClockReading> {
        lock(&self.clock).reading(Instant::now(), wall_us())
    }

    /// Best known controller time, never below the floor.
    pub fn controller_now(&self) -> Millis {
        let sampled = lock(&self.clock).controller_now(Instant::now());
        let floor = self.floor.known();
        sampled.max(floor).unwrap_or(Millis(i64::MIN))
    }

    pub fn trust(&self) -> TrustDocument {
        lock(&self.trust).clone()
    }

    pub fn history(&self) -> Option<HistoryId> {
        lock(&self.history).clone()
    }

    /// # Errors
    /// The disk refused.
    pub fn keep_history(&self, history: HistoryId) -> anyhow::Result<()> {
        self.state.write("history.json", &history)?;
        *lock(&self.history) = Some(history);
        Ok(())
    }

    pub fn running(&self, nonce: String) -> Running {
        Running { nonce, clock: self.clock_reading() }
    }

    /// Why this host runs nothing, if its owner said so.
    pub fn disabled(&self) -> Option<String> {
        if self.config.mode == crate::config::Mode::Evaluate {
            return Some("agent.toml says mode = \"evaluate\"".into());
        }
        match self.state.read::<String>("disabled.json") {
            Ok(reason) => reason,
            // Fail closed: a file that cannot be read may say no.
            Err(error) => Some(format!("{error:#}")),
        }
    }
}

pub(crate) fn open_link(identity: &Identity, floor: &Floor, state: &StateDir) -> anyhow::Result<Link> {
    let url = identity.controllers.first().context("identity.json names no controller; next: enrol again")?;
    Link::new(url, identity.ca_fingerprint, floor, Some(state.tls_identity()?))
}

/// Waits a random part of `most`, so that a fleet does not move in step.
pub(crate) async fn spread(most: Duration) {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_millis(crate::link::jitter(millis))).await;
}
