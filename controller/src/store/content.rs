//! The content's documents as last loaded, so that a changed policy is noticed.

use aright_shared::digest::Digest;
use aright_shared::id::Key;
use rusqlite::params;

use super::conn::parsed;
use super::{Conn, StoreError, Tx};

/// Keys and digests of the policies that the stored postures were judged by.
pub fn policies(conn: &Conn) -> Result<Vec<(Key, Digest)>, StoreError> {
    conn.rows("SELECT key, digest FROM policies ORDER BY key", [], |row| {
        Ok((parsed(row, 0)?, parsed(row, 1)?))
    })
}

pub fn put_policy(tx: &Tx<'_>, key: &Key, digest: Digest, document: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO policies (key, digest, document) VALUES ($1, $2, $3) \
         ON CONFLICT (key) DO UPDATE SET digest = excluded.digest, document = excluded.document",
        params![key.as_str(), digest.to_string(), document],
    )?;
    Ok(())
}

/// What stands where no form has been judged by.
pub fn unsettled() -> Digest {
    Digest::of(b"")
}

/// Notes that stored postures are not what this policy says: it has come, changed or gone.
pub fn unsettle_policy(tx: &Tx<'_>, key: &Key) -> Result<(), StoreError> {
    put_policy(tx, key, unsettled(), "")
}

pub fn delete_policy(tx: &Tx<'_>, key: &Key) -> Result<(), StoreError> {
    tx.execute("DELETE FROM policies WHERE key = $1", params![key.as_str()])?;
    Ok(())
}
