//! Changes that an agent was cut off in, brought to their end without it: before it is taken from the host.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use aright_shared::library::Library;
use aright_shared::task::TaskReport;
use aright_shared::time::WallClock;

use crate::config::Config;
use crate::task::recover;
use crate::task::spool::{HostLock, Spool, Wait};
use crate::{durable, sight};

/// In the state folder: what takes the agent away leaves that folder, whose originals are still wanted.
const MARK: &str = "half-done";

/// Finishes or undoes them as the service does when it starts. What they came to, for the controller in their journals.
///
/// # Errors
/// A task is under way. Or one of them could not be brought to its end, and why; then `half-done` lies in the state folder.
pub fn finish(config: &Config) -> anyhow::Result<Vec<TaskReport>> {
    let tasks = config.state.join("tasks");
    if !tasks.try_exists().with_context(|| format!("cannot look into {}", config.state.display()))? {
        return Ok(Vec::new());
    }
    let spool = Spool::open(&tasks, Arc::new(WallClock))?;
    let lock = spool.lock(Wait::AMoment)?;
    match all(config, &spool, &lock) {
        Ok(ended) => unmark(&config.state).map(|()| ended),
        Err(error) => {
            // Where not even this can be written, nobody can remove the folder either.
            let _ = fs::write(config.state.join(MARK), format!("{error:#}\n"));
            Err(error.context(format!(
                "a change of this host was cut off and is not brought to its end; its originals are in {}",
                tasks.display()
            )))
        }
    }
}

/// One that fails does not stop the others; the first failure counts.
fn all(config: &Config, spool: &Spool, lock: &HostLock) -> anyhow::Result<Vec<TaskReport>> {
    let here = sight::this_host(config, &config.state, Library::builtin(), None)?;
    let mut ended = Vec::new();
    let mut failed = None;
    for (mut journal, pending) in spool.cut_off(lock)? {
        match recover::finish(&mut journal, pending, spool, &here, lock) {
            Ok(report) => ended.extend(report),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        None => Ok(ended),
        Some(error) => Err(error.into()),
    }
}

/// Nothing is half-done.
///
/// # Errors
/// The disk refused.
pub fn unmark(state: &Path) -> anyhow::Result<()> {
    let mark = state.join(MARK);
    durable::remove(&mark).map(drop).with_context(|| format!("cannot remove {}", mark.display()))
}
