//! People who may log in.

use aright_shared::time::Millis;
use rusqlite::params;

use super::{Conn, StoreError, Tx};

pub fn password_hash(conn: &Conn, name: &str) -> Result<Option<String>, StoreError> {
    conn.row("SELECT password_hash FROM users WHERE name = $1", params![name], |row| row.get(0))
}

/// Makes the user, or gives a known one another password.
pub fn put(tx: &Tx<'_>, name: &str, password_hash: &str, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO users (name, password_hash, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash",
        params![name, password_hash, now.0],
    )?;
    Ok(())
}
