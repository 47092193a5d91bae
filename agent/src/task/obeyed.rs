//! Tasks whose journals are gone, so that none is obeyed again: a controller that was restored from a backup may have
//! forgotten that they ran.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use aright_shared::id::TaskId;

use crate::durable;

/// Most that are remembered, the last: at 50 tasks a day more than a year.
const MAX: usize = 20_000;

/// `.obeyed` among the journals: their ids, a JSON array of at most 600 kB.
pub struct Obeyed {
    path: PathBuf,
    tasks: VecDeque<TaskId>,
}

impl Obeyed {
    /// # Errors
    /// It is there and cannot be read: then nothing may be obeyed.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let path = dir.join(".obeyed");
        let tasks = match durable::read(&path)? {
            Some(bytes) => serde_json::from_slice(&bytes)?,
            None => VecDeque::new(),
        };
        Ok(Self { path, tasks })
    }

    pub fn has(&self, task: &TaskId) -> bool {
        self.tasks.contains(task)
    }

    /// On disk when it returns.
    ///
    /// # Errors
    /// The disk refused.
    pub fn add(&mut self, tasks: impl IntoIterator<Item = TaskId>) -> io::Result<()> {
        self.tasks.extend(tasks);
        self.tasks.drain(..self.tasks.len().saturating_sub(MAX));
        durable::write(&self.path, &serde_json::to_vec(&self.tasks)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_are_remembered() {
        let dir = tempfile::tempdir().expect("folder");
        let (first, last) = (TaskId::new(), TaskId::new());
        Obeyed::open(dir.path()).expect("opens").add([first.clone()]).expect("written");
        let mut obeyed = Obeyed::open(dir.path()).expect("opens");
        assert!(obeyed.has(&first) && !obeyed.has(&last));
        obeyed.add((1..MAX).map(|_| TaskId::new())).expect("written");
        obeyed.add([last.clone()]).expect("written");
        let obeyed = Obeyed::open(dir.path()).expect("opens");
        assert!(!obeyed.has(&first) && obeyed.has(&last));
        std::fs::write(dir.path().join(".obeyed"), "[\"").expect("spoiled");
        assert!(Obeyed::open(dir.path()).is_err());
    }
}
