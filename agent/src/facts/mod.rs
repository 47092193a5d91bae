//! What this host is: name, system, memory, boot time, time zone; and what tells it from its clones.

use aright_shared::digest::Digest;
use aright_shared::time::{Millis, SECOND};
use aright_shared::wire::Facts;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod system;

pub const AGENT_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Looked up anew at each call; cheap.
pub fn facts(confinement: String) -> Facts {
    let seen = System::new_with_specifics(
        RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()),
    );
    Facts {
        hostname: hostname(),
        os: System::long_os_version().unwrap_or_else(|| "unknown".into()),
        kernel: System::kernel_version().unwrap_or_else(|| "unknown".into()),
        arch: System::cpu_arch(),
        memory_mb: seen.total_memory() / (1024 * 1024),
        cpus: std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX)),
        boot_time: Millis(i64::try_from(System::boot_time()).unwrap_or(0).saturating_mul(SECOND)),
        agent_version: AGENT_VERSION.into(),
        confinement,
        timezone: system::timezone(),
    }
}

pub fn hostname() -> String {
    System::host_name().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".into())
}

/// What makes this machine itself: a keyed digest, since a machine id is to stay on its host
/// (machine-id(5)).
pub fn machine() -> Digest {
    let mut text = b"aright machine 1\n".to_vec();
    for source in system::machine_sources() {
        text.extend_from_slice(&source);
        text.push(b'\n');
    }
    Digest::of(&text)
}
