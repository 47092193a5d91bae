//! The store: SQLite on threads of its own, one writer that groups commits and a few readers. All
//! SQL lives in this folder, a file a noun; it knows no HTTP. Plain portable SQL: `$1`, `$2` in order
//! of first appearance, text ids, integer milliseconds.

pub mod assets;
pub mod audit;
pub mod certificates;
mod conn;
pub mod content;
pub mod enroll_keys;
mod filter;
pub mod jobs;
mod migrate;
pub mod observations;
pub mod policies;
pub mod postures;
pub mod restored;
pub mod run_assets;
pub mod runs;
pub mod scripts;
pub mod sessions;
pub mod settings;
pub mod snapshot;
#[cfg(test)]
mod sql_test;
pub mod tags;
pub mod tasks;
pub mod users;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use tokio::sync::oneshot;

pub use conn::{Conn, Tx};

/// How many threads read at once.
const READERS: usize = 3;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("database: {0}")]
    Sql(#[from] rusqlite::Error),
    #[error("database: a document could not be written: {0}")]
    Document(#[from] serde_json::Error),
    #[error(
        "database {path}: its schema is version {found}, this program knows {known}: start the newer \
         aright-controller, or restore the copy made before its migration"
    )]
    Newer { path: String, found: i64, known: i64 },
    #[error("database {path} is damaged: {found}; next: restore a backup")]
    Damaged { path: String, found: String },
    #[error("database: commit failed: {0}")]
    Commit(String),
    #[error("database: stopped")]
    Stopped,
}

/// The newest schema that this program knows.
pub fn schema() -> i64 {
    migrate::newest()
}

type Read = Box<dyn FnOnce(&Conn) + Send>;

/// Cloning shares the threads; they end when the last clone is gone.
#[derive(Clone)]
pub struct Store {
    writer: writer::Writer,
    readers: mpsc::Sender<Read>,
    statements: Arc<AtomicU64>,
}

impl Store {
    /// Opens the database, brings its schema up to date (a copy is made first) and starts the threads.
    ///
    /// # Errors
    /// A file that is no database of ours, a newer schema, a full disk.
    pub fn open(path: &Path, backups: &Path) -> Result<Self, StoreError> {
        let statements = Arc::new(AtomicU64::new(0));
        let mut raw = rusqlite::Connection::open(path)?;
        raw.execute_batch(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; \
             PRAGMA busy_timeout=10000; PRAGMA trusted_schema=OFF;",
        )?;
        raw.set_prepared_statement_cache_capacity(256);
        migrate::up(&mut raw, path, backups)?;
        let (readers, reads) = mpsc::channel::<Read>();
        let reads = Arc::new(Mutex::new(reads));
        for n in 0..READERS {
            let raw = rusqlite::Connection::open(path)?;
            raw.execute_batch("PRAGMA query_only=ON; PRAGMA busy_timeout=10000; PRAGMA trusted_schema=OFF;")?;
            raw.set_prepared_statement_cache_capacity(256);
            let conn = Conn::new(raw, statements.clone());
            let reads = reads.clone();
            spawn(&format!("store-read-{n}"), move || read_all(&conn, &reads))?;
        }
        let writer = writer::Writer::start(Conn::new(raw, statements.clone()))?;
        Ok(Self { writer, readers, statements })
    }

    /// Asks on a reading connection.
    ///
    /// # Errors
    /// What `ask` returns, or the store is stopped.
    pub async fn read<T, E>(&self, ask: impl FnOnce(&Conn) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let read: Read = Box::new(move |conn| drop(tell.send(ask(conn))));
        self.readers.send(read).map_err(|_| StoreError::Stopped)?;
        told.await.map_err(|_| StoreError::Stopped)?
    }

    /// Runs `change` inside a transaction that it may share with others; an error undoes it alone.
    /// The reply comes when the commit is on disk. Once begun it happens even if the caller is gone.
    ///
    /// # Errors
    /// What `change` returns, or the commit failed.
    pub async fn write<T, E>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.writer.write(change).await
    }

    /// How many statements were run since the start, by all threads.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }
}

fn read_all(conn: &Conn, reads: &Mutex<mpsc::Receiver<Read>>) {
    loop {
        let next = match reads.lock() {
            Ok(reads) => reads.recv(),
            Err(_) => return,
        };
        let Ok(read) = next else { return };
        // However many statements a question takes, they see one state of the store.
        let begun = conn.raw.execute_batch("BEGIN");
        // A panic in one question must not silence the thread; its asker sees `Stopped`.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| read(conn)));
        if let Err(error) = begun.and_then(|()| conn.raw.execute_batch("ROLLBACK")) {
            tracing::error!(%error, "a reading connection is out of step");
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map(drop)
        .map_err(|error| StoreError::Commit(format!("thread {name}: {error}")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A store in a folder of its own.
    pub(crate) fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        let store =
            Store::open(&folder.path().join("aright.db"), &folder.path().join("backup")).expect("opens");
        (folder, store)
    }

    #[tokio::test]
    async fn an_error_undoes_its_own_change_alone() {
        let (_folder, store) = store();
        let good = store.write(|tx| settings::put(tx, "a", "1"));
        let bad = store.write(|tx| {
            settings::put(tx, "b", "2")?;
            Err::<(), _>(StoreError::Stopped)
        });
        let (good, bad) = tokio::join!(good, bad);
        good.expect("written");
        bad.expect_err("undone");
        let found = store
            .read(|conn| Ok::<_, StoreError>((settings::get(conn, "a")?, settings::get(conn, "b")?)))
            .await
            .expect("read");
        assert_eq!(found, (Some("1".into()), None));
    }

    #[tokio::test]
    async fn a_panic_in_a_change_neither_stops_the_store_nor_stays_in_it() {
        let (_folder, store) = store();
        let broken = store.write(|tx| -> Result<(), StoreError> {
            settings::put(tx, "a", "1")?;
            panic!("a defect")
        });
        assert!(matches!(broken.await, Err(StoreError::Stopped)));
        store.write(|tx| settings::put(tx, "b", "2")).await.expect("still writing");
        assert_eq!(store.read(|conn| settings::get(conn, "a")).await.expect("read"), None);
    }

    #[tokio::test]
    async fn a_question_sees_one_state_however_many_statements_it_takes() {
        let (_folder, store) = store();
        store.write(|tx| settings::put(tx, "a", "1")).await.expect("written");
        let (tell, told) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let question = store.read(move |conn| {
            let before = settings::get(conn, "a")?;
            tell.send(()).expect("heard");
            may_go_on.recv().expect("told");
            Ok::<_, StoreError>((before, settings::get(conn, "a")?))
        });
        let change = async {
            tokio::task::spawn_blocking(move || told.recv()).await.expect("waited").expect("told");
            store.write(|tx| settings::put(tx, "a", "2")).await.expect("written");
            go_on.send(()).expect("heard");
        };
        let (seen, ()) = tokio::join!(question, change);
        assert_eq!(seen.expect("read"), (Some("1".into()), Some("1".into())));
    }

    #[tokio::test]
    async fn effects_follow_the_commit_and_only_it() {
        let (_folder, store) = store();
        let (tell, told) = mpsc::channel();
        let other = tell.clone();
        store
            .write(move |tx| {
                tx.on_commit(move || tell.send("kept").expect("heard"));
                settings::put(tx, "a", "1")
            })
            .await
            .expect("written");
        let _ = store
            .write(move |tx| {
                tx.on_commit(move || other.send("undone").expect("heard"));
                Err::<(), _>(StoreError::Stopped)
            })
            .await;
        assert_eq!(told.iter().collect::<Vec<_>>(), ["kept"]);
    }
}
