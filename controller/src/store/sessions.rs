//! Log-ins that are in force; only digests of their tokens are kept.

use aright_shared::digest::Digest;
use aright_shared::time::Millis;
use rusqlite::params;

use super::{Conn, StoreError, Tx};

/// Makes a session, and forgets those that are over.
pub fn insert(
    tx: &Tx<'_>,
    token: Digest,
    user: &str,
    now: Millis,
    expires: Millis,
) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sessions WHERE expires_at <= $1", params![now.0])?;
    tx.execute(
        "INSERT INTO sessions (digest, user_name, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        params![token.to_string(), user, now.0, expires.0],
    )?;
    Ok(())
}

/// Whose token it is, while it is in force.
pub fn user(conn: &Conn, token: Digest, now: Millis) -> Result<Option<String>, StoreError> {
    conn.row(
        "SELECT user_name FROM sessions WHERE digest = $1 AND expires_at > $2",
        params![token.to_string(), now.0],
        |row| row.get(0),
    )
}

pub fn delete(tx: &Tx<'_>, token: Digest) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sessions WHERE digest = $1", params![token.to_string()])?;
    Ok(())
}

pub fn delete_all(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sessions", [])?;
    Ok(())
}

pub fn delete_of_user(tx: &Tx<'_>, user: &str) -> Result<(), StoreError> {
    tx.execute("DELETE FROM sessions WHERE user_name = $1", params![user])?;
    Ok(())
}
