//! A simulated agent: everything that a real one says, over the real wire, with a key of its own. Its scripts run in
//! the [`Ledger`] only.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::client::{Client, ClientError, ClientIdentity, Pinned, tls_config};
use aright_shared::digest::Digest;
use aright_shared::envelope::{PublicKey, TASK, TRUST};
use aright_shared::id::{AssetId, HistoryId, TaskId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{ClockReading, Delivery, TaskOrder, TaskReport};
use aright_shared::time::Millis;
use aright_shared::trust::TrustDocument;
use aright_shared::wire::{CheckIn, EnrollReply, EnrollRequest, MAX_WAIT_S, Orders, ReportReply, Running};
use aright_tests::Dice;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::fate::{Fate, Habit, Scene, Start, Word};
use super::ledger::{Ledger, now};
use super::words::{facts, report, report_of};

/// What all agents share.
pub struct Stage {
    pub ledger: Ledger,
    pub scene: watch::Sender<Arc<Scene>>,
    /// How many tasks are in some agent's hands.
    pub in_hand: AtomicUsize,
    /// How long check-ins are held.
    pub wait_s: u32,
    /// How many results were told once more to a restored controller.
    pub told_again: AtomicUsize,
}

/// Where controllers are, and by what they are known.
#[derive(Clone)]
pub struct Door {
    pub url: String,
    pub authority: Digest,
}

impl Door {
    pub fn open(&self, identity: Option<ClientIdentity>) -> anyhow::Result<Client> {
        let tls = tls_config(Pinned::to(self.authority), identity)?;
        Ok(Client::new(&self.url, tls, Duration::from_secs(u64::from(MAX_WAIT_S) + 20))?)
    }
}

pub struct Agent {
    pub number: usize,
    pub asset: AssetId,
    task_key: PublicKey,
    client: Client,
    machine: Digest,
    observations: Digest,
    habit: Habit,
    dice: Mutex<Dice>,
    counter: AtomicU64,
    known: Mutex<BTreeMap<TaskId, Known>>,
    /// Results that are sent again when the controller has been away.
    again: Mutex<Vec<TaskReport>>,
    /// Everything that was acknowledged, and the controller's history to which all of it was.
    kept: Mutex<Vec<TaskReport>>,
    history: Mutex<Option<HistoryId>>,
    root: PublicKey,
    trust_version: AtomicU64,
    stage: Arc<Stage>,
}

/// What it remembers of a task.
#[derive(Clone, Copy)]
enum Known {
    /// Silent so many times more.
    Lies(u32),
    /// Under way, or over.
    Taken,
    /// Its host died meanwhile: what comes is new to it.
    Forgotten,
}

impl Agent {
    /// Enrols and reports what fails.
    pub async fn enroll(
        number: usize,
        seed: u64,
        door: &Door,
        stranger: &Client,
        secret: &str,
        stage: Arc<Stage>,
    ) -> anyhow::Result<Arc<Self>> {
        let key = KeyPair::generate()?;
        let hostname = format!("sim{number:03}");
        let machine = Digest::of(hostname.as_bytes());
        let request = EnrollRequest {
            trust_fingerprint: None,
            key: secret.to_owned(),
            csr: CertificateParams::default().serialize_request(&key)?.pem()?,
            machine,
            facts: facts(&hostname),
        };
        let reply: EnrollReply = stranger.post("/agent/v1/enroll", &request).await?;
        let chain = CertificateDer::pem_slice_iter(reply.certificate.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow::anyhow!(error))?;
        let client = door.open(Some(ClientIdentity { chain, key }))?;
        let report = report(facts(&hostname));
        let taken: ReportReply = client.post("/agent/v1/report", &report).await.context("its report")?;
        anyhow::ensure!(taken.in_step, "{hostname}'s report was not taken");
        let mut dice = Dice::named(seed, &hostname);
        Ok(Arc::new(Self {
            number,
            asset: reply.asset,
            task_key: reply.task_key,
            client,
            machine,
            observations: report.digest,
            habit: Habit::of(&mut dice),
            dice: Mutex::new(dice),
            counter: AtomicU64::new(1),
            known: Mutex::default(),
            again: Mutex::default(),
            kept: Mutex::default(),
            history: Mutex::default(),
            root: reply.root,
            trust_version: AtomicU64::new(1),
            stage,
        }))
    }

    /// For ever: asks, obeys, tells.
    pub async fn live(self: Arc<Self>) {
        let mut scenes = self.stage.scene.subscribe();
        loop {
            let scene = scenes.borrow_and_update().clone();
            if scene.away.contains(&self.number) {
                if scenes.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let asked = tokio::select! {
                asked = self.ask(&scene) => asked,
                () = called_away(&mut scenes, self.number) => continue,
            };
            match asked {
                Ok(brought) => {
                    self.clone().tell_again();
                    // What came while the check-in was held is of the scene that is played now.
                    let scene = self.stage.scene.borrow().clone();
                    for (delivery, asked) in brought {
                        let obeying = self.clone().obey(scene.clone(), delivery, asked);
                        if scene.hostile && self.habit == Habit::Overlaps {
                            tokio::spawn(obeying);
                        } else {
                            obeying.await;
                        }
                    }
                }
                Err(error) => {
                    if let Some(problem) = error.problem() {
                        self.stage.ledger.wrong(format!("{}: check-in: {}", self.asset, problem.sentence()));
                    }
                    self.pause().await;
                }
            }
        }
    }

    /// By its habit; each order with the time at which it was asked for.
    async fn ask(&self, scene: &Scene) -> Result<Vec<(Delivery, Millis)>, ClientError> {
        let habit = if scene.hostile { self.habit } else { Habit::Calm };
        let asked = now();
        let with = |orders: Orders| orders.tasks.into_iter().map(|task| (task, asked)).collect::<Vec<_>>();
        let most = Duration::from_millis(self.below(3000));
        match habit {
            Habit::Drops if self.below(2) == 0 => match timeout(most, self.check_in()).await {
                Ok(orders) => Ok(with(orders?)),
                // Whatever it was about to hear is lost.
                Err(_) => Ok(Vec::new()),
            },
            Habit::Doubles if self.below(2) == 0 => {
                let second = async {
                    sleep(most / 20).await;
                    self.check_in().await
                };
                let (first, second) = tokio::join!(self.check_in(), second);
                Ok([with(first?), with(second?)].concat())
            }
            _ => Ok(with(self.check_in().await?)),
        }
    }

    /// Two at once have one number, and so has one after another that was not answered: whichever comes first, the
    /// counter does not fall.
    pub async fn check_in(&self) -> Result<Orders, ClientError> {
        let counter = self.counter.load(Ordering::Relaxed);
        let told = CheckIn {
            counter,
            machine: self.machine,
            wait_s: self.stage.wait_s,
            observations: Some(self.observations),
            trust_version: self.trust_version.load(Ordering::Relaxed),
            clock: Some(ClockReading { offset_ms: 3, bound_ms: 5 }),
            disabled: None,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            history: lock(&self.history).clone(),
            trust: None,
        };
        let orders: Orders = self.client.post("/agent/v1/check-in", &told).await?;
        self.counter.fetch_max(counter + 1, Ordering::Relaxed);
        if let Some(envelope) = &orders.trust {
            match envelope.open::<TrustDocument>(TRUST, &[self.root], 1) {
                Ok(document) => self.trust_version.store(document.version, Ordering::Relaxed),
                Err(error) => self.stage.ledger.wrong(format!("{}: a trust document: {error}", self.asset)),
            }
        }
        if let Some(history) = orders.history.clone() {
            self.tell_all(history).await?;
        }
        if orders.full_report {
            self.stage.ledger.wrong(format!("{}: its observations were lost", self.asset));
        }
        Ok(orders)
    }

    async fn obey(self: Arc<Self>, scene: Arc<Scene>, delivery: Delivery, asked: Millis) {
        self.stage.in_hand.fetch_add(1, Ordering::Relaxed);
        let custom = delivery.approval.is_some();
        match delivery.order.open::<TaskOrder>(TASK, &[self.task_key], 1) {
            Ok(order) if order.asset == self.asset && order.task == delivery.task => {
                self.take(&scene, &order, custom, asked).await;
            }
            Ok(order) => self.stage.ledger.wrong(format!("{}: an order for {}", self.asset, order.asset)),
            Err(error) => self.stage.ledger.wrong(format!("{}: {error}", self.asset)),
        }
        self.stage.in_hand.fetch_sub(1, Ordering::Relaxed);
    }

    async fn take(&self, scene: &Scene, order: &TaskOrder, custom: bool, asked: Millis) {
        let Some(run) = &order.run else { return };
        let fate = self.stage.ledger.delivered(order, run, asked, |nth| scene.fate(self.number, custom, nth));
        let start = match self.remember(&order.task, fate) {
            None => return,
            // It knows nothing of what it lost.
            Some(Known::Forgotten) => Start::Says,
            Some(_) => fate.start,
        };
        let began = match start {
            Start::Refuses => {
                let refused = report_of(&order.task, Outcome::Refused, HostChange::None);
                let skewed = ClockReading { offset_ms: -90_000, bound_ms: 5 };
                let refusal = Some(Refusal::ClockSkew);
                return self.tell(&TaskReport { refusal, clock: Some(skewed), ..refused }).await;
            }
            Start::Says => self.say_running(order).await,
            Start::IsSetBack => {
                if self.say_running(order).await {
                    sleep(fate.takes).await;
                }
                self.say_running(order).await
            }
            Start::AsksAgain(within) => match timeout(within, self.say_running(order)).await {
                Ok(began) => began,
                Err(_) => self.say_running(order).await,
            },
            Start::Forgets(within) => match timeout(within, self.say_running(order)).await {
                Ok(began) => began,
                Err(_) => {
                    lock(&self.known).insert(order.task.clone(), Known::Forgotten);
                    return;
                }
            },
        };
        if began {
            self.run(order, fate).await;
        } else {
            // As a real one: not begun, and that is said.
            self.tell(&report_of(&order.task, Outcome::Interrupted, HostChange::None)).await;
        }
    }

    /// Whether it obeys now; each order once.
    fn remember(&self, task: &TaskId, fate: Fate) -> Option<Known> {
        let mut known = lock(&self.known);
        let before = *known.entry(task.clone()).or_insert(Known::Lies(fate.lets_lie));
        let after = match before {
            Known::Lies(times) if times > 0 => Known::Lies(times - 1),
            Known::Lies(_) | Known::Forgotten | Known::Taken => Known::Taken,
        };
        known.insert(task.clone(), after);
        match (before, after) {
            (Known::Taken, _) | (_, Known::Lies(_)) => None,
            _ => Some(before),
        }
    }

    /// Until it is answered: whether it may begin.
    async fn say_running(&self, order: &TaskOrder) -> bool {
        let running = Running { nonce: order.nonce.clone(), clock: None };
        let path = format!("/agent/v1/tasks/{}/running", order.task);
        loop {
            self.stage.ledger.asks(&order.task);
            match self.client.post::<_, ()>(&path, &running).await {
                Ok(()) => {
                    self.stage.ledger.begins(&order.task);
                    return true;
                }
                Err(error) if error.is_refusal() => return false,
                Err(_) => self.pause().await,
            }
        }
    }

    async fn run(&self, order: &TaskOrder, fate: Fate) {
        sleep(fate.takes).await;
        let report = report_of(&order.task, fate.end.0, fate.end.1);
        match fate.word {
            Word::Never => {}
            Word::Once => self.tell(&report).await,
            Word::Again(times) => {
                for _ in 0..times {
                    self.tell(&report).await;
                }
                lock(&self.again).push(report);
            }
            Word::Contradicts => {
                self.tell(&report).await;
                self.tell(&report_of(&order.task, Outcome::Conflict, HostChange::UndoConflict)).await;
            }
            Word::Late(after) => {
                sleep(after).await;
                self.tell(&report).await;
            }
        }
    }

    /// Until it is acknowledged.
    async fn tell(&self, report: &TaskReport) {
        let path = format!("/agent/v1/tasks/{}/result", report.task);
        let telling = self.stage.ledger.tells(&report.task, report.outcome);
        loop {
            match self.client.post::<_, ()>(&path, report).await {
                Ok(()) => {
                    lock(&self.kept).push(report.clone());
                    return self.stage.ledger.acknowledged(&report.task, telling);
                }
                Err(error) if error.is_refusal() => {
                    return self.stage.ledger.wrong(format!("result of {} refused: {error}", report.task));
                }
                Err(_) => self.pause().await,
            }
        }
    }

    /// As a real one, where the controller was restored from a backup: everything once more, then that this is so.
    async fn tell_all(&self, history: HistoryId) -> Result<(), ClientError> {
        let before = lock(&self.history).clone();
        if before.is_some_and(|before| before != history) {
            let kept = lock(&self.kept).clone();
            for report in &kept {
                let path = format!("/agent/v1/tasks/{}/result", report.task);
                match self.client.post::<_, ()>(&path, report).await {
                    Err(error) if !error.is_refusal() => return Err(error),
                    // It may be of a task that was made after the backup.
                    _ => self.stage.told_again.fetch_add(1, Ordering::Relaxed),
                };
            }
        }
        *lock(&self.history) = Some(history);
        Ok(())
    }

    /// What it had told before the controller was away.
    fn tell_again(self: Arc<Self>) {
        let told = std::mem::take(&mut *lock(&self.again));
        if !told.is_empty() {
            self.stage.in_hand.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                for report in &told {
                    self.tell(report).await;
                }
                self.stage.in_hand.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    async fn pause(&self) {
        sleep(Duration::from_millis(50 + self.below(400))).await;
    }

    fn below(&self, end: u64) -> u64 {
        lock(&self.dice).below(end)
    }
}

async fn called_away(scenes: &mut watch::Receiver<Arc<Scene>>, number: usize) {
    while scenes.changed().await.is_ok() {
        if scenes.borrow().away.contains(&number) {
            return;
        }
    }
    std::future::pending().await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
