//! The one thread that touches the host: evaluations and tasks run here, one at a time, while the
//! connection to the controller stays awake elsewhere.

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::oneshot;

use crate::system;

/// No piece of work takes longer: a script has an hour at most, the rest of its task some minutes.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

type Work = Box<dyn FnOnce() + Send>;

/// Hands work to the host thread. The thread ends when the last handle is gone.
#[derive(Clone)]
pub struct HostThread {
    work: mpsc::Sender<Work>,
    thread: Arc<JoinHandle<()>>,
    /// Since when it works on one piece, if it does.
    busy: Busy,
}

#[derive(Clone, Default)]
struct Busy(Arc<Mutex<Option<Instant>>>);

impl Busy {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which network the host thread looks at and sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Host,
    /// A namespace of its own, for the demo: `net.*` can be set without touching the host's.
    Private,
}

impl HostThread {
    /// # Errors
    /// The thread or its network namespace cannot be made.
    pub fn start(network: Network) -> anyhow::Result<Self> {
        let (work, queue) = mpsc::channel::<Work>();
        let (ready, is_ready) = mpsc::channel();
        let busy = Busy::default();
        let own = busy.clone();
        let thread = thread::Builder::new().name("host".into()).spawn(move || {
            let entered = system::enter(network);
            let go_on = entered.is_ok();
            if ready.send(entered).is_err() || !go_on {
                return;
            }
            for work in queue {
                own.set(Some(Instant::now()));
                work();
                own.set(None);
            }
        })?;
        is_ready.recv().context("the host thread ended at once")??;
        Ok(Self { work, thread: Arc::new(thread), busy })
    }

    /// The thread lives, and has not been at one piece of work for longer than any takes.
    pub fn is_well(&self) -> bool {
        let stuck = self.busy.since().is_some_and(|since| since.elapsed() > LONGEST);
        !self.thread.is_finished() && !stuck
    }

    /// Runs `work` on the host thread, after all that was handed over before.
    ///
    /// # Errors
    /// The work panicked.
    pub async fn call<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> anyhow::Result<R> {
        let (done, result) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody may be waiting any more: the work was still to be done.
            let _ = done.send(work());
        });
        self.work.send(work).ok().context("the host thread has ended")?;
        result.await.context("the host thread ended while it worked")
    }
}
