//! One thing after the other: evaluations, tasks, results that wait. All of it on the host thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use aright_shared::client::ClientError;
use aright_shared::library::Library;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::{Observation, Spot};
use aright_shared::task::{Delivery, TaskReport};
use aright_shared::time::{Clock as _, WallClock};
use aright_shared::wire::{Report, observations_digest};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{error, info, warn};

use super::obey::{self, Workshop};
use super::{Agent, lock};
use crate::evaluate::{Evaluation, Evaluator};
use crate::facts;
use crate::link::Backoff;
use crate::probe::View;
use crate::root::Root;

/// What the check-in brought.
#[derive(Debug)]
pub enum Work {
    Evaluate,
    Task(Box<Delivery>),
}

/// How often the spool is looked through for results at least, and how seldom one that waits is offered again.
const OFFER_EVERY: Duration = Duration::from_secs(30);

pub async fn run(agent: Arc<Agent>, mut inbox: mpsc::Receiver<Work>) -> anyhow::Result<()> {
    let workshop = Arc::new(Workshop::open(&agent)?);
    let every = Duration::from_secs(agent.config.evaluate_every_s);
    // What an earlier life left half-done comes first: an undo that waits is the most urgent work there is.
    let resumed = obey::recover(&agent, &workshop).await?;
    for delivery in &resumed {
        agent.wishes.of(&delivery.task);
    }
    let mut confinement = None;
    let mut owed = evaluate(&agent, &mut confinement).await.is_err();
    for delivery in resumed {
        owed |= task(&agent, &workshop, delivery).await?.is_err();
    }
    let mut offers = Backoff::default();
    let mut next_evaluation = Instant::now() + every;
    loop {
        // Who watches a run waits for the result: a controller that restarts is offered it as soon as it is back.
        // What the host looks like goes first: a result that says fixed beside a posture that says fail helps nobody.
        owed |= !workshop.spool.undone_since()?.is_empty();
        owed = owed && evaluate(&agent, &mut confinement).await.is_err();
        let pause = if send_results(&agent, &workshop).await? && !owed {
            offers.reset();
            OFFER_EVERY
        } else {
            offers.pause().min(OFFER_EVERY)
        };
        tokio::select! {
            work = inbox.recv() => match work {
                Some(Work::Evaluate) => owed |= evaluate(&agent, &mut confinement).await.is_err(),
                Some(Work::Task(delivery)) => owed |= task(&agent, &workshop, *delivery).await?.is_err(),
                None => return Ok(()),
            },
            () = sleep_until(next_evaluation) => {
                owed |= evaluate(&agent, &mut confinement).await.is_err();
                next_evaluation = Instant::now() + every;
                workshop.prune(&agent.config);
            }
            () = sleep(pause) => {}
        }
    }
}

/// Obeys a task, then tells what the host looks like, then what became of the task: whoever sees a
/// result sees the posture that it made.
async fn task(
    agent: &Arc<Agent>,
    workshop: &Arc<Workshop>,
    delivery: Delivery,
) -> anyhow::Result<Result<(), Owed>> {
    if let Some(refused) = obey::obey(agent, workshop, delivery).await? {
        send_until_known(agent, &refused).await;
    }
    Ok(evaluate(agent, &mut Some(())).await)
}

/// The controller does not have what was seen: it is to be looked at and told anew.
struct Owed;

/// Evaluates and reports what changed since the controller last said that it has it. `known` is set once
/// facts were reported by this process.
async fn evaluate(agent: &Arc<Agent>, known: &mut Option<()>) -> Result<(), Owed> {
    if agent.is_revoked() {
        return Ok(());
    }
    let library = agent.library;
    let facts = match known {
        Some(()) => None,
        None => match agent.host.call(obey::confinement).await {
            Ok(support) => Some(facts::facts(support)),
            Err(error) => {
                error!("facts: {error:#}");
                return Err(Owed);
            }
        },
    };
    let seen = agent.host.call(move || look(library)).await.and_then(|seen| Ok(seen?));
    let evaluation = match seen {
        Ok(evaluation) => evaluation,
        Err(error) => {
            error!("evaluation: {error:#}");
            return Err(Owed);
        }
    };
    let with_facts = facts.is_some();
    let mut backoff = Backoff::default();
    // A report that does not get through is made anew from what is true by then: nothing queues up.
    for _ in 0..5 {
        let report = report(agent, &evaluation, facts.clone());
        if report.is_empty() && !with_facts {
            return Ok(());
        }
        match agent.link().report(&report.wire).await {
            Ok(reply) => {
                info!(observations = report.wire.observations.len(), full = report.wire.full, "reported");
                let mut reported = lock(&agent.reported);
                if reply.in_step {
                    *reported = report.after;
                    *known = Some(());
                    return Ok(());
                }
                reported.clear();
            }
            // Said again, it would be refused again; the next evaluation is another.
            Err(error) if error.is_refusal() => {
                error!("report: {error}");
                return Ok(());
            }
            Err(error) => {
                warn!("report: {error}");
                sleep(backoff.pause()).await;
            }
        }
    }
    Err(Owed)
}

fn look(library: &Library) -> std::io::Result<Evaluation> {
    let root = Root::live()?;
    Ok(Evaluator::new(library, &root, &View::Live, WallClock.now()).all())
}

struct Made {
    wire: Report,
    after: BTreeMap<Spot, Observation>,
}

impl Made {
    fn is_empty(&self) -> bool {
        !self.wire.full && self.wire.observations.is_empty() && self.wire.gone.is_empty()
    }
}

/// What the controller does not have yet; everything where it has nothing.
fn report(agent: &Agent, evaluation: &Evaluation, facts: Option<aright_shared::wire::Facts>) -> Made {
    let reported = lock(&agent.reported).clone();
    let after: BTreeMap<Spot, Observation> =
        evaluation.observations.iter().map(|one| (one.spot.clone(), one.clone())).collect();
    let full = reported.is_empty();
    let is_new = |one: &&Observation| {
        let same = |old: &Observation| old.reading == one.reading && old.managed == one.managed;
        !reported.get(&one.spot).is_some_and(same)
    };
    let observations = evaluation.observations.iter().filter(|one| full || is_new(one)).cloned().collect();
    let gone: BTreeSet<_> = reported.keys().filter(|spot| !after.contains_key(*spot)).cloned().collect();
    let wire = Report {
        full,
        facts,
        technologies: evaluation.technologies.clone(),
        observations,
        not_applicable: evaluation.not_applicable.clone(),
        gone: gone.into_iter().collect(),
        digest: observations_digest(after.values()),
        at: WallClock.now(),
        clock: agent.clock_reading(),
    };
    Made { wire, after }
}

/// Offers every result that waits, then every undo since; and tells whether none is left. Those that do not get
/// through stay on disk for the next time.
async fn send_results(agent: &Arc<Agent>, workshop: &Workshop) -> anyhow::Result<bool> {
    if agent.is_revoked() {
        return Ok(true);
    }
    let mut all_known = true;
    for report in workshop.spool.waiting()? {
        match agent.link().result(&report).await {
            Ok(()) => {
                info!(task.id = %report.task, outcome = %report.outcome, change = %report.change, "result delivered");
                workshop.spool.acknowledge(&report.task)?;
            }
            // It was understood and is not wanted: sending it again would change nothing.
            Err(error) if is_unwanted(&error) => {
                error!(task.id = %report.task, "result refused: {error}");
                workshop.spool.acknowledge(&report.task)?;
            }
            Err(error) => {
                warn!(task.id = %report.task, "result waits: {error}");
                // One that the controller cannot take now holds up no other; one that was not reached does.
                all_known = false;
                if error.problem().is_none() {
                    return Ok(false);
                }
            }
        }
    }
    // What was undone is known by its result: that goes first.
    Ok(all_known && send_undone(agent, workshop).await?)
}

async fn send_undone(agent: &Arc<Agent>, workshop: &Workshop) -> anyhow::Result<bool> {
    for (task, undone) in workshop.spool.undone_since()? {
        match agent.link().undone(&task, &undone).await {
            Ok(()) => info!(task.id = %task, change = %undone.change, "told that it was undone here"),
            Err(error) if is_unwanted(&error) => error!(task.id = %task, "undo refused: {error}"),
            Err(error) => {
                warn!(task.id = %task, "undo waits: {error}");
                return Ok(false);
            }
        }
        workshop.spool.acknowledge_undone(&task)?;
    }
    Ok(true)
}

/// Only the controller's own words count: a proxy's page for 404 is no reason to drop a result.
fn is_unwanted(error: &ClientError) -> bool {
    error
        .problem()
        .is_some_and(|problem| error.is_answer() && matches!(problem.status, 400 | 404 | 409 | 410 | 422))
}

/// A refusal that has no journal: a replay must not touch the one of its namesake.
async fn send_until_known(agent: &Arc<Agent>, report: &TaskReport) {
    let mut backoff = Backoff::default();
    for _ in 0..8 {
        match agent.link().result(report).await {
            Ok(()) => return,
            Err(error) if is_unwanted(&error) => return,
            Err(error) => {
                warn!(task.id = %report.task, "refusal waits: {error}");
                sleep(backoff.pause()).await;
            }
        }
    }
}

/// A report that says only why nothing was done.
pub fn refusal(task: &aright_shared::id::TaskId, reason: Refusal, detail: String) -> TaskReport {
    let now = WallClock.now();
    let report = TaskReport::of(task, Outcome::Refused, HostChange::None, detail, now, now);
    TaskReport { refusal: Some(reason), ..report }
}
