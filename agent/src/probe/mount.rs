//! `mount`: what is mounted at a point now (proc(5), mountinfo), and what fstab(5) says of it.

use aright_shared::content::probe::Mount;
use aright_shared::posture::{ErrorCode, Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence, record};

const NOW: &str = "/proc/self/mountinfo";
const FSTAB: &str = "/etc/fstab";

/// A record `device, type, options, fstab`; absent (value) where neither knows the point.
pub(super) fn see(look: &Look<'_>, with: &Mount) -> Seen {
    let point = if with.point == "/" { "/" } else { with.point.trim_end_matches('/') };
    let mut shown = Vec::new();
    let fstab = match look.text(FSTAB) {
        Ok(text) => listed(&text, point),
        Err(Failed::Absent) => None,
        Err(failed) => return Seen::of(failed.reading()),
    };
    if let Some(entry) = &fstab {
        shown.push(evidence(FSTAB, Some(format!("line {}", entry.number)), &entry.line));
    }
    let pending = look.pending().is_some_and(|pending| pending.mounts.contains(point));
    let now = match now(look) {
        Ok(text) => text.and_then(|text| mounted(&text, point)),
        Err(error) => return Seen::error(ErrorCode::ProbeFailed, format!("{NOW}: {error}")),
    };
    if now.is_none() && fstab.is_none() && !pending {
        return Seen::of(Reading::Absent(Missing::Value));
    }
    let known = |value: Option<Value>| match value {
        _ if pending => Reading::Pending,
        Some(value) => Reading::Value(value),
        None => Reading::Absent(Missing::Value),
    };
    if let Some(now) = &now {
        shown.push(evidence(NOW, Some(format!("line {}", now.number)), &now.line));
    }
    let text = |part: fn(&Now) -> &str| now.as_ref().map(|now| Value::Text(part(now).to_owned()));
    let fields = [
        ("device", known(text(|now| &now.device))),
        ("type", known(text(|now| &now.kind))),
        ("options", known(now.as_ref().map(|now| list(&now.options)))),
        (
            "fstab",
            fstab.map_or(Reading::Absent(Missing::Value), |entry| Reading::Value(list(&entry.options))),
        ),
    ];
    Seen::value(record(fields), shown)
}

/// What is mounted says nothing of a prepared tree. A mount point need not be UTF-8: one that is not must
/// not hide the others.
fn now(look: &Look<'_>) -> std::io::Result<Option<String>> {
    if !look.is_of_this_host() {
        return Ok(None);
    }
    std::fs::read(NOW).map(|bytes| Some(String::from_utf8_lossy(&bytes).into_owned()))
}

struct Now {
    number: usize,
    device: String,
    kind: String,
    /// Of the mount, then of the file system.
    options: Vec<String>,
    line: String,
}

/// The topmost mount at a point: the last one listed.
fn mounted(text: &str, point: &str) -> Option<Now> {
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().enumerate().rev().find_map(|(n, line)| {
        let (mount, system) = line.split_once(" - ")?;
        let mount: Vec<&str> = mount.split(' ').collect();
        let system: Vec<&str> = system.split(' ').collect();
        let (at, own, [kind, device, more]) = (mount.get(4)?, mount.get(5)?, system.get(..3)?) else {
            return None;
        };
        (unescaped(at) == point).then(|| Now {
            number: n + 1,
            device: unescaped(device),
            kind: (*kind).to_owned(),
            options: both(own, more),
            line: (*line).to_owned(),
        })
    })
}

/// Options of a mount and of its file system; read-only is what either of them says.
fn both(own: &str, system: &str) -> Vec<String> {
    let mut both = options(&format!("{own},{system}"));
    if both.iter().any(|option| option == "ro") {
        both.retain(|option| option != "rw");
    }
    both
}

struct Entry {
    number: usize,
    options: Vec<String>,
    line: String,
}

/// The first entry for a point: mount(8) and systemd-fstab-generator take that one (tried).
fn listed(text: &str, point: &str) -> Option<Entry> {
    text.lines().enumerate().find_map(|(n, line)| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [device, at, _kind, rest @ ..] = words.as_slice() else { return None };
        let at = unescaped(at);
        let at = if at == "/" { "/" } else { at.trim_end_matches('/') };
        let given = rest.first().copied().unwrap_or("defaults");
        (!device.starts_with('#') && at == point).then(|| Entry {
            number: n + 1,
            options: options(given),
            line: line.to_owned(),
        })
    })
}

/// Without repeats, in order.
fn options(text: &str) -> Vec<String> {
    let mut options: Vec<String> = Vec::new();
    for option in text.split(',').filter(|option| !option.is_empty()) {
        if !options.iter().any(|known| known == option) {
            options.push(option.to_owned());
        }
    }
    options
}

fn list(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| Value::Text(text.clone())).collect())
}

/// `\040` and the like, as both files write blanks.
fn unescaped(text: &str) -> String {
    let mut plain = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let octal = bytes.get(at + 1..at + 4).and_then(|digits| std::str::from_utf8(digits).ok());
        match (byte, octal.and_then(|digits| u8::from_str_radix(digits, 8).ok())) {
            (b'\\', Some(escaped)) => {
                plain.push(escaped);
                at += 4;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look_at, look_in};
    use super::super::{Pending, View};
    use super::*;

    const INFO: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 22 0:26 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,inode64
31 30 0:27 / /dev/shm ro,noexec - tmpfs over\\040it rw
32 22 0:28 / /mnt/a\\040b\\134c rw master:1 propagate_from:2 - xfs /dev/vdb rw
";

    fn now(point: &str) -> Option<(String, String, String)> {
        mounted(INFO, point).map(|now| (now.device, now.kind, now.options.join(",")))
    }

    #[test]
    fn the_topmost_mount_counts() {
        let over = ("over it".into(), "tmpfs".into(), "ro,noexec".into());
        assert_eq!(now("/dev/shm"), Some(over));
        let root = ("/dev/vda".into(), "ext4".into(), "rw,relatime,errors=remount-ro".into());
        assert_eq!(now("/"), Some(root));
        assert_eq!(now("/mnt/a b\\c").map(|(device, ..)| device).as_deref(), Some("/dev/vdb"));
        assert_eq!(now("/dev"), None);
        assert!(mounted("22 1 254:0 / / rw - \n - \nx", "/").is_none(), "broken lines are none");
    }

    #[test]
    fn fstab_is_read_as_mount_reads_it() {
        let fstab = "#/dev/x /tmp ext4 a\ntmpfs\t/tmp/  tmpfs nodev,nosuid,nodev 0 0\n/dev/y /srv ext4\n/dev/z /tmp ext4 ro\n";
        let options = |point| listed(fstab, point).map(|entry| entry.options.join(","));
        assert_eq!(options("/tmp").as_deref(), Some("nodev,nosuid"));
        assert_eq!(options("/srv").as_deref(), Some("defaults"));
        assert_eq!(options("/home"), None);
    }

    #[test]
    fn what_is_mounted_here_says_nothing_of_a_prepared_tree() {
        let with = Mount { point: "/proc".into() };
        look_at(&[], |look| assert_eq!(see(look, &with).reading, Reading::Absent(Missing::Value)));
        let (root, view) = (crate::root::Root::live().expect("opens"), View::Live);
        let seen = see(&Look::new(&root, &view), &with);
        assert!(seen.reading.to_string().contains("type proc"), "{}", seen.reading);
        assert!(seen.evidence[0].place.as_deref().is_some_and(|place| place.starts_with("line ")));
    }

    #[test]
    fn a_point_that_nobody_knows_is_absent_and_a_remount_is_pending() {
        let with = Mount { point: "/no/such/point".into() };
        look_at(&[], |look| assert_eq!(see(look, &with).reading, Reading::Absent(Missing::Value)));
        let pending = Pending { mounts: ["/no/such/point".into()].into(), ..Pending::default() };
        let fstab = [("etc/fstab", "x /no/such/point ext4 noexec\n")];
        look_in(&View::Stage(pending), &fstab, |look| {
            let seen = see(look, &with).reading.to_string();
            assert!(seen.contains("options pending") && seen.contains("fstab [noexec]"), "{seen}");
        });
    }
}
