//! Linux: sshd, and a default route.

mod sshd;

use std::path::Path;

use super::Probe;

/// Each probe of this system, and whether it holds.
pub fn look() -> Vec<(Probe, bool)> {
    let root = Path::new("/");
    vec![
        (Probe::SshdAnswers, sshd::answers()),
        (Probe::SshdSettings, sshd::accepts_its_settings()),
        (Probe::Administrator, sshd::lets_an_administrator_in(root)),
        (Probe::DefaultRoute, has_default_route(root)),
    ]
}

fn has_default_route(root: &Path) -> bool {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let v4 = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        fields.get(1) == Some(&"00000000") && fields.get(7) == Some(&"00000000")
    };
    let v6 = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let everywhere =
            fields.first() == Some(&"00000000000000000000000000000000") && fields.get(1) == Some(&"00");
        everywhere && fields.last().is_some_and(|device| *device != "lo")
    };
    read("proc/thread-self/net/route").lines().any(v4)
        || read("proc/thread-self/net/ipv6_route").lines().any(v6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_route_of_either_kind_is_seen() {
        let dir = tempfile::tempdir().expect("folder");
        let net = dir.path().join("proc/thread-self/net");
        std::fs::create_dir_all(&net).expect("folder");
        std::fs::write(net.join("route"), "Iface\tDestination\nlo 0000007F 0 1 0 0 0 000000FF 0\n")
            .expect("write");
        assert!(!has_default_route(dir.path()));
        let route = "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n";
        std::fs::write(net.join("route"), route).expect("write");
        assert!(has_default_route(dir.path()));
    }
}
