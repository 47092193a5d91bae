//! Runs: occurrences of jobs.

use std::collections::BTreeMap;

use aright_shared::api::{Run, RunState};
use aright_shared::id::{JobId, RunId};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskState;
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{millis, millis_opt, parsed, parsed_opt};
use super::{Conn, StoreError, Tx};

const COLUMNS: &str = "id, job, state, saved_at, due_at, expires_at, started_at, ended_at, revision";

/// Without the counts.
fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: parsed(row, 0)?,
        job: parsed(row, 1)?,
        state: parsed(row, 2)?,
        saved: millis(row, 3)?,
        due: millis(row, 4)?,
        expires: millis(row, 5)?,
        started: millis_opt(row, 6)?,
        ended: millis_opt(row, 7)?,
        detail: String::new(),
        assets: Default::default(),
        tasks: 0,
        states: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        revision: row.get::<_, i64>(8)?.try_into().unwrap_or(0),
    })
}

fn counted(conn: &Conn, mut run: Run) -> Result<Run, StoreError> {
    let counts: Vec<(TaskState, Option<Outcome>, u32)> = conn.rows(
        "SELECT state, outcome, COUNT(*) FROM tasks WHERE run = $1 GROUP BY state, outcome",
        params![run.id.as_str()],
        |row| Ok((parsed(row, 0)?, parsed_opt(row, 1)?, row.get(2)?)),
    )?;
    for (state, outcome, count) in counts {
        run.tasks += count;
        *run.states.entry(state).or_default() += count;
        if let Some(outcome) = outcome {
            *run.outcomes.entry(outcome).or_default() += count;
        }
    }
    Ok(run)
}

pub fn insert(
    tx: &Tx<'_>,
    id: &RunId,
    job: &JobId,
    saved: Millis,
    due: Millis,
    expires: Millis,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO runs (id, job, state, saved_at, due_at, expires_at, revision) \
         VALUES ($1, $2, 'pending', $3, $4, $5, 0)",
        params![id.as_str(), job.as_str(), saved.0, due.0, expires.0],
    )?;
    Ok(())
}

pub fn get(conn: &Conn, id: &RunId) -> Result<Option<Run>, StoreError> {
    let found = conn.row(&format!("SELECT {COLUMNS} FROM runs WHERE id = $1"), params![id.as_str()], read)?;
    found.map(|run| counted(conn, run)).transpose()
}

/// Newest first.
pub fn of_job(conn: &Conn, job: &JobId) -> Result<Vec<Run>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM runs WHERE job = $1 ORDER BY id DESC"),
        params![job.as_str()],
        read,
    )?
    .into_iter()
    .map(|run| counted(conn, run))
    .collect()
}

/// Pending ones whose time has come.
pub fn due(conn: &Conn, now: Millis) -> Result<Vec<(RunId, JobId)>, StoreError> {
    conn.readable_rows(
        "SELECT id, job FROM runs WHERE state = 'pending' AND due_at <= $1 ORDER BY due_at, id",
        params![now.0],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?)),
    )
}

/// From `pending` to `executing`; false when it was not pending any more.
pub fn begin(tx: &Tx<'_>, id: &RunId, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET state = 'executing', started_at = $1, revision = revision + 1 \
         WHERE id = $2 AND state = 'pending'",
        params![now.0, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// Notes the wish; a pending run ends at once.
pub fn cancel(tx: &Tx<'_>, job: &JobId, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE runs SET cancelled_at = $1, revision = revision + 1, \
         ended_at = CASE WHEN state = 'pending' THEN $1 ELSE ended_at END, \
         state = CASE WHEN state = 'pending' THEN 'cancelled' ELSE state END \
         WHERE job = $2 AND state IN ('pending', 'executing', 'paused')",
        params![now.0, job.as_str()],
    )?;
    Ok(())
}

/// Ends the executing runs that have no task left to end, and names their jobs.
pub fn finish(tx: &Tx<'_>, now: Millis) -> Result<Vec<(RunId, JobId, RunState)>, StoreError> {
    tx.readable_rows(
        "UPDATE runs SET state = CASE WHEN cancelled_at IS NULL THEN 'completed' ELSE 'cancelled' END, \
         ended_at = $1, revision = revision + 1 \
         WHERE state = 'executing' AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE tasks.run = runs.id AND tasks.state <> 'ended') \
         RETURNING id, job, state",
        params![now.0],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?)),
    )
}

pub fn has_finished(conn: &Conn) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM runs WHERE state = 'executing' AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE tasks.run = runs.id AND tasks.state <> 'ended') LIMIT 1",
        [],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Something of it changed; nothing to note where a task is of no run.
pub fn touch(tx: &Tx<'_>, id: Option<&RunId>) -> Result<(), StoreError> {
    if let Some(id) = id {
        tx.execute("UPDATE runs SET revision = revision + 1 WHERE id = $1", params![id.as_str()])?;
    }
    Ok(())
}

pub fn revision(conn: &Conn, id: &RunId) -> Result<Option<u64>, StoreError> {
    conn.row("SELECT revision FROM runs WHERE id = $1", params![id.as_str()], |row| {
        Ok(row.get::<_, i64>(0)?.try_into().unwrap_or(0))
    })
}
