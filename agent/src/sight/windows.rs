//! Windows: there is only the live host to look at.

use std::io;
use std::path::Path;

use aright_shared::library::Library;

use super::TaskSight;
use crate::config::Config;
use crate::task::here::Here;

/// This host as tasks see it. `state` are the agent's own files; `name` can be looked up where all is well.
///
/// # Errors
/// None of this system.
pub fn this_host(
    config: &Config,
    state: &Path,
    library: &'static Library,
    name: Option<String>,
) -> io::Result<Here> {
    let sight = TaskSight { library, never_read: config.never_read(), state: vec![state.to_owned()] };
    Ok(Here::new(sight, config, name))
}
