//! Custom policies: the newest version of each.

use aright_shared::id::{JobId, Key};
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{millis, parsed};
use super::{Conn, StoreError, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custom {
    pub key: Key,
    pub number: u32,
    pub version: u32,
    /// Canonical JSON.
    pub document: String,
    pub created: Millis,
    pub author: String,
}

const COLUMNS: &str = "key, number, version, document, created_at, author";

fn read(row: &Row<'_>) -> rusqlite::Result<Custom> {
    Ok(Custom {
        key: parsed(row, 0)?,
        number: row.get(1)?,
        version: row.get(2)?,
        document: row.get(3)?,
        created: millis(row, 4)?,
        author: row.get(5)?,
    })
}

/// In order of key.
pub fn all(conn: &Conn) -> Result<Vec<Custom>, StoreError> {
    conn.rows(&format!("SELECT {COLUMNS} FROM custom_policies ORDER BY key"), [], read)
}

pub fn get(conn: &Conn, key: &Key) -> Result<Option<Custom>, StoreError> {
    conn.row(&format!("SELECT {COLUMNS} FROM custom_policies WHERE key = $1"), params![key.as_str()], read)
}

/// The one that has this number.
pub fn with_number(conn: &Conn, number: u32) -> Result<Option<Key>, StoreError> {
    conn.row("SELECT key FROM custom_policies WHERE number = $1", params![number], |row| parsed(row, 0))
}

/// The highest number given so far.
pub fn highest_number(conn: &Conn) -> Result<Option<u32>, StoreError> {
    Ok(conn.row("SELECT MAX(number) FROM custom_policies", [], |row| row.get(0))?.flatten())
}

/// Instead of an older version, where there is one.
pub fn put(tx: &Tx<'_>, policy: &Custom) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO custom_policies (key, number, version, document, created_at, author) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (key) DO UPDATE SET number = excluded.number, version = excluded.version, \
         document = excluded.document, created_at = excluded.created_at, author = excluded.author",
        params![
            policy.key.as_str(),
            policy.number,
            policy.version,
            policy.document,
            policy.created.0,
            policy.author
        ],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, key: &Key) -> Result<(), StoreError> {
    tx.execute("DELETE FROM custom_policies WHERE key = $1", params![key.as_str()])?;
    Ok(())
}

/// Id and name of the jobs that have not ended and in whose frozen selection the policy is.
pub fn jobs(conn: &Conn, key: &Key) -> Result<Vec<(JobId, String)>, StoreError> {
    conn.rows(
        "SELECT id, name FROM jobs WHERE state <> 'ended' AND EXISTS \
         (SELECT 1 FROM job_postures WHERE job = jobs.id AND policy = $1) ORDER BY id",
        params![key.as_str()],
        |row| Ok((parsed(row, 0)?, row.get(1)?)),
    )
}
