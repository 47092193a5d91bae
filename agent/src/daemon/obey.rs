//! One order: on disk first, then verified, then the clock, then known to run, then executed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{ClockVerdict, Delivery, TaskOrder, TaskReport};
use aright_shared::time::WallClock;
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::work::refusal;
use super::{Agent, lock};
use crate::config::Config;
use crate::confirm::Contact;
use crate::cut_off;
use crate::link::Backoff;
use crate::sight;
use crate::task::here::Here;
use crate::task::host::Cancel;
use crate::task::journal::{Journal, Step};
use crate::task::nonces::{Claim, Nonces};
use crate::task::spool::{Pending, Retention, Spool, SpoolError, Wait};
use crate::task::{self, Task, recover};
use crate::verify::{Refused, Verified, Verifier, refuse};

/// Samples that are taken for one task before its clock is called unknown.
const SAMPLES: usize = 8;

/// Where tasks are kept and executed.
pub struct Workshop {
    pub spool: Spool,
    nonces: Mutex<Nonces>,
}

impl Workshop {
    pub fn open(agent: &Agent) -> anyhow::Result<Self> {
        let clock = Arc::new(WallClock);
        Ok(Self {
            spool: Spool::open(&agent.state.file("tasks"), clock)?,
            nonces: Mutex::new(Nonces::open(agent.state.path())?),
        })
    }

    /// Drops originals past their time; what cannot be undone any more is said once.
    pub fn prune(&self, config: &Config) {
        let retention = Retention { megabytes: config.originals.megabytes, days: config.originals.days };
        match self.spool.prune(retention) {
            Ok(pruned) => {
                for task in pruned.originals {
                    info!(task.id = %task, "originals dropped: it can no longer be undone");
                }
            }
            Err(error) => warn!("originals: {error}"),
        }
    }
}

/// This host as tasks see it; made on the host thread.
pub fn here(agent: &Agent) -> anyhow::Result<Here> {
    // Behind a proxy it is the proxy that looks the controller's name up.
    let name = host_name(agent.config.proxy.as_deref().unwrap_or(agent.link().url()));
    sight::this_host(&agent.config, agent.state.path(), agent.library, name)
        .context("the root folder cannot be opened")
}

/// The name in a URL, where it is a name: an address says nothing about name look-up.
fn host_name(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let name = rest.split(['/', ':']).next()?;
    let is_name = name.parse::<std::net::IpAddr>().is_err() && !name.starts_with('[');
    (is_name && name != "localhost").then(|| name.to_owned())
}

/// What an earlier life of this agent left: undone, finished, or given back to be begun.
pub async fn recover(agent: &Arc<Agent>, workshop: &Arc<Workshop>) -> anyhow::Result<Vec<Delivery>> {
    let (agent, workshop) = (agent.clone(), workshop.clone());
    let host = agent.host.clone();
    host.call(move || -> anyhow::Result<Vec<Delivery>> {
        let here = here(&agent)?;
        let held = workshop.spool.lock(Wait::ForIt)?;
        let mut resumed = Vec::new();
        for (mut journal, pending) in workshop.spool.recover()? {
            if pending == Pending::Resume {
                resumed.push(journal.delivery()?);
                continue;
            }
            match recover::finish(&mut journal, pending, &workshop.spool, &here, &held) {
                Ok(Some(report)) => warn!(task.id = %report.task, outcome = %report.outcome, change = %report.change, "recovered"),
                Ok(None) => {}
                Err(error) => {
                    let why = format!("task {} is not recovered: {error}; next: restart the service", journal.task());
                    error!("{why}");
                    lock(&agent.half_done).get_or_insert(why);
                }
            }
        }
        if lock(&agent.half_done).is_none() {
            cut_off::unmark(agent.state.path())?;
        }
        Ok(resumed)
    })
    .await?
}

/// Obeys one order to its end. What has no journal of its own comes back as a report to be sent.
pub async fn obey(
    agent: &Arc<Agent>,
    workshop: &Arc<Workshop>,
    delivery: Delivery,
) -> anyhow::Result<Option<TaskReport>> {
    let id = delivery.task.clone();
    let report = until_ended(agent, workshop, delivery, &agent.wishes.of(&id)).await;
    agent.wishes.forget(&id);
    report
}

async fn until_ended(
    agent: &Arc<Agent>,
    workshop: &Arc<Workshop>,
    delivery: Delivery,
    cancel: &Cancel,
) -> anyhow::Result<Option<TaskReport>> {
    let id = delivery.task.clone();
    let mut journal = match workshop.spool.accept(&delivery) {
        Ok(journal) => journal,
        Err(SpoolError::Known(_)) => match known(workshop, &delivery)? {
            Known::Fresh(journal) => journal,
            // Under way, or its result waits: it is sent again by itself.
            Known::Waits => return Ok(None),
            Known::Done => {
                let detail = "the order was obeyed before, and its result is with the controller".to_owned();
                return Ok(Some(refusal(&id, Refusal::Replayed, detail)));
            }
        },
        Err(error @ SpoolError::Forgotten(_)) => {
            return Ok(Some(refusal(&id, Refusal::Replayed, error.to_string())));
        }
        Err(SpoolError::Full { waiting }) => {
            let detail = format!("{waiting} results wait for the controller, no more is taken in");
            return Ok(Some(refusal(&id, Refusal::NoSpace, detail)));
        }
        Err(error) => return Err(error.into()),
    };
    if cancel.is_wanted() {
        end_unbegun(&mut journal, Outcome::Cancelled, "cancelled by an operator before it was begun")?;
        return Ok(None);
    }
    let verified = match verify(agent, workshop, &journal).await {
        Ok(verified) => verified,
        Err(refused) => {
            info!(task.id = %id, "refused: {refused}");
            end_refused(agent, &mut journal, refused)?;
            return Ok(None);
        }
    };
    if let Err(why) = say_running(agent, &verified).await {
        // Cancelled meanwhile, or said to run by an earlier life: nothing was begun.
        end_unbegun(&mut journal, Outcome::Interrupted, &format!("not begun: {why}"))?;
        return Ok(None);
    }
    execute(agent, workshop, journal, verified, cancel.clone()).await?;
    Ok(None)
}

enum Known {
    /// Taken in, not begun: by an earlier life.
    Fresh(Journal),
    Waits,
    Done,
}

fn known(workshop: &Workshop, delivery: &Delivery) -> anyhow::Result<Known> {
    let Some(journal) = workshop.spool.journal(&delivery.task)? else { return Ok(Known::Waits) };
    Ok(match journal.last() {
        Some(Step::Accepted) => Known::Fresh(journal),
        _ if journal.has(Step::Acknowledged) => Known::Done,
        _ => Known::Waits,
    })
}

fn end_unbegun(journal: &mut Journal, outcome: Outcome, detail: &str) -> anyhow::Result<()> {
    let now = journal.now();
    let mut report = TaskReport::of(journal.task(), outcome, HostChange::None, detail, now, now);
    report.steps = journal.steps();
    Ok(journal.end(&report)?)
}

fn end_refused(agent: &Agent, journal: &mut Journal, refused: Refused) -> anyhow::Result<()> {
    let mut report = refusal(&journal.task().clone(), refused.reason, refused.detail);
    report.clock = agent.clock_reading();
    report.steps = journal.steps();
    Ok(journal.end(&report)?)
}

/// Verifies what lies in the spool, not what came over the wire: that is what will be run.
async fn verify(agent: &Agent, workshop: &Workshop, journal: &Journal) -> Result<Verified, Refused> {
    if let Some(reason) = agent.disabled() {
        return refuse(Refusal::Disabled, reason);
    }
    let unreadable = |error: &dyn std::fmt::Display| Refused {
        reason: Refusal::BadSignature,
        detail: format!("spooled order: {error}"),
    };
    let delivery = journal.delivery().map_err(|error| unreadable(&error))?;
    let trust = agent.trust();
    let verifier = |now| Verifier {
        asset: &agent.identity.asset,
        task_key: agent.identity.task_key,
        trust: &trust,
        library: agent.library,
        config: &agent.config,
        now,
    };
    let signed = verifier(agent.controller_now()).signed(&delivery)?;
    check_clock(agent, &signed.order).await?;
    let now = agent.controller_now();
    let verified = verifier(now).approved(signed)?;
    let order = verified.order();
    let claim = lock(&workshop.nonces).claim(&order.nonce, &order.task, order.not_after, now);
    match claim {
        Ok(Claim::Fresh | Claim::Same) => Ok(verified),
        Ok(Claim::Replayed { by }) => refuse(Refusal::Replayed, format!("its nonce was used by task {by}")),
        Err(error) => refuse(Refusal::NoSpace, format!("its nonce cannot be remembered: {error}")),
    }
}

/// Samples until the clock is known to be right or skewed, or enough was tried.
async fn check_clock(agent: &Agent, order: &TaskOrder) -> Result<(), Refused> {
    let limit_ms = order.clock_limit_ms;
    let mut last_error = None;
    for _ in 0..SAMPLES {
        last_error = agent.sample_clock().await.err();
        let reading = agent.clock_reading();
        match (reading.map(|reading| reading.judge(limit_ms)), reading) {
            (Some(ClockVerdict::Right), _) => return Ok(()),
            (Some(ClockVerdict::Skewed), Some(reading)) => {
                return refuse(
                    Refusal::ClockSkew,
                    format!(
                        "this host's clock is {:+.3} s from the controller's (± {} ms), the limit is {} s; \
                         next: set the clock, then {}",
                        -reading.offset_ms as f64 / 1000.0,
                        reading.bound_ms,
                        limit_ms / 1000,
                        order.kind.again()
                    ),
                );
            }
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
    let why = last_error.map_or_else(
        || "the way to the controller is too slow to tell".to_owned(),
        |error| error.to_string(),
    );
    refuse(Refusal::ClockUnknown, format!("after {SAMPLES} samples the clock's offset is not known: {why}"))
}

/// Tells the controller that it runs, until it knows.
///
/// # Errors
/// It no longer wants it, or was not reached before the order's end: why, in words.
async fn say_running(agent: &Agent, verified: &Verified) -> Result<(), String> {
    let order = verified.order();
    let mut backoff = Backoff::default();
    loop {
        match agent.link().running(&order.task, &agent.running(order.nonce.clone())).await {
            Ok(()) => return Ok(()),
            Err(error) if error.is_refusal() => return Err(error.to_string()),
            Err(error) if agent.controller_now() > order.not_after => return Err(error.to_string()),
            Err(error) => {
                warn!(task.id = %order.task, "not started yet: {error}");
                sleep(backoff.pause()).await;
            }
        }
    }
}

async fn execute(
    agent: &Arc<Agent>,
    workshop: &Arc<Workshop>,
    mut journal: Journal,
    verified: Verified,
    cancel: Cancel,
) -> anyhow::Result<()> {
    journal.take(Step::Running)?;
    let contact = NewConnection { runtime: tokio::runtime::Handle::current(), agent: agent.clone() };
    let (shared, workshop) = (agent.clone(), workshop.clone());
    let clock = agent.clock_reading();
    agent
        .host
        .call(move || -> anyhow::Result<()> {
            let here = here(&shared)?;
            let task = Task { order: verified.order(), script: verified.script(), clock };
            let report = task::execute(task, &here, &workshop.spool, &contact, &mut journal, &cancel);
            match report {
                Ok(report) => info!(task.id = %report.task, outcome = %report.outcome, change = %report.change, "{}", report.detail),
                // What is on disk says how far it came: it is finished as after a crash.
                Err(error) => {
                    error!(task.id = %journal.task(), "{error}");
                    let lock = workshop.spool.lock(Wait::ForIt)?;
                    for (mut journal, pending) in workshop.spool.recover()? {
                        if pending != Pending::Resume {
                            recover::finish(&mut journal, pending, &workshop.spool, &here, &lock)?;
                        }
                    }
                }
            }
            Ok(())
        })
        .await?
}

/// Proof that a controller can still be reached, whichever: by a connection made for it.
struct NewConnection {
    runtime: tokio::runtime::Handle,
    agent: Arc<Agent>,
}

impl NewConnection {
    fn reach_one(&self, url: &str, within: Duration) -> Result<(), String> {
        let link = self.agent.new_link(url).map_err(|error| format!("{error:#}"))?;
        self.runtime.block_on(async {
            match tokio::time::timeout(within, link.time()).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("{url} did not answer within {} s", within.as_secs())),
            }
        })
    }
}

impl Contact for NewConnection {
    fn reach(&self, within: Duration) -> Result<(), String> {
        let urls = self.agent.controllers();
        let each = within / u32::try_from(urls.len()).unwrap_or(u32::MAX);
        let mut failed = Vec::new();
        for url in urls {
            match self.reach_one(&url, each) {
                Ok(()) => return Ok(()),
                Err(why) => failed.push(why),
            }
        }
        Err(failed.join("; "))
    }
}
