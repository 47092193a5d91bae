//! The nonces of orders seen: a small durable store, so that each order is obeyed once.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aright_shared::id::TaskId;
use aright_shared::time::{DAY, Millis};
use serde::{Deserialize, Serialize};

use crate::durable;

/// Most nonces that are remembered at a time; beyond that nothing new is obeyed.
pub const MAX: usize = 10_000;
/// How long past an order's end its nonce is remembered.
const MARGIN: i64 = DAY;
const FILE: &str = "nonces.json";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Fresh,
    /// By this very task: it is being resumed.
    Same,
    /// By another task: a replay.
    Replayed {
        by: TaskId,
    },
}

#[derive(Debug, thiserror::Error)]
pub enum NonceError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{MAX} orders are remembered, which is the limit; the first is forgotten at {0}")]
    Full(Millis),
}

#[derive(Debug)]
pub struct Nonces {
    dir: PathBuf,
    seen: BTreeMap<String, Seen>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    task: TaskId,
    until: Millis,
}

impl Nonces {
    /// # Errors
    /// It is there and cannot be read: then nothing may be obeyed.
    pub fn open(dir: &Path) -> Result<Self, NonceError> {
        let fault = |source| NonceError::Io { path: dir.join(FILE), source };
        let seen = match durable::read(&dir.join(FILE)).map_err(fault)? {
            Some(bytes) => serde_json::from_slice(&bytes).map_err(|error| fault(error.into()))?,
            None => BTreeMap::new(),
        };
        Ok(Self { dir: dir.to_owned(), seen })
    }

    /// Claims a nonce for a task; on disk when it returns. Times are the controller's.
    ///
    /// # Errors
    /// Full, or not to be written: then the order must not be obeyed.
    pub fn claim(
        &mut self,
        nonce: &str,
        task: &TaskId,
        not_after: Millis,
        now: Millis,
    ) -> Result<Claim, NonceError> {
        if let Some(seen) = self.seen.get(nonce) {
            return Ok(if seen.task == *task {
                Claim::Same
            } else {
                Claim::Replayed { by: seen.task.clone() }
            });
        }
        let mut next = self.seen.clone();
        next.retain(|_, seen| seen.until >= now);
        if next.len() >= MAX {
            return Err(NonceError::Full(next.values().map(|seen| seen.until).min().unwrap_or(now)));
        }
        next.insert(nonce.to_owned(), Seen { task: task.clone(), until: not_after.plus(MARGIN) });
        let bytes = serde_json::to_vec(&next).map_err(io::Error::from);
        bytes
            .and_then(|bytes| durable::write(&self.dir.join(FILE), &bytes))
            .map_err(|source| NonceError::Io { path: self.dir.join(FILE), source })?;
        self.seen = next;
        Ok(Claim::Fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_obeyed_once_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("folder");
        let (one, two) = (TaskId::new(), TaskId::new());
        let now = Millis(1_000);
        let mut nonces = Nonces::open(dir.path()).expect("opens");
        assert_eq!(nonces.claim("n", &one, now, now).expect("claims"), Claim::Fresh);
        let mut nonces = Nonces::open(dir.path()).expect("opens");
        assert_eq!(nonces.claim("n", &one, now, now).expect("claims"), Claim::Same);
        assert_eq!(nonces.claim("n", &two, now, now).expect("claims"), Claim::Replayed { by: one.clone() });
        nonces.claim("m", &two, now, now.plus(2 * DAY)).expect("claims");
        assert_eq!(
            nonces.claim("n", &two, now, now).expect("claims"),
            Claim::Fresh,
            "forgotten past its margin"
        );
    }

    #[test]
    fn a_spoiled_store_obeys_nothing() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::write(dir.path().join(FILE), "{\"n\":").expect("write");
        assert!(Nonces::open(dir.path()).is_err());
    }
}
