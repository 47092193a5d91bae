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
use crate::store::jobs::Job;
use crate::store::tasks::{End, Task};
use crate::store::{Conn, StoreError, Tx, jobs, run_assets, runs, tasks};

/// What there is to do, by one look that writes nothing.
#[derive(Default)]
pub struct Todo {
    pub occurring: Vec<Job>,
    pub due: Vec<(RunId, JobId)>,
    leases: bool,
    local: bool,
    overdue: Vec<Task>,
    silent: Vec<Task>,
    /// Whose turn it is, and that are not there or run nothing.
    absent: Vec<(RunId, AssetId)>,
    finished: bool,
    /// Who may begin, in runs that let some begin at a time.
    pub next: Vec<AssetId>,
}

impl Todo {
    pub fn is_empty(&self) -> bool {
        self.occurring.is_empty() && self.due.is_empty() && !self.writes()
    }

    /// Whether [`move_on`] has something to do.
    pub fn writes(&self) -> bool {
        self.leases
            || self.local
            || self.finished
            || !(self.overdue.is_empty() && self.silent.is_empty() && self.absent.is_empty())
    }
}

pub fn look(app: &App, conn: &Conn, now: Millis) -> Result<Todo, StoreError> {
    let stopped = stop::current(conn)?.is_some();
    // While we were away nobody could speak.
    let may_be_silent = now.since(app.started) >= i64::from(app.settings.dispatch.silence_s) * SECOND;
    let live = |asset: &AssetId| app.presence.agent(asset).map(|live| live.state().clone());
    let mut absent = run_assets::idle(conn)?;
    absent.retain(|(_, asset)| {
        !live(asset).is_some_and(|live| live.connected(now) && live.reasons().is_empty())
    });
    // One that was asked and has not come holds up no other.
    let waits = |asset: &AssetId| live(asset).is_some_and(|live| live.waits() && !live.work);
    Ok(Todo {
        occurring: jobs::with_next(conn, now)?,
        due: if stopped { Vec::new() } else { runs::due(conn, now)? },
        leases: tasks::has_lapsed(conn, now)?,
        local: tasks::has_now_due(conn, now)?,
        overdue: tasks::overdue(conn, now)?,
        silent: if may_be_silent { tasks::silent(conn, now)? } else { Vec::new() },
        absent,
        finished: runs::has_finished(conn)?,
        next: if stopped { Vec::new() } else { next(conn, waits, now)? },
    })
}

/// As many of each run's waiting assets as it has room for; those that would take a task now.
fn next(conn: &Conn, waits: impl Fn(&AssetId) -> bool, now: Millis) -> Result<Vec<AssetId>, StoreError> {
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

pub fn move_on(app: &Arc<App>, tx: &Tx<'_>, todo: &Todo, now: Millis) -> Result<(), Refused> {
    requeue(app, tx, now)?;
    let local = if todo.local { tasks::now_due(tx, now)? } else { Vec::new() };
    for task in &todo.overdue {
        if end_if_still(app, tx, task, &undelivered(task), now)?
            && let Some(run) = task.run()
        {
            runs::expire(tx, run, now)?;
        }
    }
    for task in &todo.silent {
        end_if_still(app, tx, task, &interrupted(), now)?;
    }
    for (run, asset) in &todo.absent {
        run_assets::yield_turn(tx, run, asset)?;
    }
    for (run, job, state) in runs::finish(tx, now)? {
        tracing::info!(run.id = %run, job.id = %job, state = %state, "a run ended");
        jobs::end_if_done(tx, &job)?;
    }
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

/// Between the look and now its agent may have spoken.
fn end_if_still(
    app: &Arc<App>,
    tx: &Tx<'_>,
    seen: &Task,
    end: &End,
    now: Millis,
) -> Result<bool, StoreError> {
    match tasks::get(tx, &seen.id)? {
        Some(task) if task.state == seen.state => {
            end::by_us(app, tx, &task, end, now)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn undelivered(task: &Task) -> End {
    let again = task.kind.again();
    End::undelivered(format!(
        "the host did not come before its time expired: look at its agent, then {again}"
    ))
}

fn interrupted() -> End {
    let detail = "nothing was heard of it for longer than it can take: look at the host; its agent's report will \
                  replace this";
    End::interrupted(HostChange::Unknown, detail)
}
