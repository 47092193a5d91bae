//! Where settings and state lie on this system.

use std::path::PathBuf;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;

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
