//! Scripts: every version's canonical bytes, and who approved them.

use aright_shared::api::{GivenApproval, ScriptState};
use aright_shared::content::script::Origin;
use aright_shared::digest::Digest;
use aright_shared::envelope::Envelope;
use aright_shared::id::Key;
use aright_shared::time::Millis;
use aright_shared::trust::Approval;
use rusqlite::{Row, params};

use super::conn::{json, millis, parsed};
use super::{Conn, StoreError, Tx};

#[derive(Clone, Debug)]
pub struct Script {
    pub digest: Digest,
    pub key: Key,
    pub version: u32,
    pub origin: Origin,
    pub state: ScriptState,
    /// Canonical (RFC 8785).
    pub bytes: String,
    pub created: Millis,
    pub author: String,
}

const COLUMNS: &str = "digest, key, version, origin, state, bytes, created_at, author";

fn read(row: &Row<'_>) -> rusqlite::Result<Script> {
    Ok(Script {
        digest: parsed(row, 0)?,
        key: parsed(row, 1)?,
        version: row.get(2)?,
        origin: parsed(row, 3)?,
        state: parsed(row, 4)?,
        bytes: row.get(5)?,
        created: millis(row, 6)?,
        author: row.get(7)?,
    })
}

pub fn get(conn: &Conn, digest: Digest) -> Result<Option<Script>, StoreError> {
    conn.row(&format!("SELECT {COLUMNS} FROM scripts WHERE digest = $1"), params![digest.to_string()], read)
}

pub fn newest(conn: &Conn, key: &Key) -> Result<Option<Script>, StoreError> {
    conn.row(
        &format!("SELECT {COLUMNS} FROM scripts WHERE key = $1 ORDER BY version DESC LIMIT 1"),
        params![key.as_str()],
        read,
    )
}

/// The newest version of each, in order of key, above `after`.
pub fn list(conn: &Conn, after: Option<&str>, limit: u32) -> Result<Vec<Script>, StoreError> {
    conn.rows(
        &format!(
            "SELECT {COLUMNS} FROM scripts s WHERE key > $1 AND version = \
             (SELECT MAX(version) FROM scripts n WHERE n.key = s.key) ORDER BY key LIMIT $2"
        ),
        params![after.unwrap_or(""), limit],
        read,
    )
}

pub fn insert(tx: &Tx<'_>, script: &Script) -> Result<(), StoreError> {
    tx.execute(
        &format!("INSERT INTO scripts ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
        params![
            script.digest.to_string(),
            script.key.as_str(),
            script.version,
            script.origin.as_str(),
            script.state.as_str(),
            script.bytes,
            script.created.0,
            script.author
        ],
    )?;
    Ok(())
}

pub fn set_state(tx: &Tx<'_>, digest: Digest, state: ScriptState) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE scripts SET state = $1 WHERE digest = $2",
        params![state.as_str(), digest.to_string()],
    )?;
    Ok(())
}

/// False when this very envelope is kept already.
pub fn approve(
    tx: &Tx<'_>,
    envelope: &Envelope,
    approval: &Approval,
    now: Millis,
) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "INSERT INTO approvals (digest, script, envelope, approver, approved_at, not_after, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
        params![
            envelope.digest()?.to_string(),
            approval.script.to_string(),
            serde_json::to_string(envelope)?,
            approval.approver,
            approval.approved.0,
            approval.not_after.0,
            now.0
        ],
    )?;
    Ok(changed == 1)
}

/// Approvals in force, the longest-lived first.
pub fn approvals(conn: &Conn, script: Digest, now: Millis) -> Result<Vec<Envelope>, StoreError> {
    conn.rows(
        "SELECT envelope FROM approvals WHERE script = $1 AND not_after > $2 ORDER BY not_after DESC",
        params![script.to_string(), now.0],
        |row| json(row, 0),
    )
}

pub fn given(conn: &Conn, script: Digest) -> Result<Vec<GivenApproval>, StoreError> {
    conn.rows(
        "SELECT approver, approved_at, not_after FROM approvals WHERE script = $1 ORDER BY received_at",
        params![script.to_string()],
        |row| {
            Ok(GivenApproval { approver: row.get(0)?, approved: millis(row, 1)?, not_after: millis(row, 2)? })
        },
    )
}
