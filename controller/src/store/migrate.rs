//! Schema versions: forward only, a copy of the database before each, a newer one refused.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::StoreError;

/// In order; the first is version 1. Never changed once released.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_jobs.sql"),
    include_str!("../../migrations/0003_policies.sql"),
];

pub(super) fn up(conn: &mut Connection, path: &Path, backups: &Path) -> Result<(), StoreError> {
    up_to(conn, path, backups, MIGRATIONS)
}

fn up_to(conn: &mut Connection, path: &Path, backups: &Path, all: &[&str]) -> Result<(), StoreError> {
    conn.execute_batch("CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY)")?;
    let found = not_newer(conn, path, all)?;
    for (sql, version) in all.iter().zip(1..).skip(usize::try_from(found).unwrap_or(0)) {
        // A fresh one has nothing to lose.
        if found > 0 {
            let copy = backups.join(format!("before-version-{version}.db"));
            private_file(backups, &copy).map_err(|error| StoreError::Commit(error.to_string()))?;
            conn.backup("main", copy, None)?;
        }
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.execute_batch(sql)?;
        tx.execute("INSERT INTO schema_versions (version) VALUES ($1)", [version])?;
        tx.commit()?;
    }
    Ok(())
}

/// The schema of a database of ours, left as it is.
pub(super) fn known(conn: &Connection, path: &Path) -> Result<i64, StoreError> {
    not_newer(conn, path, MIGRATIONS)
}

/// The newest schema that this program knows.
pub(super) fn newest() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn not_newer(conn: &Connection, path: &Path, all: &[&str]) -> Result<i64, StoreError> {
    let found: i64 =
        conn.query_row("SELECT COALESCE(MAX(version), 0) FROM schema_versions", [], |row| row.get(0))?;
    let known = i64::try_from(all.len()).unwrap_or(i64::MAX);
    match found > known {
        true => Err(StoreError::Newer { path: path.display().to_string(), found, known }),
        false => Ok(found),
    }
}

/// An empty file that nobody else may read, for what is in the database is for nobody else.
fn private_file(folder: &Path, file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_made_once_behind_a_copy_and_a_newer_schema_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let backups = folder.path().join("backup");
        let mut conn = Connection::open(&path).expect("opens");
        let two = ["CREATE TABLE a (x TEXT)", "ALTER TABLE a ADD COLUMN y TEXT"];
        up_to(&mut conn, &path, &backups, &two[..1]).expect("version 1");
        conn.execute("INSERT INTO a (x) VALUES ('old')", []).expect("a row");
        up_to(&mut conn, &path, &backups, &two).expect("version 2");
        up_to(&mut conn, &path, &backups, &two).expect("nothing to do");
        let copy = Connection::open(backups.join("before-version-2.db")).expect("the copy");
        assert!(copy.query_row("SELECT x FROM a", [], |row| row.get::<_, String>(0)).is_ok());
        assert!(copy.prepare("SELECT y FROM a").is_err(), "the copy is from before");
        let mode = std::fs::metadata(backups.join("before-version-2.db")).expect("the copy").permissions();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o077, 0, "for us alone");
        let refused = up_to(&mut conn, &path, &backups, &two[..1]).expect_err("newer");
        assert!(matches!(refused, StoreError::Newer { found: 2, known: 1, .. }), "{refused}");
    }
}
