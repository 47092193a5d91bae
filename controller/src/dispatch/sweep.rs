//! What time does to tasks and runs: leases run out, hosts do not come, agents fall silent, the last
//! task of a run ends.

use std::sync::Arc;

use aright_shared::id::{JobId, RunId};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::time::Millis;

use super::end;
use crate::app::App;
use crate::error::Refused;
use crate::store::tasks::{End, Task};
use crate::store::{Conn, StoreError, Tx, jobs, runs, tasks};

/// What there is to do, by one look that writes nothing.
#[derive(Default)]
pub struct Todo {
    pub due: Vec<(RunId, JobId)>,
    leases: bool,
    overdue: Vec<Task>,
    silent: Vec<Task>,
    finished: bool,
}

impl Todo {
    pub fn is_empty(&self) -> bool {
        self.due.is_empty()
            && !self.leases
            && self.overdue.is_empty()
            && self.silent.is_empty()
            && !self.finished
    }
}

pub fn look(conn: &Conn, now: Millis) -> Result<Todo, StoreError> {
    Ok(Todo {
        due: runs::due(conn, now)?,
        leases: tasks::has_lapsed(conn, now)?,
        overdue: tasks::overdue(conn, now)?,
        silent: tasks::silent(conn, now)?,
        finished: runs::has_finished(conn)?,
    })
}

pub fn move_on(app: &Arc<App>, tx: &Tx<'_>, todo: &Todo, now: Millis) -> Result<(), Refused> {
    requeue(app, tx, now)?;
    for task in &todo.overdue {
        end_if_still(app, tx, task, &undelivered(task), now)?;
    }
    for task in &todo.silent {
        end_if_still(app, tx, task, &interrupted(), now)?;
    }
    for (run, job, state) in runs::finish(tx, now)? {
        tracing::info!(run.id = %run, job.id = %job, state = %state, "a run ended");
        jobs::end_if_done(tx, &job)?;
    }
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
fn end_if_still(app: &Arc<App>, tx: &Tx<'_>, seen: &Task, end: &End, now: Millis) -> Result<(), StoreError> {
    match tasks::get(tx, &seen.id)? {
        Some(task) if task.state == seen.state => end::by_us(app, tx, &task, end, now),
        _ => Ok(()),
    }
}

fn undelivered(task: &Task) -> End {
    End {
        outcome: Outcome::Undelivered,
        refusal: None,
        change: HostChange::None,
        detail: format!(
            "the host did not come before its time expired: look at its agent, then {}",
            task.kind.again()
        ),
    }
}

fn interrupted() -> End {
    End {
        outcome: Outcome::Interrupted,
        refusal: None,
        change: HostChange::Unknown,
        detail: "nothing was heard of it for longer than it can take: look at the host; its agent's report \
                 will replace this"
            .into(),
    }
}
