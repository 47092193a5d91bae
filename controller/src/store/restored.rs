//! A database that comes from a backup: what is changed in it before a controller takes it up, and what that
//! controller must know of it.

use std::path::Path;
use std::sync::Arc;

use aright_shared::id::{AssetId, HistoryId};
use aright_shared::time::Millis;
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::conn::{millis_opt, parsed};
use super::{Conn, StoreError, Tx, assets, audit, migrate, sessions, settings, snapshot};

const HISTORY: &str = "history";
const RESTORED: &str = "restored";

/// Where the store comes from. What was done after the backup was taken is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When the backup was begun.
    pub taken: Millis,
    pub at: Millis,
}

impl Restored {
    /// Whether it lies in what the store does not know of.
    pub fn missed(&self, at: Millis) -> bool {
        at > self.taken && at <= self.at
    }
}

pub fn get(conn: &Conn) -> Result<Option<Restored>, StoreError> {
    match settings::get(conn, RESTORED)? {
        Some(text) => Ok(serde_json::from_str(&text)?),
        None => Ok(None),
    }
}

/// Whose history this is; made where there is none yet.
pub fn history(tx: &Tx<'_>) -> Result<HistoryId, StoreError> {
    if let Some(known) = settings::get(tx, HISTORY)?.and_then(|text| text.parse().ok()) {
        return Ok(known);
    }
    let new = HistoryId::new();
    settings::put(tx, HISTORY, new.as_str())?;
    Ok(new)
}

/// What a restore must not take back: of one asset, since when it is revoked and quarantined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barred {
    asset: AssetId,
    revoked: Option<Millis>,
    quarantined: Option<(Millis, String)>,
}

/// Of a database that may be of any schema, older or newer.
pub fn barred(path: &Path) -> Result<Vec<Barred>, StoreError> {
    let raw = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    raw.execute_batch("PRAGMA query_only=ON; PRAGMA busy_timeout=10000; PRAGMA trusted_schema=OFF")?;
    Conn::new(raw, Arc::default()).rows(
        "SELECT id, revoked_at, quarantined_at, COALESCE(quarantine_reason, '') FROM assets \
         WHERE revoked_at IS NOT NULL OR quarantined_at IS NOT NULL",
        [],
        |row| {
            let why: String = row.get(3)?;
            Ok(Barred {
                asset: parsed(row, 0)?,
                revoked: millis_opt(row, 1)?,
                quarantined: millis_opt(row, 2)?.map(|at| (at, why)),
            })
        },
    )
}

/// Makes a restored database ready: sound, of the newest schema, of a history of its own, with all that was barred
/// where it is put, and without log-ins, some of which may have been ended since. How many were barred anew.
///
/// # Errors
/// It is damaged, or of a newer schema.
pub fn prepare(
    path: &Path,
    backups: &Path,
    barred: &[Barred],
    restored: Restored,
) -> Result<usize, StoreError> {
    let mut raw = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    raw.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF")?;
    snapshot::sound(&raw, path)?;
    migrate::up(&mut raw, path, backups)?;
    let conn = Conn::new(raw, Arc::default());
    conn.batch("BEGIN IMMEDIATE")?;
    let anew = change(&Tx::new(&conn), barred, restored)?;
    conn.batch("COMMIT")?;
    conn.raw.close().map_err(|(_, error)| error)?;
    Ok(anew)
}

fn change(tx: &Tx<'_>, barred: &[Barred], restored: Restored) -> Result<usize, StoreError> {
    let mut anew = 0;
    for one in barred {
        let revoked = match one.revoked {
            Some(at) => assets::revoke(tx, &one.asset, at)?,
            None => false,
        };
        anew += usize::from(revoked);
        if let Some((at, why)) = &one.quarantined {
            assets::quarantine(tx, &one.asset, why, *at)?;
        }
    }
    sessions::delete_all(tx)?;
    settings::put(tx, HISTORY, HistoryId::new().as_str())?;
    settings::put(tx, RESTORED, &serde_json::to_string(&Some(restored))?)?;
    let detail = format!("from a backup of {}; {anew} revocations kept of what was there", restored.taken);
    let entry = audit::Entry {
        at: restored.at,
        who: "console",
        action: "controller.restore",
        subject: "controller",
        detail: &detail,
    };
    audit::append(tx, &entry)?;
    Ok(anew)
}
