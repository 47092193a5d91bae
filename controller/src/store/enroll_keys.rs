//! Enrolment keys; only digests of their secrets are kept.

use aright_shared::api::EnrollKey;
use aright_shared::digest::Digest;
use aright_shared::id::EnrollKeyId;
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{json, millis, parsed};
use super::{Conn, StoreError, Tx};

const COLUMNS: &str = "id, name, tags, max_uses, uses, created_at, created_by, expires_at";

fn read(row: &Row<'_>) -> rusqlite::Result<EnrollKey> {
    Ok(EnrollKey {
        id: parsed(row, 0)?,
        name: row.get(1)?,
        tags: json(row, 2)?,
        max_uses: row.get(3)?,
        uses: row.get(4)?,
        created: millis(row, 5)?,
        created_by: row.get(6)?,
        expires: millis(row, 7)?,
    })
}

pub fn insert(tx: &Tx<'_>, key: &EnrollKey, secret: Digest) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO enroll_keys \
         (id, name, secret_digest, tags, max_uses, uses, created_at, created_by, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        params![
            key.id.as_str(),
            key.name,
            secret.to_string(),
            serde_json::to_string(&key.tags)?,
            key.max_uses,
            key.uses,
            key.created.0,
            key.created_by,
            key.expires.0
        ],
    )?;
    Ok(())
}

pub fn by_secret(conn: &Conn, secret: Digest) -> Result<Option<EnrollKey>, StoreError> {
    conn.row(
        &format!("SELECT {COLUMNS} FROM enroll_keys WHERE secret_digest = $1"),
        params![secret.to_string()],
        read,
    )
}

/// Counts one use; false when there was none left or it has expired.
pub fn spend(tx: &Tx<'_>, key: &EnrollKey, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE enroll_keys SET uses = uses + 1 WHERE id = $1 AND uses < max_uses AND expires_at > $2",
        params![key.id.as_str(), now.0],
    )?;
    Ok(changed == 1)
}

/// Its end is now, where that is not over; `None` where there is no such key.
pub fn end(tx: &Tx<'_>, id: &EnrollKeyId, now: Millis) -> Result<Option<EnrollKey>, StoreError> {
    tx.execute(
        "UPDATE enroll_keys SET expires_at = MIN(expires_at, $1) WHERE id = $2",
        params![now.0, id.as_str()],
    )?;
    tx.row(&format!("SELECT {COLUMNS} FROM enroll_keys WHERE id = $1"), params![id.as_str()], read)
}

/// Newest first, below `before`.
pub fn list(conn: &Conn, before: Option<&str>, limit: u32) -> Result<Vec<EnrollKey>, StoreError> {
    conn.rows(
        &format!("SELECT {COLUMNS} FROM enroll_keys WHERE ($1 IS NULL OR id < $1) ORDER BY id DESC LIMIT $2"),
        params![before, limit],
        read,
    )
}
