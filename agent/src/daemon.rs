//! The service loop: check in, take, run, report.
//!
//! Two halves over one link: [`poll`] holds a check-in open and passes on what it brings; [`work`] does
//! one thing after the other on the host thread. Either may fail and is tried again; neither waits for the other.

mod cancel;
mod join;
mod obey;
mod poll;
mod renew;
mod watchdog;
mod work;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use aright_shared::id::HistoryId;
use aright_shared::library::Library;
use aright_shared::posture::{Observation, Spot};
use aright_shared::task::ClockReading;
use aright_shared::time::Millis;
use aright_shared::trust::TrustDocument;
use aright_shared::wire::Running;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::clock::ClockFilter;
use crate::config::Config;
use crate::controllers::{self, Turn};
use crate::host::{HostThread, Network};
use crate::identity::{Identity, StateDir};
use crate::link::{Floor, Link, wall_us};
use crate::service;

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
    turn: Mutex<Turn>,
    link: Mutex<Link>,
    /// The controller says so: there is nothing more to be told to it.
    revoked: AtomicBool,
    /// What could not be recovered from at the start: until it is, nothing more is done to this host.
    half_done: Mutex<Option<String>>,
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

/// Runs until the service is to stop.
///
/// # Errors
/// Not enrolled, damaged state, no runtime.
pub fn run(config: Config, network: Network) -> anyhow::Result<()> {
    service::settle();
    let host = HostThread::start(network)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            ended = until_stopped(config, host.clone()) => ended,
            never = watchdog::run(host) => match never {},
        }
    })
}

async fn until_stopped(config: Config, host: HostThread) -> anyhow::Result<()> {
    let stop = service::stopped()?;
    tokio::pin!(stop);
    if !join::is_enrolled(&config)? {
        // A start that waits for a controller which is away would be called a failed one.
        service::ready();
        tokio::select! {
            enrolled = join::until_enrolled(&config) => enrolled?,
            () = &mut stop => return Ok(()),
        }
    }
    let agent = Arc::new(Agent::open(config, host)?);
    info!(asset.id = %agent.identity.asset, controller = agent.link().url(), "agent started");
    service::ready();
    // Few: a controller that orders more than is obeyed is not listened to meanwhile.
    let (orders, inbox) = mpsc::channel(QUEUE);
    tokio::select! {
        result = poll::run(agent.clone(), orders) => return result,
        result = work::run(agent.clone(), inbox) => return result,
        () = renew::run(agent.clone()) => return Ok(()),
        () = stop => {}
    }
    service::stopping();
    tokio::select! {
        () = wind_down(&agent) => info!("agent stopped"),
        // Who asks twice does not want to wait.
        () = service::stopped()? => warn!("agent stopped at once; what was under way is recovered from at the next start"),
    }
    Ok(())
}

/// A script that runs is ended, a change that is being made is finished or undone.
async fn wind_down(agent: &Agent) {
    agent.wishes.stop();
    // Work is done in turn: when this is, all is. A host thread that is gone does nothing any more.
    let _ = agent.host.call(|| ()).await;
}

impl Agent {
    fn open(config: Config, host: HostThread) -> anyhow::Result<Self> {
        let state = StateDir::open(&config.state)?;
        let Some(identity) = state.identity()? else {
            bail!("this host is not enrolled; next: aright-agent enroll --help");
        };
        let floor = Floor::new(state.read("controller-time.json")?);
        let turn = Turn::of(controllers::in_order(&config, &identity))?;
        let link = open_link(turn.url(), &config, &identity, &floor, &state)?;
        let trust = state.trust()?;
        // Where it cannot be read everything is told once more.
        let history = state.read("history.json").unwrap_or_default();
        Ok(Self {
            config,
            identity,
            library: Library::builtin(),
            turn: Mutex::new(turn),
            link: Mutex::new(link),
            revoked: AtomicBool::new(state.is_revoked()),
            half_done: Mutex::default(),
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

    /// A connection of its own.
    pub fn new_link(&self, url: &str) -> anyhow::Result<Link> {
        open_link(url, &self.config, &self.identity, &self.floor, &self.state)
    }

    /// From now on with the certificate that is on disk, to the controller whose turn it is.
    pub fn open_link_anew(&self) -> anyhow::Result<()> {
        let url = lock(&self.turn).url().to_owned();
        *lock(&self.link) = self.new_link(&url)?;
        Ok(())
    }

    /// All controllers, the one in use first.
    pub fn controllers(&self) -> Vec<String> {
        lock(&self.turn).all()
    }

    pub fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Relaxed)
    }

    /// As the controller last answered; kept for `status`. Whether it was otherwise before.
    fn set_revoked(&self, revoked: bool) -> bool {
        let news = self.revoked.swap(revoked, Ordering::Relaxed) != revoked;
        if news && let Err(error) = self.state.set_revoked(revoked) {
            tracing::warn!("not kept for status: {error:#}");
        }
        news
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

    /// Why this host runs nothing: its owner said so, or a change of an earlier life is half-done.
    pub fn disabled(&self) -> Option<String> {
        if let Some(why) = &*lock(&self.half_done) {
            return Some(why.clone());
        }
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

fn open_link(
    url: &str,
    config: &Config,
    identity: &Identity,
    floor: &Floor,
    state: &StateDir,
) -> anyhow::Result<Link> {
    Link::new(url, identity.ca_fingerprint, config.route()?, floor, Some(state.tls_identity()?))
}

/// Waits a random part of `most`, so that a fleet does not move in step.
pub(crate) async fn spread(most: Duration) {
    let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_millis(crate::link::jitter(millis))).await;
}
