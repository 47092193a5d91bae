//! What time does to jobs, runs and tasks: occurrences come, leases run out, hosts do not come, agents fall
//! silent, the next assets may begin, the last task of a run ends.

use std::sync::Arc;

use aright_shared::id::{AssetId, JobId, RunId};
use aright_shared::outcome::HostChange;
use aright_shared::time::{Millis, SECOND};

use super::{end, rollout};
use crate::app::App;
use crate::error::Refused;
use crate::jobs::stop;
use crate::presence::LiveState;
use crate::store::tasks::{End, Task};
use crate::store::{Conn, StoreError, Tx, jobs, run_assets, runs, tasks};

/// What there is to do, by one look that writes nothing. Between it and the write everything may have
/// changed: whoever writes looks again.
#[derive(Default)]
pub struct Todo {
    pub occurring: Vec<JobId>,
    pub due: Vec<(RunId, JobId)>,
    /// Whether [`move_on`] has something to do.
    pub moves: bool,
    /// Who may begin, in runs that let some begin at a time.
    pub next: Vec<AssetId>,
}

pub fn look(app: &App, conn: &Conn, now: Millis) -> Result<Todo, StoreError> {
    let stopped = stop::current(conn)?.is_some();
    Ok(Todo {
        occurring: jobs::with_next(conn, now)?,
        due: if stopped { Vec::new() } else { runs::due(conn, now)? },
        moves: tasks::has_lapsed(conn, now)?
            || tasks::has_now_due(conn, now)?
            || runs::has_finished(conn)?
            || !overdue(conn, now)?.is_empty()
            || !silent(app, conn, now)?.is_empty()
            || !absent(app, conn, now)?.is_empty(),
        next: if stopped { Vec::new() } else { next(app, conn, now)? },
    })
}

/// Those that have waited long enough. While all remediation is stopped what a run has queued waits without end.
fn overdue(conn: &Conn, now: Millis) -> Result<Vec<Task>, StoreError> {
    let mut overdue = tasks::overdue(conn, now)?;
    if stop::current(conn)?.is_some() {
        overdue.retain(|task| task.run().is_none());
    }
    Ok(overdue)
}

/// Running ones of which nothing was heard. While we were away nobody could speak.
fn silent(app: &App, conn: &Conn, now: Millis) -> Result<Vec<Task>, StoreError> {
    if now.since(app.started) < i64::from(app.settings.dispatch.silence_s) * SECOND {
        return Ok(Vec::new());
    }
    tasks::silent(conn, now)
}

/// Whose turn it is, and that are not there.
fn absent(app: &App, conn: &Conn, now: Millis) -> Result<Vec<(RunId, AssetId)>, StoreError> {
    let mut idle = run_assets::idle(conn)?;
    idle.retain(|(_, asset)| {
        !live(app, asset).is_some_and(|live| live.connected(now) && live.reasons().is_empty())
    });
    Ok(idle)
}

fn live(app: &App, asset: &AssetId) -> Option<LiveState> {
    app.presence.agent(asset).map(|live| live.state().clone())
}

/// As many of each run's waiting assets as it has room for; those that would take a task now.
fn next(app: &App, conn: &Conn, now: Millis) -> Result<Vec<AssetId>, StoreError> {
    // One that was asked and has not come holds up no other.
    let waits = |asset: &AssetId| live(app, asset).is_some_and(|live| live.waits() && !live.work);
    let mut next = Vec::new();
    for run in runs::rolling(conn)? {
        let Some(standing) = runs::standing(conn, &run)? else { continue };
        let room = rollout::room(&standing) as usize;
        if room > 0 {
            next.extend(run_assets::waiting(conn, &run, now)?.into_iter().filter(&waits).take(room));
        }
    }
    Ok(next)
}

pub fn move_on(app: &Arc<App>, tx: &Tx<'_>, now: Millis) -> Result<(), Refused> {
    requeue(app, tx, now)?;
    let local = tasks::now_due(tx, now)?;
    for task in overdue(tx, now)? {
        let end = undelivered(app, tx, &task, now)?;
        // First: what ends for want of time is no failure that halts.
        if let Some(run) = task.run() {
            runs::expire(tx, run, now)?;
        }
        end::by_us(app, tx, &task, &end, now)?;
    }
    for task in silent(app, tx, now)? {
        end::by_us(app, tx, &task, &interrupted(), now)?;
    }
    for (run, asset) in absent(app, tx, now)? {
        run_assets::yield_turn(tx, &run, &asset)?;
    }
    end::finished(tx, now)?;
    let shared = app.clone();
    tx.on_commit(move || shared.presence.offer_work(&local));
    Ok(())
}

fn requeue(app: &Arc<App>, tx: &Tx<'_>, now: Millis) -> Result<(), StoreError> {
    let lapsed = tasks::requeue(tx, now)?;
    for (run, _) in &lapsed {
        runs::touch(tx, run.as_ref())?;
    }
    let app = app.clone();
    tx.on_commit(move || app.presence.offer_work(lapsed.iter().map(|(_, asset)| asset)));
    Ok(())
}

fn undelivered(app: &App, conn: &Conn, task: &Task, now: Millis) -> Result<End, StoreError> {
    let was_there = live(app, &task.asset).is_some_and(|live| live.connected(now));
    let had_turn = match task.run() {
        Some(run) => run_assets::has_begun(conn, run, &task.asset)?,
        None => true,
    };
    let again = task.kind.again();
    Ok(End::undelivered(match was_there && !had_turn {
        true => format!("its turn did not come before the run expired: give it more time, then {again}"),
        false => format!("the host did not come before its time expired: look at its agent, then {again}"),
    }))
}

fn interrupted() -> End {
    let detail = "nothing was heard of it for longer than it can take: look at the host; its agent's report will \
                  replace this";
    End::interrupted(HostChange::Unknown, detail)
}
