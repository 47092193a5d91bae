//! Who did what, when: only ever appended to.

use aright_shared::time::Millis;
use rusqlite::params;

use super::{StoreError, Tx};

pub struct Entry<'a> {
    pub at: Millis,
    pub who: &'a str,
    /// `noun.verb`, as in `job.create`.
    pub action: &'a str,
    /// The id or key of what it was done to.
    pub subject: &'a str,
    pub detail: &'a str,
}

pub fn append(tx: &Tx<'_>, entry: &Entry<'_>) -> Result<(), StoreError> {
    let id = aright_shared::id::AuditId::new();
    tx.execute(
        "INSERT INTO audit (id, at, who, action, subject, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        params![id.as_str(), entry.at.0, entry.who, entry.action, entry.subject, entry.detail],
    )?;
    Ok(())
}
