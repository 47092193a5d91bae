//! Changes that an agent was cut off in, brought to their end without it: before it is taken from the host.

use std::fs;
use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use aright_shared::library::Library;
use aright_shared::task::TaskReport;
use aright_shared::time::WallClock;

use crate::config::Config;
use crate::sight;
use crate::task::recover;
use crate::task::spool::{Spool, Wait};

/// In the state folder: what takes the agent away leaves that folder, whose originals are still wanted.
const MARK: &str = "half-done";

/// Finishes or undoes them as the service does when it starts. What they came to, for the controller in their journals.
///
/// # Errors
/// One could not be brought to its end, and why; then, and only then, `half-done` lies in the state folder.
pub fn finish(config: &Config) -> anyhow::Result<Vec<TaskReport>> {
    let tasks = config.state.join("tasks");
    if !tasks.try_exists().with_context(|| format!("cannot look into {}", config.state.display()))? {
        return Ok(Vec::new());
    }
    let mark = config.state.join(MARK);
    let ended = Spool::open(&tasks, Arc::new(WallClock)).map_err(Into::into).and_then(|spool| {
        let lock = spool.lock(Wait::AMoment)?;
        let here = sight::this_host(config, &config.state, Library::builtin(), None)?;
        let mut ended = Vec::new();
        for (mut journal, pending) in spool.cut_off(&lock)? {
            ended.extend(recover::finish(&mut journal, pending, &spool, &here, &lock)?);
        }
        Ok(ended)
    });
    match ended {
        Ok(ended) => match fs::remove_file(&mark) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", mark.display()))
            }
            _ => Ok(ended),
        },
        Err(error) => {
            let error: anyhow::Error = error;
            // Where not even this can be written, nobody can remove the folder either.
            let _ = fs::write(&mark, format!("{error:#}\n"));
            Err(error.context(format!(
                "a change of this host was cut off and is not brought to its end; its originals are in {}",
                tasks.display()
            )))
        }
    }
}
