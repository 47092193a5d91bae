//! Tasks: one script on one asset, in a run or asked for by a person. Every legal move from state to state is a statement
//! here that changes nothing when the task is elsewhere.

use std::collections::BTreeMap;

use aright_shared::api::TaskFilter;
use aright_shared::digest::Digest;
use aright_shared::envelope::Envelope;
use aright_shared::id::{AssetId, JobId, RunId, TaskId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{Target, TaskKind, TaskReport, TaskState};
use aright_shared::time::Millis;
use aright_shared::values::Resolved;
use rusqlite::{Row, params};

use super::conn::{json, millis, millis_opt, parsed, parsed_opt};
use super::filter::Where;
use super::{Conn, StoreError, Tx};

#[derive(Clone, Debug)]
pub struct Task {
    pub id: TaskId,
    pub kind: TaskKind,
    pub cause: Cause,
    pub undo_of: Option<TaskId>,
    pub asset: AssetId,
    pub script: Digest,
    /// Its place among the run's tasks on the asset.
    pub position: u32,
    pub params: BTreeMap<String, String>,
    pub targets: Vec<Target>,
    pub timeout_ms: i64,
    /// Not delivered earlier, where its host goes by its own clock.
    pub not_before: Option<Millis>,
    /// Of its order, once there was one.
    pub nonce: Option<String>,
    pub state: TaskState,
    pub end: Option<End>,
    pub queued: Millis,
    pub delivered: Option<Millis>,
    pub running: Option<Millis>,
    pub ended: Option<Millis>,
}

/// Why there is a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    Run {
        job: JobId,
        run: RunId,
    },
    /// A person's wish for one host: it waits for nothing but its host, until it expires.
    Person {
        name: String,
        expires: Millis,
    },
}

impl Task {
    /// A new one, waiting for its host.
    pub fn queued(
        kind: TaskKind,
        cause: Cause,
        asset: &AssetId,
        script: Digest,
        timeout_ms: i64,
        resolved: Resolved,
        now: Millis,
    ) -> Self {
        Self {
            id: TaskId::new(),
            kind,
            cause,
            undo_of: None,
            asset: asset.clone(),
            script,
            position: 0,
            params: resolved.params,
            targets: resolved.targets,
            timeout_ms,
            not_before: None,
            nonce: None,
            state: TaskState::Queued,
            end: None,
            queued: now,
            delivered: None,
            running: None,
            ended: None,
        }
    }

    pub fn job(&self) -> Option<&JobId> {
        match &self.cause {
            Cause::Run { job, .. } => Some(job),
            Cause::Person { .. } => None,
        }
    }

    pub fn run(&self) -> Option<&RunId> {
        match &self.cause {
            Cause::Run { run, .. } => Some(run),
            Cause::Person { .. } => None,
        }
    }

    pub fn asked_by(&self) -> Option<&str> {
        match &self.cause {
            Cause::Run { .. } => None,
            Cause::Person { name, .. } => Some(name),
        }
    }
}

/// What became of it, in short; [`TaskReport`] has the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub outcome: Outcome,
    pub refusal: Option<Refusal>,
    pub change: HostChange,
    pub detail: String,
}

impl End {
    /// Of a task of which nothing happened on its host.
    fn of(outcome: Outcome, detail: impl Into<String>) -> Self {
        Self { outcome, refusal: None, change: HostChange::None, detail: detail.into() }
    }

    pub fn refused(refusal: Refusal, detail: impl Into<String>) -> Self {
        Self { refusal: Some(refusal), ..Self::of(Outcome::Refused, detail) }
    }

    pub fn cancelled(detail: impl Into<String>) -> Self {
        Self::of(Outcome::Cancelled, detail)
    }

    pub fn undelivered(detail: impl Into<String>) -> Self {
        Self::of(Outcome::Undelivered, detail)
    }

    pub fn already_compliant(detail: impl Into<String>) -> Self {
        Self::of(Outcome::AlreadyCompliant, detail)
    }

    /// Nobody knows what became of its host, unless it had not started.
    pub fn interrupted(change: HostChange, detail: impl Into<String>) -> Self {
        Self { change, ..Self::of(Outcome::Interrupted, detail) }
    }
}

const COLUMNS: &str = "t.id, t.job, t.run, t.asset, t.script, t.position, t.params, t.targets, \
     t.timeout_ms, t.state, t.outcome, t.refusal, t.change, t.detail, t.queued_at, t.delivered_at, \
     t.running_at, t.ended_at, t.nonce, t.kind, t.asked_by, t.expires_at, t.undo_of, \
     t.not_before_at";

fn read(row: &Row<'_>) -> rusqlite::Result<Task> {
    let outcome: Option<Outcome> = parsed_opt(row, 10)?;
    let change: Option<HostChange> = parsed_opt(row, 12)?;
    let (refusal, detail) = (parsed_opt(row, 11)?, row.get(13)?);
    let end = outcome.map(|outcome| End {
        outcome,
        refusal,
        change: change.unwrap_or(HostChange::Unknown),
        detail,
    });
    let cause = match (parsed_opt(row, 1)?, parsed_opt(row, 2)?) {
        (Some(job), Some(run)) => Cause::Run { job, run },
        _ => Cause::Person { name: row.get(20)?, expires: millis(row, 21)? },
    };
    Ok(Task {
        id: parsed(row, 0)?,
        kind: parsed(row, 19)?,
        cause,
        undo_of: parsed_opt(row, 22)?,
        asset: parsed(row, 3)?,
        script: parsed(row, 4)?,
        position: row.get(5)?,
        params: json(row, 6)?,
        targets: json(row, 7)?,
        timeout_ms: row.get(8)?,
        not_before: millis_opt(row, 23)?,
        state: parsed(row, 9)?,
        end,
        queued: millis(row, 14)?,
        delivered: millis_opt(row, 15)?,
        running: millis_opt(row, 16)?,
        ended: millis_opt(row, 17)?,
        nonce: row.get(18)?,
    })
}

pub fn insert(tx: &Tx<'_>, task: &Task) -> Result<(), StoreError> {
    let end = task.end.as_ref();
    tx.execute(
        "INSERT INTO tasks (id, job, run, asset, script, position, params, targets, timeout_ms, state, \
         outcome, refusal, change, detail, queued_at, ended_at, kind, asked_by, expires_at, undo_of, \
         not_before_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
         $18, $19, $20, $21)",
        params![
            task.id.as_str(),
            task.job().map(JobId::as_str),
            task.run().map(RunId::as_str),
            task.asset.as_str(),
            task.script.to_string(),
            task.position,
            serde_json::to_string(&task.params)?,
            serde_json::to_string(&task.targets)?,
            task.timeout_ms,
            task.state.as_str(),
            end.map(|end| end.outcome.as_str()),
            end.and_then(|end| end.refusal).map(Refusal::as_str),
            end.map(|end| end.change.as_str()),
            end.map_or("", |end| &end.detail),
            task.queued.0,
            task.ended.map(|at| at.0),
            task.kind.as_str(),
            task.asked_by(),
            match &task.cause {
                Cause::Person { expires, .. } => Some(expires.0),
                Cause::Run { .. } => None,
            },
            task.undo_of.as_ref().map(TaskId::as_str),
            task.not_before.map(|at| at.0)
        ],
    )?;
    Ok(())
}

pub fn get(conn: &Conn, id: &TaskId) -> Result<Option<Task>, StoreError> {
    conn.row(&format!("SELECT {COLUMNS} FROM tasks t WHERE t.id = $1"), params![id.as_str()], read)
}

/// In order of id, above `after`.
pub fn list(
    conn: &Conn,
    filter: &TaskFilter,
    after: Option<&str>,
    limit: u32,
) -> Result<Vec<Task>, StoreError> {
    let mut wanted = Where::default();
    wanted.equal("t.job", filter.job.as_ref());
    wanted.equal("t.run", filter.run.as_ref());
    wanted.equal("t.asset", filter.asset.as_ref());
    wanted.equal("t.state", filter.state);
    wanted.equal("t.outcome", filter.outcome);
    if let Some(after) = after {
        wanted.with("t.id > ?", [after]);
    }
    let (text, values) = wanted.finish();
    conn.rows(
        &format!("SELECT {COLUMNS} FROM tasks t{text} ORDER BY t.id LIMIT {limit}"),
        rusqlite::params_from_iter(values),
        read,
    )
}

/// Those that the asset may have next, while none of its others is under way: first what a person asked
/// for; then of the executing runs in turn, the one that had least, in order.
pub fn candidates(conn: &Conn, asset: &AssetId, now: Millis) -> Result<Vec<Task>, StoreError> {
    conn.rows(
        &format!(
            "SELECT {COLUMNS} FROM tasks t LEFT JOIN runs r ON r.id = t.run \
             WHERE t.asset = $1 AND t.state = 'queued' AND COALESCE(r.state, 'executing') = 'executing' \
             AND COALESCE(r.expires_at, t.expires_at) > $2 AND COALESCE(t.not_before_at, 0) <= $2 \
             AND NOT EXISTS (SELECT 1 FROM tasks o WHERE o.asset = $1 \
             AND o.state IN ('delivered', 'running', 'confirming')) \
             ORDER BY t.run IS NOT NULL, \
             (SELECT COUNT(*) FROM tasks s WHERE s.run = t.run AND s.asset = $1 AND s.delivered_at IS NOT NULL), \
             r.started_at, t.run, t.position, t.id"
        ),
        params![asset.as_str(), now.0],
        read,
    )
}

/// `queued` → `delivered`, under a lease.
pub fn deliver(
    tx: &Tx<'_>,
    id: &TaskId,
    nonce: &str,
    order: &Envelope,
    now: Millis,
    lease_until: Millis,
) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE tasks SET state = 'delivered', nonce = $1, order_envelope = $2, delivered_at = $3, \
         lease_until = $4 WHERE id = $5 AND state = 'queued'",
        params![nonce, serde_json::to_string(order)?, now.0, lease_until.0, id.as_str()],
    )?;
    Ok(())
}

/// Takes the nonce of an order that was given after the backup from which we were restored.
pub fn recall(tx: &Tx<'_>, id: &TaskId, nonce: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE tasks SET nonce = $1 WHERE id = $2 AND nonce IS NULL AND state = 'queued'",
        params![nonce, id.as_str()],
    )?;
    Ok(())
}

/// `queued` or `delivered` → `running`, once, by its own order; false when it is not to run.
pub fn start(
    tx: &Tx<'_>,
    id: &TaskId,
    asset: &AssetId,
    nonce: &str,
    now: Millis,
    silence_ms: i64,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE tasks SET state = 'running', running_at = $1, lease_until = NULL, \
         silent_at = $1 + timeout_ms + $2 \
         WHERE id = $3 AND asset = $4 AND nonce = $5 AND state IN ('queued', 'delivered') \
         AND (run IS NULL OR EXISTS \
         (SELECT 1 FROM runs WHERE runs.id = tasks.run AND runs.state IN ('executing', 'paused')))",
        params![now.0, silence_ms, id.as_str(), asset.as_str(), nonce],
    )?;
    Ok(changed == 1)
}

/// Notes the outcome; one that is not final leaves the task `confirming`.
pub fn end(tx: &Tx<'_>, id: &TaskId, end: &End, now: Millis) -> Result<(), StoreError> {
    let (state, ended) = match end.outcome.is_final() {
        true => (TaskState::Ended, Some(now.0)),
        false => (TaskState::Confirming, None),
    };
    tx.execute(
        "UPDATE tasks SET state = $1, outcome = $2, refusal = $3, change = $4, detail = $5, ended_at = $6, \
         lease_until = NULL, silent_at = NULL WHERE id = $7",
        params![
            state.as_str(),
            end.outcome.as_str(),
            end.refusal.map(Refusal::as_str),
            end.change.as_str(),
            end.detail,
            ended,
            id.as_str()
        ],
    )?;
    Ok(())
}

/// Notes that another task undid it.
pub fn set_change(tx: &Tx<'_>, id: &TaskId, change: HostChange) -> Result<(), StoreError> {
    tx.execute("UPDATE tasks SET change = $1 WHERE id = $2", params![change.as_str(), id.as_str()])?;
    Ok(())
}

/// An undo of this task that has not ended.
pub fn undo_under_way(conn: &Conn, id: &TaskId) -> Result<Option<TaskId>, StoreError> {
    conn.row(
        "SELECT id FROM tasks WHERE undo_of = $1 AND state <> 'ended' LIMIT 1",
        params![id.as_str()],
        |row| parsed(row, 0),
    )
}

/// Keeps the report, replacing one that was not final.
pub fn put_report(tx: &Tx<'_>, report: &TaskReport, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO task_reports (task, report, received_at) VALUES ($1, $2, $3) \
         ON CONFLICT (task) DO UPDATE SET report = excluded.report, received_at = excluded.received_at",
        params![report.task.as_str(), serde_json::to_string(report)?, now.0],
    )?;
    Ok(())
}

pub fn report(conn: &Conn, id: &TaskId) -> Result<Option<TaskReport>, StoreError> {
    conn.row("SELECT report FROM task_reports WHERE task = $1", params![id.as_str()], |row| json(row, 0))
}

pub fn order(conn: &Conn, id: &TaskId) -> Result<Option<Envelope>, StoreError> {
    conn.row(
        "SELECT order_envelope FROM tasks WHERE id = $1 AND order_envelope IS NOT NULL",
        params![id.as_str()],
        |row| json(row, 0),
    )
}

pub fn has_lapsed(conn: &Conn, now: Millis) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM tasks WHERE state = 'delivered' AND lease_until <= $1 LIMIT 1",
        params![now.0],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// `delivered` → `queued`, where the lease has run out.
pub fn requeue(tx: &Tx<'_>, now: Millis) -> Result<Vec<(Option<RunId>, AssetId)>, StoreError> {
    tx.readable_rows(
        "UPDATE tasks SET state = 'queued', lease_until = NULL \
         WHERE state = 'delivered' AND lease_until <= $1 RETURNING run, asset",
        params![now.0],
        |row| Ok((parsed_opt(row, 0)?, parsed(row, 1)?)),
    )
}

/// Queued ones that have waited long enough.
pub fn overdue(conn: &Conn, now: Millis) -> Result<Vec<Task>, StoreError> {
    conn.readable_rows(
        &format!(
            "SELECT {COLUMNS} FROM tasks t LEFT JOIN runs r ON r.id = t.run \
             WHERE t.state = 'queued' AND COALESCE(r.expires_at, t.expires_at) <= $1 \
             AND COALESCE(r.state, '') <> 'paused'"
        ),
        params![now.0],
        read,
    )
}

/// Running ones of which nothing was heard for longer than they can take.
pub fn silent(conn: &Conn, now: Millis) -> Result<Vec<Task>, StoreError> {
    conn.readable_rows(
        &format!("SELECT {COLUMNS} FROM tasks t WHERE t.state = 'running' AND t.silent_at <= $1"),
        params![now.0],
        read,
    )
}

/// Those of a run that have not begun.
pub fn not_begun(conn: &Conn, run: &RunId) -> Result<Vec<Task>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM tasks t WHERE t.run = $1 AND t.state IN ('queued', 'delivered')"),
        params![run.as_str()],
        read,
    )
}

/// Those of an asset that have not begun.
pub fn not_begun_by(conn: &Conn, asset: &AssetId) -> Result<Vec<Task>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM tasks t WHERE t.asset = $1 AND t.state IN ('queued', 'delivered')"),
        params![asset.as_str()],
        read,
    )
}

/// Those of a run that have not ended.
pub fn not_ended(conn: &Conn, run: &RunId) -> Result<Vec<Task>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM tasks t WHERE t.run = $1 AND t.state <> 'ended'"),
        params![run.as_str()],
        read,
    )
}

/// Delivered or running ones of any run.
pub fn of_runs_under_way(conn: &Conn) -> Result<Vec<Task>, StoreError> {
    conn.readable_rows(
        &format!(
            "SELECT {COLUMNS} FROM tasks t \
             WHERE t.run IS NOT NULL AND t.state IN ('delivered', 'running', 'confirming')"
        ),
        [],
        read,
    )
}

/// Queued ones whose hosts' clocks have come to the time: they wait no longer.
pub fn now_due(tx: &Tx<'_>, now: Millis) -> Result<Vec<AssetId>, StoreError> {
    tx.readable_rows(
        "UPDATE tasks SET not_before_at = NULL WHERE state = 'queued' AND not_before_at <= $1 RETURNING asset",
        params![now.0],
        |row| parsed(row, 0),
    )
}

pub fn has_now_due(conn: &Conn, now: Millis) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM tasks WHERE state = 'queued' AND not_before_at <= $1 LIMIT 1",
        params![now.0],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Hosts with something queued: of one run, or at all.
pub fn assets_waiting(conn: &Conn, run: Option<&RunId>) -> Result<Vec<AssetId>, StoreError> {
    conn.readable_rows(
        "SELECT DISTINCT asset FROM tasks WHERE state = 'queued' AND ($1 IS NULL OR run = $1)",
        params![run.map(RunId::as_str)],
        |row| parsed(row, 0),
    )
}

/// Notes the first who wants it ended.
pub fn want_cancelled(tx: &Tx<'_>, id: &TaskId, who: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE tasks SET cancel_by = COALESCE(cancel_by, $1) WHERE id = $2 AND state <> 'ended'",
        params![who, id.as_str()],
    )?;
    Ok(())
}

pub fn cancel_by(conn: &Conn, id: &TaskId) -> Result<Option<String>, StoreError> {
    conn.row(
        "SELECT cancel_by FROM tasks WHERE id = $1 AND cancel_by IS NOT NULL",
        params![id.as_str()],
        |row| row.get(0),
    )
}

/// Those under way that somebody wants ended, each with its asset.
pub fn to_cancel(conn: &Conn) -> Result<Vec<(AssetId, TaskId)>, StoreError> {
    conn.readable_rows(
        "SELECT asset, id FROM tasks WHERE cancel_by IS NOT NULL AND state IN ('running', 'confirming') \
         ORDER BY id",
        [],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?)),
    )
}
