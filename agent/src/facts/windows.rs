//! Windows: the machine's id; the time zone.

use crate::registry;

pub fn machine_sources() -> Vec<Vec<u8>> {
    let guid = registry::value(r"HKLM\SOFTWARE\Microsoft\Cryptography", "MachineGuid");
    guid.ok().flatten().and_then(|value| value.as_text()).map(String::into_bytes).into_iter().collect()
}

/// Windows names its time zones by its own names: none is told rather than a wrong one.
pub fn timezone() -> String {
    String::new()
}
