//! Jobs, with the selection that was frozen when they were saved.

use std::collections::BTreeMap;

use aright_shared::api::{JobState, NewJob};
use aright_shared::digest::Digest;
use aright_shared::id::{AssetId, JobId};
use aright_shared::posture::{Spot, Verdict};
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{json, millis, parsed, parsed_opt};
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
    pub created: Millis,
    pub created_by: String,
}

/// A script of a job, with what the job gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobScript {
    pub digest: Digest,
    pub params: BTreeMap<String, String>,
}

/// What a job works on.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub postures: Vec<Place>,
    /// Every asset of the job, chosen through postures or singly.
    pub assets: Vec<AssetId>,
    pub scripts: Vec<JobScript>,
}

const COLUMNS: &str = "id, name, state, spec, controls, created_at, created_by";

fn read(row: &Row<'_>) -> rusqlite::Result<Job> {
    Ok(Job {
        id: parsed(row, 0)?,
        name: row.get(1)?,
        state: parsed(row, 2)?,
        spec: json(row, 3)?,
        controls: row.get(4)?,
        created: millis(row, 5)?,
        created_by: row.get(6)?,
    })
}

pub fn insert(tx: &Tx<'_>, job: &Job, selection: &Selection) -> Result<(), StoreError> {
    tx.execute(
        &format!("INSERT INTO jobs ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)"),
        params![
            job.id.as_str(),
            job.name,
            job.state.as_str(),
            serde_json::to_string(&job.spec)?,
            job.controls,
            job.created.0,
            job.created_by
        ],
    )?;
    for place in &selection.postures {
        tx.execute(
            "INSERT INTO job_postures (job, asset, policy, control, technology, instance) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            params![
                job.id.as_str(),
                place.asset.as_str(),
                place.policy.as_str(),
                place.spot.control.as_str(),
                place.spot.technology.as_str(),
                place.spot.instance
            ],
        )?;
    }
    for asset in &selection.assets {
        tx.execute(
            "INSERT INTO job_assets (job, asset) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            params![job.id.as_str(), asset.as_str()],
        )?;
    }
    for (script, position) in selection.scripts.iter().zip(0_i64..) {
        tx.execute(
            "INSERT INTO job_scripts (job, position, script, params) VALUES ($1, $2, $3, $4)",
            params![
                job.id.as_str(),
                position,
                script.digest.to_string(),
                serde_json::to_string(&script.params)?
            ],
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

/// A job without a run that is still to come or to end has ended.
pub fn end_if_done(tx: &Tx<'_>, id: &JobId) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE jobs SET state = 'ended' WHERE id = $1 AND NOT EXISTS \
         (SELECT 1 FROM runs WHERE job = $1 AND state IN ('pending', 'executing', 'paused'))",
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

pub fn assets(conn: &Conn, id: &JobId) -> Result<Vec<AssetId>, StoreError> {
    conn.rows("SELECT asset FROM job_assets WHERE job = $1 ORDER BY asset", params![id.as_str()], |row| {
        parsed(row, 0)
    })
}

pub fn scripts(conn: &Conn, id: &JobId) -> Result<Vec<JobScript>, StoreError> {
    conn.rows(
        "SELECT script, params FROM job_scripts WHERE job = $1 ORDER BY position",
        params![id.as_str()],
        |row| Ok(JobScript { digest: parsed(row, 0)?, params: json(row, 1)? }),
    )
}

/// How many postures and assets were chosen.
pub fn counts(conn: &Conn, id: &JobId) -> Result<(u32, u32), StoreError> {
    let found = conn.row(
        "SELECT (SELECT COUNT(*) FROM job_postures WHERE job = $1), \
         (SELECT COUNT(*) FROM job_assets WHERE job = $1)",
        params![id.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    Ok(found.unwrap_or_default())
}
