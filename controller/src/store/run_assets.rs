//! How far each asset of a run is, and the run's counts of them, kept in the same transaction.

use aright_shared::id::{AssetId, RunId};
use aright_shared::outcome::Outcome;
use aright_shared::time::Millis;
use rusqlite::params;

use super::conn::{parsed, parsed_opt};
use super::{Conn, StoreError, Tx};

/// An asset with tasks, none of them delivered yet.
pub fn insert(tx: &Tx<'_>, run: &RunId, asset: &AssetId) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO run_assets (run, asset) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        params![run.as_str(), asset.as_str()],
    )?;
    tx.execute("UPDATE runs SET assets = assets + 1 WHERE id = $1", params![run.as_str()])?;
    Ok(())
}

/// Whether it has had its turn, or has it.
pub fn has_begun(conn: &Conn, run: &RunId, asset: &AssetId) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM run_assets WHERE run = $1 AND asset = $2 AND begun_at IS NOT NULL",
        params![run.as_str(), asset.as_str()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Its turn has come; nothing changes where it had.
pub fn begin(tx: &Tx<'_>, run: &RunId, asset: &AssetId, now: Millis) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE run_assets SET begun_at = $1 WHERE run = $2 AND asset = $3 AND begun_at IS NULL",
        params![now.0, run.as_str(), asset.as_str()],
    )?;
    count(tx, run, "assets_begun", i64::try_from(changed).unwrap_or(0))
}

/// Its turn is over before it has ended: it did not come for what waits. Nothing changes where it has come
/// meanwhile.
pub fn yield_turn(tx: &Tx<'_>, run: &RunId, asset: &AssetId) -> Result<(), StoreError> {
    let changed = tx.execute(
        "UPDATE run_assets SET begun_at = NULL \
         WHERE run = $1 AND asset = $2 AND begun_at IS NOT NULL AND ended_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.asset = $2 \
         AND t.state IN ('delivered', 'running', 'confirming'))",
        params![run.as_str(), asset.as_str()],
    )?;
    count(tx, run, "assets_begun", -i64::try_from(changed).unwrap_or(0))
}

/// Those whose turn it is and that have nothing under way: they wait for their host.
pub fn idle(conn: &Conn) -> Result<Vec<(RunId, AssetId)>, StoreError> {
    conn.readable_rows(
        "SELECT a.run, a.asset FROM run_assets a JOIN runs r ON r.id = a.run \
         WHERE r.state = 'executing' AND r.rollout <> '{}' AND a.begun_at IS NOT NULL AND a.ended_at IS NULL \
         AND NOT EXISTS (SELECT 1 FROM tasks t WHERE t.asset = a.asset \
         AND t.state IN ('delivered', 'running', 'confirming'))",
        [],
        |row| Ok((parsed(row, 0)?, parsed(row, 1)?)),
    )
}

/// Those that have not begun, and could now: something is to be delivered, and nothing else is under way.
pub fn waiting(conn: &Conn, run: &RunId, now: Millis) -> Result<Vec<AssetId>, StoreError> {
    conn.readable_rows(
        "SELECT a.asset FROM run_assets a WHERE a.run = $1 AND a.begun_at IS NULL AND a.ended_at IS NULL \
         AND EXISTS (SELECT 1 FROM tasks t WHERE t.run = $1 AND t.asset = a.asset AND t.state = 'queued' \
         AND COALESCE(t.not_before_at, 0) <= $2) \
         AND NOT EXISTS (SELECT 1 FROM tasks o WHERE o.asset = a.asset \
         AND o.state IN ('delivered', 'running', 'confirming')) ORDER BY a.asset",
        params![run.as_str(), now.0],
        |row| parsed(row, 0),
    )
}

/// A task of it ended, or ended otherwise than it had: looks at all its tasks in the run again.
pub fn settle(tx: &Tx<'_>, run: &RunId, asset: &AssetId, now: Millis) -> Result<(), StoreError> {
    let (mut open, mut failed, mut good) = (false, false, false);
    let tasks: Vec<(String, Option<Outcome>)> = tx.rows(
        "SELECT state, outcome FROM tasks WHERE run = $1 AND asset = $2",
        params![run.as_str(), asset.as_str()],
        |row| Ok((row.get(0)?, parsed_opt(row, 1)?)),
    )?;
    for (state, outcome) in tasks {
        open |= state != "ended";
        failed |= outcome.is_some_and(Outcome::is_failure);
        good |= outcome.is_some_and(Outcome::is_good);
    }
    let well = !open && good && !failed;
    // One that ended before its turn came holds nobody up, and is not counted as having had it.
    let counter = if has_begun(tx, run, asset)? { Some("assets_ended") } else { None };
    flag(tx, run, asset, "ended_at", counter, !open, now)?;
    flag(tx, run, asset, "failed_at", Some("assets_failed"), failed, now)?;
    flag(tx, run, asset, "well_at", Some("assets_well"), well, now)
}

fn flag(
    tx: &Tx<'_>,
    run: &RunId,
    asset: &AssetId,
    column: &str,
    counter: Option<&str>,
    set: bool,
    now: Millis,
) -> Result<(), StoreError> {
    let changed = match set {
        true => tx.execute(
            &format!(
                "UPDATE run_assets SET {column} = $1 WHERE run = $2 AND asset = $3 AND {column} IS NULL"
            ),
            params![now.0, run.as_str(), asset.as_str()],
        )?,
        false => tx.execute(
            &format!(
                "UPDATE run_assets SET {column} = NULL \
                 WHERE run = $1 AND asset = $2 AND {column} IS NOT NULL"
            ),
            params![run.as_str(), asset.as_str()],
        )?,
    };
    let by = i64::try_from(changed).unwrap_or(0);
    counter.map_or(Ok(()), |counter| count(tx, run, counter, if set { by } else { -by }))
}

fn count(tx: &Tx<'_>, run: &RunId, counter: &str, by: i64) -> Result<(), StoreError> {
    if by != 0 {
        tx.execute(
            &format!("UPDATE runs SET {counter} = {counter} + $1 WHERE id = $2"),
            params![by, run.as_str()],
        )?;
    }
    Ok(())
}
