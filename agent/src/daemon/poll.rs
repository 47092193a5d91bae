//! The held check-in: says how the agent is, brings what there is to do.

use std::sync::Arc;
use std::time::Duration;

use aright_shared::client::ClientError;
use aright_shared::id::HistoryId;
use aright_shared::wire::{CheckIn, MAX_WAIT_S, Orders, observations_digest};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tracing::{error, info, warn};

use super::work::Work;
use super::{Agent, lock, spread};
use crate::facts::{self, AGENT_VERSION};
use crate::link::Backoff;

/// The counter moves on disk in strides, so that an idle agent does not write with every check-in.
const STRIDE: u64 = 1000;
/// Between check-ins of a host that is revoked, once and up to twice.
const REVOKED_PAUSE: Duration = Duration::from_secs(600);

/// How long a check-in is held while a restored controller is told what it forgot, in seconds: it orders nothing until
/// a check-in says that it knows all.
const TELLING_S: u32 = 2;

pub async fn run(agent: Arc<Agent>, orders: mpsc::Sender<Work>) -> anyhow::Result<()> {
    let machine = facts::machine();
    // After a restart it goes on above all that it can have sent.
    let mut counter = agent.state.next_counter(STRIDE)?;
    let mut ceiling = counter + STRIDE;
    let mut backoff = Backoff::default();
    let mut wait_s = 0;
    let mut tell_trust = false;
    // The controller's history to which it was last asked to tell everything.
    let mut asked = agent.history();
    loop {
        counter += 1;
        if counter >= ceiling {
            counter = agent.state.next_counter(STRIDE)?;
            ceiling = counter + STRIDE;
        }
        let check_in = CheckIn {
            counter,
            machine,
            wait_s,
            observations: reported_digest(&agent),
            trust_version: agent.trust().version,
            clock: agent.clock_reading(),
            disabled: agent.disabled(),
            agent_version: AGENT_VERSION.into(),
            history: agent.history(),
            trust: tell_trust.then(|| agent.state.trust_envelope().ok()).flatten(),
        };
        let result = check_in_once(&agent, &check_in).await;
        if take_turns(&agent, result.as_ref().err())? {
            backoff.reset();
        }
        match result {
            Ok(brought) => {
                backoff.reset();
                agent.set_revoked(false);
                tell_trust = brought.tell_trust;
                tell_again(&agent, brought.history.as_ref(), &mut asked, &orders)?;
                take(&agent, brought, &orders).await?;
                wait_s = if asked == agent.history() { MAX_WAIT_S } else { TELLING_S };
            }
            Err(ClientError::Busy { after_s, .. }) => {
                wait_s = 0;
                tokio::time::sleep(Duration::from_secs(after_s.min(600))).await;
                spread(Duration::from_secs(5)).await;
            }
            Err(error) if error.is("revoked") => {
                wait_s = 0;
                if agent.set_revoked(true) {
                    error!("{error}; until then nothing is run, evaluated or told");
                }
                tokio::time::sleep(REVOKED_PAUSE).await;
                spread(REVOKED_PAUSE).await;
            }
            Err(error) => {
                wait_s = 0;
                let pause = backoff.pause();
                warn!(controller = agent.link().url(), retry_ms = pause.as_millis(), "check-in: {error}");
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// Turns to the next controller when this one has failed too often; says whether it did.
fn take_turns(agent: &Agent, error: Option<&ClientError>) -> anyhow::Result<bool> {
    let mut turn = lock(&agent.turn);
    if error.is_none_or(ClientError::is_answer) {
        turn.answered();
        return Ok(false);
    }
    if !turn.failed() {
        return Ok(false);
    }
    info!(
        controller = turn.url(),
        "turning to the next controller, after: {}",
        error.map_or_else(String::new, ToString::to_string)
    );
    drop(turn);
    agent.open_link_anew()?;
    Ok(true)
}

/// Before the first answer of this process the clock is sampled, so that every check-in can tell it.
async fn check_in_once(agent: &Agent, check_in: &CheckIn) -> Result<Orders, ClientError> {
    if check_in.clock.is_none() {
        agent.sample_clock().await?;
        let check_in = CheckIn { clock: agent.clock_reading(), ..check_in.clone() };
        return agent.link().check_in(&check_in).await;
    }
    agent.link().check_in(check_in).await
}

fn reported_digest(agent: &Agent) -> Option<aright_shared::digest::Digest> {
    let reported = lock(&agent.reported);
    (!reported.is_empty()).then(|| observations_digest(reported.values()))
}

/// Has everything told once more to a controller that was restored from a backup.
fn tell_again(
    agent: &Agent,
    history: Option<&HistoryId>,
    asked: &mut Option<HistoryId>,
    orders: &mpsc::Sender<Work>,
) -> anyhow::Result<()> {
    let Some(history) = history.filter(|history| asked.as_ref() != Some(history)) else { return Ok(()) };
    if agent.history().is_some() {
        info!(%history, "the controller was restored from a backup");
    }
    match orders.try_send(Work::TellAgain(history.clone())) {
        Ok(()) => *asked = Some(history.clone()),
        // It is said with every reply.
        Err(TrySendError::Full(_)) => {}
        Err(closed) => return Err(closed.into()),
    }
    Ok(())
}

async fn take(agent: &Agent, brought: Orders, orders: &mpsc::Sender<Work>) -> anyhow::Result<()> {
    if let Some(envelope) = brought.trust {
        let current = agent.trust();
        match agent.state.succeed_trust(&current, &envelope) {
            Ok(next) => {
                info!(trust.version = next.version, "trust document in force");
                *lock(&agent.trust) = next;
            }
            Err(error) => error!("trust document refused: {error:#}"),
        }
    }
    agent.wishes.cancel(&brought.cancel);
    if brought.full_report {
        lock(&agent.reported).clear();
    }
    if brought.evaluate || brought.full_report {
        // What waits in a full queue ends with an evaluation, or is one: to wait here would be to hear nothing.
        match orders.try_send(Work::Evaluate) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(closed) => return Err(closed.into()),
        }
    }
    for delivery in brought.tasks {
        info!(task.id = %delivery.task, "task delivered");
        agent.wishes.of(&delivery.task);
        orders.send(Work::Task(Box::new(delivery))).await?;
    }
    Ok(())
}
