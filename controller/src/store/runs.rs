//! Runs: occurrences of jobs. Every legal move from state to state is a statement here that changes
//! nothing when the run is elsewhere.

use std::collections::BTreeMap;

use aright_shared::api::{Rollout, Run, RunAssets, RunState};
use aright_shared::id::{JobId, RunId};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskState;
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{json, millis, millis_opt, parsed, parsed_opt};
use super::{Conn, StoreError, Tx};

const COLUMNS: &str = "id, job, state, saved_at, due_at, expires_at, started_at, ended_at, revision, detail, \
     assets, assets_begun, assets_ended, assets_failed, asked_by, local_due";

/// Without the counts of its tasks.
fn read(row: &Row<'_>) -> rusqlite::Result<Run> {
    Ok(Run {
        id: parsed(row, 0)?,
        job: parsed(row, 1)?,
        state: parsed(row, 2)?,
        asked_by: row.get(14)?,
        saved: millis(row, 3)?,
        due: millis(row, 4)?,
        expires: millis(row, 5)?,
        local_due: parsed_opt(row, 15)?,
        started: millis_opt(row, 6)?,
        ended: millis_opt(row, 7)?,
        detail: row.get(9)?,
        assets: RunAssets {
            all: row.get(10)?,
            begun: row.get(11)?,
            ended: row.get(12)?,
            failed: row.get(13)?,
        },
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

/// When a run is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Times {
    pub saved: Millis,
    pub due: Millis,
    pub expires: Millis,
    /// Where each asset goes by its own clock: what that shows then.
    pub local_due: Option<jiff::civil::DateTime>,
}

/// A new one, pending; of the schedule, or asked for by somebody.
pub fn insert(
    tx: &Tx<'_>,
    id: &RunId,
    job: &JobId,
    times: &Times,
    asked_by: Option<&str>,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO runs (id, job, state, saved_at, due_at, expires_at, local_due, asked_by, revision) \
         VALUES ($1, $2, 'pending', $3, $4, $5, $6, $7, 0)",
        params![
            id.as_str(),
            job.as_str(),
            times.saved.0,
            times.due.0,
            times.expires.0,
            times.local_due.map(|local| local.to_string()),
            asked_by
        ],
    )?;
    Ok(())
}

/// Another time for a pending one.
pub fn move_pending(tx: &Tx<'_>, id: &RunId, times: &Times) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE runs SET saved_at = $1, due_at = $2, expires_at = $3, local_due = $4, \
         revision = revision + 1 WHERE id = $5 AND state = 'pending'",
        params![
            times.saved.0,
            times.due.0,
            times.expires.0,
            times.local_due.map(|local| local.to_string()),
            id.as_str()
        ],
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

/// Those of a job to which something may still happen, without the counts of their tasks; newest first.
pub fn open(conn: &Conn, job: &JobId) -> Result<Vec<Run>, StoreError> {
    conn.rows(
        &format!(
            "SELECT {COLUMNS} FROM runs WHERE job = $1 AND state IN ('pending', 'executing', 'paused') \
             ORDER BY id DESC"
        ),
        params![job.as_str()],
        read,
    )
}

/// Pending ones whose time has come.
pub fn due(conn: &Conn, now: Millis) -> Result<Vec<(RunId, JobId)>, StoreError> {
    conn.readable_rows(
        "SELECT id, job FROM runs WHERE state = 'pending' AND due_at <= $1 ORDER BY due_at, id",
        params![now.0],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?)),
    )
}

/// From `pending` to `executing`; false when it is not pending any more, or not due. What begins late waits for its
/// hosts as long as it would have.
pub fn begin(tx: &Tx<'_>, id: &RunId, rollout: &Rollout, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET state = 'executing', started_at = $1, expires_at = expires_at + ($1 - due_at), \
         rollout = $2, revision = revision + 1 WHERE id = $3 AND state = 'pending' AND due_at <= $1",
        params![now.0, serde_json::to_string(rollout)?, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// Why it ends early, or how it differs from what was wished.
pub fn set_detail(tx: &Tx<'_>, id: &RunId, detail: &str) -> Result<(), StoreError> {
    tx.execute("UPDATE runs SET detail = $1 WHERE id = $2", params![detail, id.as_str()])?;
    touch(tx, Some(id))
}

/// Notes the wish; a pending run ends at once. False when there was nothing to cancel.
pub fn cancel(tx: &Tx<'_>, id: &RunId, why: &str, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET cancelled_at = $1, revision = revision + 1, detail = $2, \
         ended_at = CASE WHEN state = 'pending' THEN $1 ELSE ended_at END, \
         state = CASE WHEN state = 'pending' THEN 'cancelled' WHEN state = 'paused' THEN 'executing' ELSE state END \
         WHERE id = $3 AND state IN ('pending', 'executing', 'paused') AND cancelled_at IS NULL",
        params![now.0, why, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// `executing` → `paused`; false when it was not executing, or only waits for its last tasks to end.
pub fn pause(tx: &Tx<'_>, id: &RunId, who: &str, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET state = 'paused', paused_at = $1, detail = $2, revision = revision + 1 \
         WHERE id = $3 AND state = 'executing' AND halted_at IS NULL AND cancelled_at IS NULL",
        params![now.0, format!("paused by {who}"), id.as_str()],
    )?;
    Ok(changed == 1)
}

/// `paused` → `executing`; what it still had to wait for hosts it has again.
pub fn resume(tx: &Tx<'_>, id: &RunId, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET state = 'executing', expires_at = expires_at + ($1 - paused_at), paused_at = NULL, \
         detail = CASE WHEN halted_at IS NULL THEN '' ELSE detail END, revision = revision + 1 WHERE id = $2 AND state = 'paused'",
        params![now.0, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// Gives back to all that wait for hosts what was lost since, as to one that was paused.
pub fn extend(tx: &Tx<'_>, since: Millis, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE runs SET expires_at = expires_at + ($1 - $2), revision = revision + 1 WHERE state = 'executing'",
        params![now.0, since.0],
    )?;
    Ok(())
}

/// Notes why nothing more of it is to begin; the first reason stands.
pub fn halt(tx: &Tx<'_>, id: &RunId, why: &str, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE runs SET halted_at = $1, detail = $2, revision = revision + 1 \
         WHERE id = $3 AND halted_at IS NULL AND cancelled_at IS NULL AND expired_at IS NULL AND state IN ('executing', 'paused')",
        params![now.0, why, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// Notes that hosts did not come in time.
pub fn expire(tx: &Tx<'_>, id: &RunId, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE runs SET expired_at = COALESCE(expired_at, $1), revision = revision + 1 WHERE id = $2",
        params![now.0, id.as_str()],
    )?;
    Ok(())
}

/// Ends the runs under way that have no task left to end, and names their jobs.
pub fn finish(tx: &Tx<'_>, now: Millis) -> Result<Vec<(RunId, JobId, RunState)>, StoreError> {
    tx.readable_rows(
        "UPDATE runs SET state = CASE WHEN cancelled_at IS NOT NULL THEN 'cancelled' \
         WHEN halted_at IS NOT NULL THEN 'halted' WHEN expired_at IS NOT NULL THEN 'expired' \
         ELSE 'completed' END, ended_at = $1, revision = revision + 1 \
         WHERE state IN ('executing', 'paused') AND NOT EXISTS \
         (SELECT 1 FROM tasks WHERE tasks.run = runs.id AND tasks.state <> 'ended') \
         RETURNING id, job, state",
        params![now.0],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?, parsed(row, 2)?)),
    )
}

pub fn has_finished(conn: &Conn) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM runs WHERE state IN ('executing', 'paused') AND NOT EXISTS \
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

/// How a run goes on, and how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub rollout: Rollout,
    pub assets: RunAssets,
    /// Of those ended: not failed, and something went well.
    pub well: u32,
}

pub fn standing(conn: &Conn, id: &RunId) -> Result<Option<Standing>, StoreError> {
    conn.row(
        "SELECT rollout, assets, assets_begun, assets_ended, assets_failed, assets_well FROM runs WHERE id = $1",
        params![id.as_str()],
        |row| {
            Ok(Standing {
                rollout: json(row, 0)?,
                assets: RunAssets {
                    all: row.get(1)?,
                    begun: row.get(2)?,
                    ended: row.get(3)?,
                    failed: row.get(4)?,
                },
                well: row.get(5)?,
            })
        },
    )
}

/// Executing ones that let their assets begin a few at a time, while some wait.
pub fn rolling(conn: &Conn) -> Result<Vec<RunId>, StoreError> {
    conn.readable_rows(
        "SELECT id FROM runs WHERE state = 'executing' AND rollout <> '{}' AND assets_begun < assets \
         AND halted_at IS NULL AND cancelled_at IS NULL",
        [],
        |row| parsed(row, 0),
    )
}
