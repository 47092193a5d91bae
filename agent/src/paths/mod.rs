//! Where settings and state lie on this system.

use std::path::PathBuf;

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

/// Where a script sees nothing of the host's.
pub use system::OUT_OF_SIGHT;

/// The settings file unless `--config` names another.
pub fn default_config() -> PathBuf {
    PathBuf::from(system::CONFIG)
}

/// The state folder unless settings or `--state` name another.
pub fn default_state() -> PathBuf {
    PathBuf::from(system::STATE)
}
