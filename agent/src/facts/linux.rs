//! Linux: the machine id and, where there is one, the firmware's; the time zone.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

pub fn machine_sources() -> Vec<Vec<u8>> {
    ["/etc/machine-id", "/sys/class/dmi/id/product_uuid"]
        .iter()
        .filter_map(|path| fs::read(path).ok())
        .collect()
}

/// The IANA name of the host's time zone; empty where it has none by name.
pub fn timezone() -> String {
    timezone_in(Path::new("/etc"))
}

/// localtime(5): a link to the zone's file names it, and where there is none it is UTC. Where somebody
/// copied the file, Debian's /etc/timezone may have the name.
fn timezone_in(etc: &Path) -> String {
    let name = match fs::read_link(etc.join("localtime")) {
        Ok(link) => link.to_string_lossy().split_once("zoneinfo/").map(|(_, name)| name.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => Some("UTC".into()),
        Err(_) => fs::read_to_string(etc.join("timezone")).ok(),
    };
    let name = name.unwrap_or_default();
    let name = name.trim().trim_start_matches("posix/");
    if is_zone(name) { name.to_owned() } else { String::new() }
}

fn is_zone(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    name.len() <= 64 && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etc() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn link(etc: &Path, target: &str) {
        std::os::unix::fs::symlink(target, etc.join("localtime")).expect("a link");
    }

    #[test]
    fn a_time_zone_is_named_by_its_link() {
        for (target, name) in [
            ("/usr/share/zoneinfo/Europe/Berlin", "Europe/Berlin"),
            ("../usr/share/zoneinfo/Etc/GMT+5", "Etc/GMT+5"),
            ("/usr/share/zoneinfo/posix/Asia/Tokyo", "Asia/Tokyo"),
            ("/usr/share/zoneinfo/a b", ""),
            ("/opt/own.tzif", ""),
        ] {
            let etc = etc();
            link(etc.path(), target);
            assert_eq!(timezone_in(etc.path()), name);
        }
    }

    #[test]
    fn without_a_link_by_debians_file_and_without_any_it_is_utc() {
        let etc = etc();
        assert_eq!(timezone_in(etc.path()), "UTC");
        fs::write(etc.path().join("localtime"), "TZif2").expect("a copy");
        assert_eq!(timezone_in(etc.path()), "");
        fs::write(etc.path().join("timezone"), "Asia/Kathmandu\n").expect("a file");
        assert_eq!(timezone_in(etc.path()), "Asia/Kathmandu");
    }
}
