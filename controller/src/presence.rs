//! Who is there: identities by certificate, and what is known of each agent's last check-in. Lives in
//! memory and is loaded once, so that a check-in with nothing to say asks no database; what changed
//! is written in batches.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use aright_shared::digest::Digest;
use aright_shared::id::{AssetId, TaskId};
use aright_shared::task::ClockReading;
use aright_shared::time::{MINUTE, Millis};
use tokio::sync::Notify;

use crate::store::assets::Seen;
use crate::store::certificates::Certificate;

/// An agent that has been silent for longer is not called connected.
const CONNECTED: i64 = 2 * MINUTE;
/// How far behind this controller an agent's minor version may be.
const MINOR_VERSIONS: u64 = 2;

#[derive(Default)]
pub struct Presence {
    certificates: RwLock<HashMap<Digest, Certificate>>,
    agents: RwLock<HashMap<AssetId, Arc<Live>>>,
}

/// One enrolled agent.
pub struct Live {
    pub asset: AssetId,
    state: Mutex<LiveState>,
    wake: Notify,
}

#[derive(Clone, Debug)]
pub struct LiveState {
    pub machine: Digest,
    pub revoked: bool,
    pub quarantined: Option<String>,
    pub disabled: Option<String>,
    pub agent_version: String,
    pub counter: u64,
    pub last_seen: Option<Millis>,
    pub clock: Option<(ClockReading, Millis)>,
    /// Of the whole that the store has.
    pub observations: Option<Digest>,
    /// It is to evaluate when it comes.
    pub evaluate: bool,
    /// There may be a task for it.
    pub work: bool,
    /// What it runs and is to end: said with every reply until it has.
    cancel: Vec<TaskId>,
    /// `cancel` has grown since it was last said.
    cancel_is_news: bool,
    /// Which check-in is the latest: an older one that is still held lets go.
    pub poll: u64,
    /// The check-in that is held now.
    held: Option<u64>,
    /// Not yet written since it changed.
    unwritten: bool,
}

impl Presence {
    pub fn load(&self, agents: Vec<(AssetId, LiveState)>, certificates: Vec<Certificate>) {
        for (asset, state) in agents {
            self.add(asset, state);
        }
        for certificate in certificates {
            self.add_certificate(certificate);
        }
    }

    pub fn add(&self, asset: AssetId, state: LiveState) {
        let live = Live { asset: asset.clone(), state: Mutex::new(state), wake: Notify::new() };
        write(&self.agents).insert(asset, Arc::new(live));
    }

    pub fn add_certificate(&self, certificate: Certificate) {
        write(&self.certificates).insert(certificate.fingerprint, certificate);
    }

    pub fn certificate(&self, fingerprint: &Digest) -> Option<Certificate> {
        read(&self.certificates).get(fingerprint).cloned()
    }

    pub fn agent(&self, asset: &AssetId) -> Option<Arc<Live>> {
        read(&self.agents).get(asset).cloned()
    }

    /// Tells the agents that there may be work for them.
    pub fn offer_work<'a>(&self, assets: impl IntoIterator<Item = &'a AssetId>) {
        for live in assets.into_iter().filter_map(|asset| self.agent(asset)) {
            live.state().work = true;
            live.wake();
        }
    }

    /// Tells an agent that a task which it runs is to end.
    pub fn ask_to_cancel(&self, asset: &AssetId, task: TaskId) {
        if let Some(live) = self.agent(asset) {
            live.state().ask_to_cancel(task);
            live.wake();
        }
    }

    /// The task has ended.
    pub fn has_ended(&self, asset: &AssetId, task: &TaskId) {
        if let Some(live) = self.agent(asset) {
            live.state().cancel.retain(|other| other != task);
        }
    }

    /// Lets every held check-in go.
    pub fn wake_all(&self) {
        read(&self.agents).values().for_each(|live| live.wake());
    }

    /// What has changed since the last time it was asked for.
    pub fn take_unwritten(&self) -> Vec<(AssetId, Seen)> {
        let changed = |live: &Arc<Live>| {
            let mut state = live.state();
            std::mem::take(&mut state.unwritten).then(|| (live.asset.clone(), state.seen()))
        };
        read(&self.agents).values().filter_map(changed).collect()
    }
}

impl Live {
    pub fn state(&self) -> MutexGuard<'_, LiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wake(&self) {
        self.wake.notify_waiters();
    }

    pub fn woken(&self) -> tokio::sync::futures::Notified<'_> {
        self.wake.notified()
    }
}

/// A check-in is held for as long as this lives.
pub struct Held<'a>(&'a Live, u64);

impl<'a> Held<'a> {
    pub fn new(live: &'a Live, poll: u64) -> Self {
        live.state().held = Some(poll);
        Self(live, poll)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.held == Some(self.1) {
            state.held = None;
        }
    }
}

impl LiveState {
    pub fn enrolled(machine: Digest, agent_version: String) -> Self {
        Self {
            machine,
            revoked: false,
            quarantined: None,
            disabled: None,
            agent_version,
            counter: 0,
            last_seen: None,
            clock: None,
            observations: None,
            evaluate: false,
            work: false,
            cancel: Vec::new(),
            cancel_is_news: false,
            poll: 0,
            held: None,
            unwritten: false,
        }
    }

    pub fn touch(&mut self, now: Millis) {
        self.last_seen = Some(now);
        self.unwritten = true;
    }

    fn ask_to_cancel(&mut self, task: TaskId) {
        // Asked again, it is said again at once: the first time may have been lost.
        self.cancel_is_news = true;
        if !self.cancel.contains(&task) {
            self.cancel.push(task);
        }
    }

    /// What is to end, and whether that is news; from now on it is none.
    pub fn say_cancel(&mut self) -> (Vec<TaskId>, bool) {
        (self.cancel.clone(), std::mem::take(&mut self.cancel_is_news))
    }

    pub fn connected(&self, now: Millis) -> bool {
        self.last_seen.is_some_and(|seen| now.since(seen) <= CONNECTED)
    }

    /// It is there, and may be given a task.
    pub fn waits(&self) -> bool {
        self.held.is_some() && self.reasons().is_empty()
    }

    fn seen(&self) -> Seen {
        Seen {
            counter: self.counter,
            last_seen: self.last_seen,
            clock: self.clock,
            disabled: self.disabled.clone(),
            agent_version: self.agent_version.clone(),
        }
    }

    /// Why nothing may be remediated there; empty when it may.
    pub fn reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.revoked {
            reasons.push("revoked".to_owned());
        }
        if let Some(why) = &self.quarantined {
            reasons.push(format!("quarantined: {why}"));
        }
        if let Some(why) = &self.disabled {
            reasons.push(format!("disabled on the host: {why}"));
        }
        if !version_serves(&self.agent_version, env!("CARGO_PKG_VERSION")) {
            reasons.push(format!(
                "agent version {} is more than {MINOR_VERSIONS} minor versions behind {}",
                self.agent_version,
                env!("CARGO_PKG_VERSION")
            ));
        }
        reasons
    }
}

/// Whether an agent's version is at most two minor versions behind ours; a newer one serves.
fn version_serves(agent: &str, own: &str) -> bool {
    let parts = |version: &str| {
        let mut parts = version.split('.').map(|part| part.parse::<u64>());
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    match (parts(agent), parts(own)) {
        (Some((agent_major, agent_minor)), Some((major, minor))) => {
            agent_major > major || (agent_major == major && agent_minor + MINOR_VERSIONS >= minor)
        }
        _ => false,
    }
}

fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_minor_versions_behind_is_the_limit() {
        assert!(version_serves("1.3.0", "1.5.2") && version_serves("1.5.9", "1.5.2"));
        assert!(version_serves("1.7.0", "1.5.2") && version_serves("2.0.0", "1.9.0"));
        assert!(!version_serves("1.2.9", "1.5.0") && !version_serves("0.9.0", "1.0.0"));
        assert!(!version_serves("", "1.0.0") && !version_serves("new", "1.0.0"));
    }

    #[test]
    fn what_changed_is_handed_out_once() {
        let presence = Presence::default();
        let asset = AssetId::new();
        presence.add(asset.clone(), LiveState::enrolled(Digest::of(b"m"), "0.1.0".into()));
        assert!(presence.take_unwritten().is_empty());
        presence.agent(&asset).expect("is there").state().touch(Millis(5));
        assert_eq!(presence.take_unwritten().len(), 1);
        assert!(presence.take_unwritten().is_empty());
    }
}
