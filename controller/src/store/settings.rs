//! Single values by name.

use rusqlite::params;

use super::{Conn, StoreError, Tx};

pub fn get(conn: &Conn, name: &str) -> Result<Option<String>, StoreError> {
    conn.row("SELECT value FROM settings WHERE name = $1", params![name], |row| row.get(0))
}

pub fn put(tx: &Tx<'_>, name: &str, value: &str) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO settings (name, value) VALUES ($1, $2) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        params![name, value],
    )?;
    Ok(())
}
