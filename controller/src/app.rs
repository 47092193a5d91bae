//! What every handler and every background task shares.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use anyhow::Result;
use aright_shared::id::HistoryId;
use aright_shared::time::{Clock, DAY, MINUTE, Millis};
use tokio::sync::{Notify, watch};

use crate::auth::noted::Noted;
use crate::auth::throttle::Throttle;
use crate::authority::Authority;
use crate::config::Settings;
use crate::content::Content;
use crate::data::Data;
use crate::jobs::single;
use crate::net::Addresses;
use crate::presence::{LiveState, Presence};
use crate::store::restored::{self, Restored};
use crate::store::{Store, StoreError, Tx, assets, certificates, policies, tasks};
use crate::trust::Trust;

/// How long past its end a certificate may still renew.
pub const RENEWABLE: i64 = 365 * DAY;

pub struct App {
    pub settings: Settings,
    pub data: Data,
    /// Started with `--dev`: short hold times are allowed.
    pub dev: bool,
    pub clock: Arc<dyn Clock>,
    pub started: Millis,
    pub store: Store,
    authority: RwLock<Arc<Authority>>,
    trust: RwLock<Arc<Trust>>,
    /// Those that stand in the audit log.
    pub wrong_log_ins: Noted,
    pub presence: Presence,
    pub history: HistoryId,
    /// Where the store was restored from a backup.
    pub restored: Option<Restored>,
    /// Replaced as a whole when policies change.
    content: RwLock<Arc<Content>>,
    /// Wrong log-ins, by user and by address.
    pub log_ins: Throttle,
    /// Undos, by user.
    pub undos: Throttle,
    /// Held while the custom policies change and what is stored is judged by them.
    pub policies_change: tokio::sync::Mutex<()>,
    /// Counts changes of tasks and runs, for those who watch.
    pub changes: watch::Sender<u64>,
    /// Wakes the dispatcher.
    pub dispatch: Notify,
    /// Turns true once, when the controller is to stop.
    pub stopping: watch::Sender<bool>,
    /// Held while background work is done: whoever holds it sees the store at rest.
    pub background: tokio::sync::Mutex<()>,
    pub addresses: OnceLock<Addresses>,
}

impl App {
    /// Opens everything that lies in the data folder.
    ///
    /// # Errors
    /// Names the file that is missing or wrong.
    pub async fn open(
        data: &Data,
        settings: Settings,
        content: Content,
        dev: bool,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let store = Store::open(&data.path("aright.db"), &data.path("backup"))?;
        let history = store.write(restored::history).await?;
        let restored = store.read(restored::get).await?;
        let content = content.with_custom(&store.read(policies::all).await?)?;
        for aside in content.set_aside() {
            tracing::error!(policy = %aside.key, why = aside.why, "a custom policy is set aside");
        }
        let app = Self {
            data: data.clone(),
            store,
            authority: RwLock::new(Arc::new(Authority::load(data)?)),
            trust: RwLock::new(Arc::new(Trust::load(data)?)),
            wrong_log_ins: Noted::default(),
            presence: Presence::default(),
            history,
            restored,
            content: RwLock::new(Arc::new(content)),
            log_ins: Throttle::of(10, 5 * MINUTE),
            undos: Throttle::of(single::UNDOS_A_MINUTE, MINUTE),
            policies_change: tokio::sync::Mutex::new(()),
            changes: watch::Sender::new(0),
            dispatch: Notify::new(),
            stopping: watch::Sender::new(false),
            background: tokio::sync::Mutex::new(()),
            addresses: OnceLock::new(),
            settings,
            dev,
            started: clock.now(),
            clock,
        };
        app.load_presence().await?;
        Ok(Arc::new(app))
    }

    async fn load_presence(&self) -> Result<(), StoreError> {
        let expired_after = self.clock.now().plus(-RENEWABLE);
        let (agents, certificates, cancelled) = self
            .store
            .read(move |conn| {
                let certificates = certificates::all(conn, expired_after)?;
                Ok::<_, StoreError>((assets::all(conn)?, certificates, tasks::to_cancel(conn)?))
            })
            .await?;
        let agents = agents.into_iter().map(|asset| (asset.id.clone(), live_state(asset))).collect();
        self.presence.load(agents, certificates);
        for (asset, task) in cancelled {
            self.presence.ask_to_cancel(&asset, task);
        }
        Ok(())
    }

    /// Writes what check-ins told since the last time.
    ///
    /// # Errors
    /// The store failed.
    pub async fn flush_presence(&self) -> Result<(), StoreError> {
        let changed = self.presence.take_unwritten();
        if changed.is_empty() {
            return Ok(());
        }
        self.store
            .write(move |tx| changed.iter().try_for_each(|(asset, seen)| assets::seen(tx, asset, seen)))
            .await
    }

    /// What is in force now. Whoever asks twice may be told of two: inside a transaction ask once, there.
    pub fn content(&self) -> Arc<Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who issues certificates now.
    pub fn authority(&self) -> Arc<Authority> {
        self.authority.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn replace_authority(&self, authority: Authority) {
        *self.authority.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    /// Whose approvals are believed now.
    pub fn trust(&self) -> Arc<Trust> {
        self.trust.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A higher version is in force: agents are told at once.
    pub fn replace_trust(&self, trust: Trust) {
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
        self.presence.wake_all();
    }

    pub fn replace_content(&self, content: Content) {
        *self.content.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(content);
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Something of a run changed: those who watch look again, and so does the dispatcher.
    pub fn changed(&self) {
        self.changed_for_watchers();
        self.dispatch.notify_one();
    }

    /// The same, once what was changed is on disk.
    pub fn changed_on_commit(self: &Arc<Self>, tx: &Tx<'_>) {
        let app = self.clone();
        tx.on_commit(move || app.changed());
    }

    /// A change after which there is nothing to dispatch.
    pub fn changed_for_watchers(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub fn is_stopping(&self) -> bool {
        *self.stopping.borrow()
    }

    /// Resolves when the controller is to stop.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.subscribe();
        // An error means that the sender is gone, and with it the app.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }
}

fn live_state(asset: assets::Asset) -> LiveState {
    let mut state = LiveState::enrolled(asset.machine, asset.seen.agent_version);
    state.revoked = asset.revoked.is_some();
    state.quarantined = asset.quarantined;
    state.disabled = asset.seen.disabled;
    state.counter = asset.seen.counter;
    state.last_seen = asset.seen.last_seen;
    state.clock = asset.seen.clock;
    state.observations = asset.observations;
    // Asked once when it comes: tasks may have been queued before we stopped.
    state.work = true;
    state
}
