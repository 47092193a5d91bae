//! One talk with the controller: typed requests over one warm connection, retried with patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use aright_shared::client::{Client, ClientError, ClientIdentity, Pinned, Route, tls_config};
use aright_shared::digest::Digest;
use aright_shared::id::TaskId;
use aright_shared::task::TaskReport;
use aright_shared::time::{Clock, Millis, WallClock};
use aright_shared::wire::{
    CheckIn, EnrollReply, EnrollRequest, MAX_WAIT_S, Orders, RenewReply, RenewRequest, Report, ReportReply,
    Running, TimeReply, TimeRequest, Undone,
};

use crate::clock::Exchange;

/// Longest time that any request may take: a held check-in and then some.
const TIMEOUT: Duration = Duration::from_secs(MAX_WAIT_S as u64 + 20);

/// The latest controller time that this agent ever knew: it never falls.
#[derive(Clone, Debug)]
pub struct Floor(Arc<AtomicI64>);

impl Floor {
    pub fn new(known: Option<Millis>) -> Self {
        Self(Arc::new(AtomicI64::new(known.map_or(i64::MIN, |known| known.0))))
    }

    pub fn raise(&self, to: Millis) {
        self.0.fetch_max(to.0, Ordering::Relaxed);
    }

    pub fn known(&self) -> Option<Millis> {
        Some(self.0.load(Ordering::Relaxed)).filter(|known| *known != i64::MIN).map(Millis)
    }
}

/// A connection to one of the controllers.
#[derive(Clone, Debug)]
pub struct Link {
    client: Client,
}

impl Link {
    /// Prepares a link; nothing is sent before the first request.
    ///
    /// # Errors
    /// Certificate and key do not belong together.
    pub fn new(
        url: &str,
        authority: Digest,
        route: Route,
        floor: &Floor,
        identity: Option<ClientIdentity>,
    ) -> anyhow::Result<Self> {
        let floor = floor.clone();
        let pinned = Pinned { authority, not_before: Box::new(move || floor.known()) };
        let client = Client::by(route, url, tls_config(pinned, identity)?, TIMEOUT)
            .with_context(|| format!("controller {url}"))?;
        Ok(Self { client })
    }

    pub fn url(&self) -> &str {
        self.client.base()
    }

    /// # Errors
    /// See [`ClientError`]; the same for all below.
    pub async fn enroll(&self, request: &EnrollRequest) -> Result<EnrollReply, ClientError> {
        self.client.post("/agent/v1/enroll", request).await
    }

    /// One exchange of times, and the monotonic moment at which its T4 was read.
    pub async fn time(&self) -> Result<(Exchange, Instant), ClientError> {
        let t1 = wall_us();
        let reply: TimeReply = self.client.post("/agent/v1/time", &TimeRequest { t1 }).await?;
        let (t4, now) = (wall_us(), Instant::now());
        // T1 is our own note, not the peer's echo.
        Ok((Exchange { t1, t2: reply.t2, t3: reply.t3, t4 }, now))
    }

    pub async fn check_in(&self, check_in: &CheckIn) -> Result<Orders, ClientError> {
        self.client.post("/agent/v1/check-in", check_in).await
    }

    pub async fn report(&self, report: &Report) -> Result<ReportReply, ClientError> {
        self.client.post("/agent/v1/report", report).await
    }

    pub async fn running(&self, task: &TaskId, running: &Running) -> Result<(), ClientError> {
        self.client.post(&format!("/agent/v1/tasks/{task}/running"), running).await
    }

    pub async fn result(&self, report: &TaskReport) -> Result<(), ClientError> {
        self.client.post(&format!("/agent/v1/tasks/{}/result", report.task), report).await
    }

    pub async fn undone(&self, task: &TaskId, undone: &Undone) -> Result<(), ClientError> {
        self.client.post(&format!("/agent/v1/tasks/{task}/undone"), undone).await
    }

    pub async fn leave(&self) -> Result<(), ClientError> {
        self.client.post("/agent/v1/leave", &()).await
    }

    pub async fn renew(&self, csr: String) -> Result<RenewReply, ClientError> {
        self.client.post("/agent/v1/renew", &RenewRequest { csr }).await
    }
}

/// The wall clock in microseconds since 1970, as NTP's arithmetic wants it.
#[expect(clippy::disallowed_methods, reason = "this is the clock that is measured")]
pub fn wall_us() -> i64 {
    match std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(_) => WallClock.now().0.saturating_mul(1000),
    }
}

/// Waiting times between attempts: full jitter over a doubling ceiling (from 0.5 s up to a minute).
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    pub fn pause(&mut self) -> Duration {
        let ceiling_ms = 500u64 << self.attempts.min(7);
        self.attempts = self.attempts.saturating_add(1);
        Duration::from_millis(jitter(ceiling_ms.min(60_000)))
    }
}

/// A random number of milliseconds below `ceiling_ms`, so that a fleet does not move in step.
pub fn jitter(ceiling_ms: u64) -> u64 {
    getrandom::u64().map_or(ceiling_ms / 2, |random| random % ceiling_ms.max(1))
}
