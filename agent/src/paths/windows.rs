//! By the known folders: ProgramData is where services keep what is theirs.

pub const CONFIG: &str = r"C:\ProgramData\Aright\agent.toml";
pub const STATE: &str = r"C:\ProgramData\Aright\Agent";

/// Scripts see all of this system.
pub const OUT_OF_SIGHT: [&str; 0] = [];
