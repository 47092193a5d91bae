//! By the Filesystem Hierarchy Standard.

pub const CONFIG: &str = "/etc/aright/agent.toml";
pub use crate::cage::plan::REPLACED as OUT_OF_SIGHT;

pub const STATE: &str = "/var/lib/aright-agent";
