//! The one writer: changes that wait are put into one transaction, each behind a savepoint of its
//! own, and are answered when it is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;

use tokio::sync::oneshot;

use super::{Conn, StoreError, Tx, spawn};

/// Most changes in one transaction.
const GROUP: usize = 256;

/// Runs a change; `None` when it is to be undone. What it returns answers the caller.
type Change = Box<dyn FnOnce(&Tx<'_>) -> Ran + Send>;
type Answer = Box<dyn FnOnce(Option<String>) + Send>;

struct Ran {
    keep: bool,
    answer: Answer,
}

#[derive(Clone)]
pub(super) struct Writer(mpsc::Sender<Change>);

impl Writer {
    pub(super) fn start(conn: Conn) -> Result<Self, StoreError> {
        let (changes, waiting) = mpsc::channel::<Change>();
        spawn("store-write", move || {
            while let Ok(first) = waiting.recv() {
                let group = std::iter::once(first).chain(waiting.try_iter().take(GROUP - 1)).collect();
                commit(&conn, group);
            }
        })?;
        Ok(Self(changes))
    }

    pub(super) async fn write<T, E>(
        &self,
        change: impl FnOnce(&Tx<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (tell, told) = oneshot::channel();
        let change: Change = Box::new(move |tx| {
            let result = change(tx);
            let keep = result.is_ok();
            let answer: Answer = Box::new(move |failure| {
                let answer = match failure {
                    Some(why) if result.is_ok() => Err(StoreError::Commit(why).into()),
                    _ => result,
                };
                drop(tell.send(answer));
            });
            Ran { keep, answer }
        });
        self.0.send(change).map_err(|_| StoreError::Stopped)?;
        told.await.map_err(|_| StoreError::Stopped)?
    }
}

fn commit(conn: &Conn, group: Vec<Change>) {
    let mut answers = Vec::with_capacity(group.len());
    let mut effects = Vec::new();
    let mut failure = conn.batch("BEGIN IMMEDIATE").err();
    if failure.is_none() {
        for change in group {
            match one(conn, change) {
                Ok(Some((answer, after))) => {
                    answers.push(answer);
                    effects.extend(after);
                }
                // It panicked: dropping its answer tells the caller.
                Ok(None) => {}
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        failure = failure.or_else(|| conn.batch("COMMIT").err());
    }
    if let Some(error) = &failure {
        tracing::error!(error = %error, "a transaction was lost");
        let _ = conn.batch("ROLLBACK");
    } else {
        effects.into_iter().for_each(|effect| effect());
    }
    let why = failure.map(|error| error.to_string());
    answers.into_iter().for_each(|answer| answer(why.clone()));
}

type Effects = Vec<Box<dyn FnOnce() + Send>>;

fn one(conn: &Conn, change: Change) -> Result<Option<(Answer, Effects)>, StoreError> {
    conn.batch("SAVEPOINT one")?;
    let tx = Tx::new(conn);
    let ran = catch_unwind(AssertUnwindSafe(|| change(&tx)));
    let effects = tx.into_effects();
    match ran {
        Ok(Ran { keep: true, answer }) => {
            conn.batch("RELEASE one")?;
            Ok(Some((answer, effects)))
        }
        Ok(Ran { keep: false, answer }) => {
            conn.batch("ROLLBACK TO one; RELEASE one")?;
            Ok(Some((answer, Vec::new())))
        }
        Err(_) => {
            conn.batch("ROLLBACK TO one; RELEASE one")?;
            Ok(None)
        }
    }
}
