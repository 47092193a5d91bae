//! By the Filesystem Hierarchy Standard.

pub const CONFIG: &str = "/etc/aright/agent.toml";
pub const STATE: &str = "/var/lib/aright-agent";
