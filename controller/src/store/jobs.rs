//! Jobs, with what they chose.

use std::collections::BTreeMap;

use aright_shared::api::{JobState, NewJob};
use aright_shared::digest::Digest;
use aright_shared::id::JobId;
use aright_shared::posture::{Spot, Verdict};
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{json, millis, millis_opt, parsed, parsed_opt};
use super::postures::Place;
use super::{Conn, StoreError, Tx};

#[derive(Clone, Debug)]
pub struct Job {
    pub id: JobId,
    pub name: String,
    pub state: JobState,
    /// As it was asked for.
    pub spec: NewJob,
    pub controls: u32,
    pub assets: u32,
    pub created: Millis,
    pub created_by: String,
    pub next: Option<Next>,
}

/// A script of a job, with what the job gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobScript {
    pub digest: Digest,
    pub params: BTreeMap<String, String>,
}

/// What a job works on, as it was chosen when it was saved, or when its last run began.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub postures: Vec<Place>,
    pub scripts: Vec<JobScript>,
    pub controls: u32,
    pub assets: u32,
}

/// The occurrence after those that have a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    pub due: Millis,
    /// When its run is to be made.
    pub run: Millis,
}

const COLUMNS: &str =
    "id, name, state, spec, controls, assets, created_at, created_by, next_due_at, next_run_at";

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    let next = match (millis_opt(row, 8)?, millis_opt(row, 9)?) {
        (Some(due), Some(run)) => Some(Next { due, run }),
        _ => None,
    };
    Ok(Job {
        id: parsed(row, 0)?,
        name: row.get(1)?,
        state: parsed(row, 2)?,
        spec: json(row, 3)?,
        controls: row.get(4)?,
        assets: row.get(5)?,
        created: millis(row, 6)?,
        created_by: row.get(7)?,
        next,
    })
}

/// A new one, without its selection.
pub fn insert(tx: &Tx<'_>, job: &Job) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO jobs (id, name, state, spec, controls, assets, created_at, created_by, \
         next_due_at, next_run_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            job.id.as_str(),
            job.name,
            job.state.as_str(),
            serde_json::to_string(&job.spec)?,
            job.controls,
            job.assets,
            job.created.0,
            job.created_by,
            job.next.map(|next| next.due.0),
            job.next.map(|next| next.run.0)
        ],
    )?;
    Ok(())
}

/// As it is asked for now.
pub fn set_spec(tx: &Tx<'_>, id: &JobId, spec: &NewJob) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE jobs SET name = $1, spec = $2 WHERE id = $3",
        params![spec.name, serde_json::to_string(spec)?, id.as_str()],
    )?;
    Ok(())
}

pub fn set_next(tx: &Tx<'_>, id: &JobId, next: Option<Next>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE jobs SET next_due_at = $1, next_run_at = $2 WHERE id = $3",
        params![next.map(|next| next.due.0), next.map(|next| next.run.0), id.as_str()],
    )?;
    Ok(())
}

/// Active ones with an occurrence whose run is to be made.
pub fn with_next(conn: &Conn, now: Millis) -> Result<Vec<JobId>, StoreError> {
    conn.readable_rows(
        "SELECT id FROM jobs WHERE next_run_at <= $1 AND state = 'active' ORDER BY next_run_at, id",
        params![now.0],
        |row| parsed(row, 0),
    )
}

/// In place of what was chosen before.
pub fn select(tx: &Tx<'_>, id: &JobId, selection: &Selection) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE jobs SET controls = $1, assets = $2 WHERE id = $3",
        params![selection.controls, selection.assets, id.as_str()],
    )?;
    tx.execute("DELETE FROM job_postures WHERE job = $1", params![id.as_str()])?;
    for place in &selection.postures {
        tx.execute(
            "INSERT INTO job_postures (job, asset, policy, control, technology, instance) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            params![
                id.as_str(),
                place.asset.as_str(),
                place.policy.as_str(),
                place.spot.control.as_str(),
                place.spot.technology.as_str(),
                place.spot.instance
            ],
        )?;
    }
    tx.execute("DELETE FROM job_scripts WHERE job = $1", params![id.as_str()])?;
    for (script, position) in selection.scripts.iter().zip(0_i64..) {
        tx.execute(
            "INSERT INTO job_scripts (job, position, script, params) VALUES ($1, $2, $3, $4)",
            params![id.as_str(), position, script.digest.to_string(), serde_json::to_string(&script.params)?],
        )?;
    }
    Ok(())
}

pub fn get(conn: &Conn, id: &JobId) -> Result<Option<Job>, StoreError> {
    conn.row(&format!("SELECT {COLUMNS} FROM jobs WHERE id = $1"), params![id.as_str()], read)
}

/// Newest first, below `before`.
pub fn list(conn: &Conn, before: Option<&str>, limit: u32) -> Result<Vec<Job>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM jobs WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2"),
        params![before, limit],
        read,
    )
}

pub fn set_state(tx: &Tx<'_>, id: &JobId, state: JobState) -> Result<(), StoreError> {
    tx.execute("UPDATE jobs SET state = $1 WHERE id = $2", params![state.as_str(), id.as_str()])?;
    Ok(())
}

/// An active job with nothing to come has ended: no run, and no occurrence.
pub fn end_if_done(tx: &Tx<'_>, id: &JobId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE jobs SET state = 'ended' WHERE id = $1 AND state = 'active' AND next_due_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM runs WHERE job = $1 AND state IN ('pending', 'executing', 'paused'))",
        params![id.as_str()],
    )?;
    Ok(())
}

/// The places chosen, each with its verdict of now, if there still is one.
pub fn postures(conn: &Conn, id: &JobId) -> Result<Vec<(Place, Option<Verdict>)>, StoreError> {
    conn.rows(
        "SELECT j.asset, j.policy, j.control, j.technology, j.instance, p.status \
         FROM job_postures j LEFT JOIN postures p ON p.asset = j.asset AND p.policy = j.policy \
         AND p.control = j.control AND p.technology = j.technology AND p.instance = j.instance \
         WHERE j.job = $1 ORDER BY j.asset, j.control, j.technology, j.instance, j.policy",
        params![id.as_str()],
        |row| {
            let spot = Spot { control: parsed(row, 2)?, technology: parsed(row, 3)?, instance: row.get(4)? };
            Ok((Place { asset: parsed(row, 0)?, policy: parsed(row, 1)?, spot }, parsed_opt(row, 5)?))
        },
    )
}

pub fn scripts(conn: &Conn, id: &JobId) -> Result<Vec<JobScript>, StoreError> {
    conn.rows(
        "SELECT script, params FROM job_scripts WHERE job = $1 ORDER BY position",
        params![id.as_str()],
        |row| Ok(JobScript { digest: parsed(row, 0)?, params: json(row, 1)? }),
    )
}

/// How many postures were chosen.
pub fn count_postures(conn: &Conn, id: &JobId) -> Result<u32, StoreError> {
    let found =
        conn.row("SELECT COUNT(*) FROM job_postures WHERE job = $1", params![id.as_str()], |row| row.get(0))?;
    Ok(found.unwrap_or_default())
}
