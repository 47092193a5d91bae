//! A copy of the database as it is at one moment, made beside whoever writes to it.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{StoreError, migrate};

/// Pages copied between two words about how far it is.
const STEP: i32 = 1024;

/// What the copy holds.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    pub schema: i64,
    pub assets: u32,
    pub tasks: u32,
}

/// Copies `from` to the empty file `to`; `progress` is told of pages done and all.
///
/// # Errors
/// No database of ours, one of a newer schema, a full disk, a copy that is not sound.
pub fn take(from: &Path, to: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Taken, StoreError> {
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source
        .execute_batch("PRAGMA query_only=ON; PRAGMA busy_timeout=10000; PRAGMA trusted_schema=OFF; BEGIN")?;
    // The first read fixes what is seen: however long the copying takes, it is of this moment.
    let schema = migrate::known(&source, from)?;
    let count =
        |table: &str| source.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0));
    let taken = Taken { schema, assets: count("assets")?, tasks: count("tasks")? };
    let mut copy = Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    {
        let copying = Backup::new(&source, &mut copy)?;
        loop {
            let step = copying.step(STEP)?;
            let at = copying.progress();
            let pages = |number: std::ffi::c_int| u64::try_from(number).unwrap_or(0);
            progress(pages(at.pagecount - at.remaining), pages(at.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(std::time::Duration::from_millis(50)),
            }
        }
    }
    // One file, with nothing beside it.
    copy.pragma_update(None, "journal_mode", "DELETE")?;
    sound(&copy, to)?;
    copy.close().map_err(|(_, error)| error)?;
    Ok(taken)
}

/// # Errors
/// Says what is damaged.
pub(super) fn sound(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let found: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged { path: path.display().to_string(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Store, settings};
    use super::*;

    #[tokio::test]
    async fn the_copy_is_of_one_moment_however_much_is_written_meanwhile() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("aright.db");
        let store = Store::open(&path, &folder.path().join("backup")).expect("opens");
        let fill = |tx: &super::super::Tx<'_>, value: &str| {
            (0..2000).try_for_each(|n| settings::put(tx, &format!("a{n}"), value))
        };
        let long = "old".repeat(1000);
        store.write(move |tx| fill(tx, &long)).await.expect("written");
        let to = folder.path().join("copy.db");
        std::fs::File::create(&to).expect("made");
        let (mut steps, writer) = (0, store.clone());
        let runtime = tokio::runtime::Handle::current();
        let copied = to.clone();
        let taken = tokio::task::spawn_blocking(move || {
            take(&path, &copied, |_, _| {
                steps += 1;
                if steps == 1 {
                    runtime.block_on(writer.write(move |tx| fill(tx, "new"))).expect("written beside it");
                }
            })
        })
        .await
        .expect("ends")
        .expect("taken");
        assert!(taken.schema >= 3);
        let copy = Connection::open(&to).expect("opens");
        let values: Vec<u32> = copy
            .prepare("SELECT DISTINCT LENGTH(value) FROM settings WHERE name LIKE 'a%'")
            .and_then(|mut found| found.query_map([], |row| row.get(0))?.collect())
            .expect("reads");
        assert_eq!(values, [3000], "all old");
        assert_eq!(store.read(|conn| settings::get(conn, "a1")).await.expect("reads"), Some("new".into()));
    }
}
