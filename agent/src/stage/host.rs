//! What the host is like, as far as its stage depends on it: mounts, replaced folders, secrets.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::{fs, io};

use globset::GlobBuilder;

use crate::cage::plan::{Cover, Folder, HostMount, REPLACED};

/// Covered unless an approved script lists them in `reads`; `agent.toml` may add to it.
pub const NEVER_READ: [&str; 17] = [
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/krb5.keytab",
    "/etc/ipsec.secrets",
    "/etc/wireguard",
    "/etc/NetworkManager/system-connections",
    "/etc/letsencrypt/archive",
    "/root/.ssh/id_*",
    "/var/backups/shadow.bak",
    "/var/backups/gshadow.bak",
    "/var/lib/sss/secrets",
];

/// What nobody is to see of a host: [`NEVER_READ`] and what its owner adds.
#[derive(Clone, Debug)]
pub struct Secrets(Vec<globset::GlobMatcher>);

impl Secrets {
    pub fn with(never_read: &[String]) -> Self {
        let patterns = NEVER_READ.iter().copied().chain(never_read.iter().map(String::as_str));
        Self(patterns.filter_map(|pattern| matcher(Path::new(pattern))).collect())
    }

    /// A pattern for a folder holds for all in it.
    pub fn hold(&self, path: &Path) -> bool {
        self.0.iter().any(|secret| path.ancestors().any(|part| secret.is_match(part)))
    }
}

/// Most paths that one pattern may lead to.
const MAX_MATCHES: usize = 10_000;
/// Most patterns that are kept ready: the never-read ones of this host, and what scripts have declared.
const MAX_MADE: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// What can be seen, parents before what lies below them.
    pub mounts: Vec<HostMount>,
    /// Where [`REPLACED`] really lie.
    pub replaced: Vec<PathBuf>,
    pub run_folders: Vec<Folder>,
}

impl Host {
    pub fn read() -> io::Result<Self> {
        let replaced: Vec<PathBuf> = REPLACED.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        Ok(Self {
            // Of this thread: another one may live in another mount namespace.
            mounts: visible(&parse(&fs::read("/proc/thread-self/mountinfo")?)),
            replaced,
            run_folders: run_folders()?,
        })
    }

    pub fn is_replaced(&self, path: &Path) -> bool {
        self.replaced.iter().any(|folder| path.starts_with(folder))
    }
}

/// What of `never_read` and `state` is there, less what the script may read.
pub fn covers(never_read: &[String], state: &[PathBuf], reads: &[String]) -> io::Result<Vec<Cover>> {
    let mut covers = Vec::new();
    let patterns = NEVER_READ.iter().copied().chain(never_read.iter().map(String::as_str));
    for pattern in patterns.filter(|pattern| !reads.iter().any(|path| path == pattern)) {
        covers.extend(matches(Path::new(pattern))?.into_iter().filter(|path| !may_read(reads, path)));
    }
    covers.extend(state.iter().filter_map(|path| fs::canonicalize(path).ok()));
    covers.sort();
    covers.dedup_by(|inner, outer| inner.starts_with(outer));
    Ok(covers.into_iter().map(|path| Cover { folder: path.is_dir(), path }).collect())
}

fn may_read(reads: &[String], path: &Path) -> bool {
    reads.iter().any(|read| matcher(Path::new(read)).is_some_and(|glob| glob.is_match(path)))
}

/// The existing paths a pattern stands for, links resolved. A dangling link stands for nothing.
pub fn matches(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let below = pattern.strip_prefix("/").unwrap_or(pattern);
    Ok(expand(Path::new("/"), below)?.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect())
}

/// The existing paths a pattern below a folder stands for, as they are.
pub fn expand(folder: &Path, pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![folder.to_owned()];
    for part in pattern.components() {
        let mut next = Vec::new();
        for folder in found {
            if !is_pattern(part.as_os_str()) {
                next.push(folder.join(part));
                continue;
            }
            let Some(glob) = matcher(Path::new(part.as_os_str())) else { continue };
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries {
                let name = entry?.file_name();
                if glob.is_match(&name) {
                    next.push(folder.join(name));
                }
                if next.len() > MAX_MATCHES {
                    return Err(io::Error::other(format!("{} stands for too many paths", pattern.display())));
                }
            }
        }
        found = next;
    }
    found.retain(|path| fs::symlink_metadata(path).is_ok());
    found.sort();
    Ok(found)
}

pub fn is_pattern(part: &OsStr) -> bool {
    part.as_bytes().iter().any(|c| b"*?[".contains(c))
}

/// `*`, `?` and `[…]` within one name; braces and `**` have no meaning. Kept once it is made, since that takes longer
/// than all else here.
pub fn matcher(pattern: &Path) -> Option<globset::GlobMatcher> {
    static MADE: LazyLock<Mutex<HashMap<PathBuf, globset::GlobMatcher>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(matcher) = made.get(pattern) {
        return Some(matcher.clone());
    }
    let text = pattern.to_str()?.replace('{', "[{]").replace('}', "[}]");
    let text = text.replace("**", "*");
    let glob = GlobBuilder::new(&text).literal_separator(true).backslash_escape(false).build().ok()?;
    let matcher = glob.compile_matcher();
    if made.len() < MAX_MADE {
        made.insert(pattern.to_owned(), matcher.clone());
    }
    Some(matcher)
}

/// The top-level folders of `/run`, but for their content. Never `/run/systemd/system`: systemctl would want
/// the bus.
fn run_folders() -> io::Result<Vec<Folder>> {
    let mut folders = Vec::new();
    let Ok(entries) = fs::read_dir("/run") else { return Ok(folders) };
    for entry in entries {
        let entry = entry?;
        // Gone in between, or without a printable name: nothing a script needs.
        let (Ok(stat), Some(name)) = (entry.metadata(), entry.file_name().to_str().map(str::to_owned)) else {
            continue;
        };
        if stat.is_dir() && folders.len() < 256 {
            folders.push(Folder { name, mode: stat.mode() & 0o7777, uid: stat.uid(), gid: stat.gid() });
        }
    }
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(folders)
}

/// In bytes, swap included; `None` where the kernel does not say.
pub fn free_memory() -> Option<u64> {
    free(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn free(meminfo: &str) -> Option<u64> {
    let kilobytes = |name: &str| {
        let value = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some((kilobytes("MemAvailable")? + kilobytes("SwapFree").unwrap_or(0)) << 10)
}

#[derive(Debug)]
struct Line {
    id: u32,
    parent: u32,
    mount: HostMount,
}

/// The lines of mountinfo(5) as this process sees them; one that cannot be read is left out.
fn parse(mountinfo: &[u8]) -> Vec<Line> {
    mountinfo.split(|&c| c == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Line> {
    let fields: Vec<&[u8]> = line.split(|&c| c == b' ').collect();
    let number = |index: usize| std::str::from_utf8(fields.get(index)?).ok()?.parse().ok();
    let dash = fields.iter().skip(6).position(|field| *field == b"-")? + 6;
    let options: HashSet<&[u8]> = fields.get(5)?.split(|&c| c == b',').collect();
    let of_super = fields.get(dash + 3).copied().unwrap_or_default();
    Some(Line {
        id: number(0)?,
        parent: number(1)?,
        mount: HostMount {
            at: path(fields.get(4)?),
            device: std::str::from_utf8(fields.get(2)?).ok()?.to_owned(),
            root: path(fields.get(3)?),
            kind: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned(),
            read_only: options.contains(&b"ro"[..]) || of_super.split(|&c| c == b',').any(|o| o == b"ro"),
            nosuid: options.contains(&b"nosuid"[..]),
            noexec: options.contains(&b"noexec"[..]),
        },
    })
}

fn path(field: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(unescape(field)))
}

/// Octal escapes: `\040` is a space.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal =
            after.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..b'8').contains(d)));
        match octal {
            Some(digits) => {
                let value = digits.iter().fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0'));
                plain.push(value.to_le_bytes()[0]);
                rest = &after[3..];
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

/// Mounts that are not hidden: by another on the same place, or by one above them.
fn visible(lines: &[Line]) -> Vec<HostMount> {
    let hides = |over: &Line, under: &Line| {
        (over.parent == under.id && over.mount.at == under.mount.at)
            || (over.parent == under.parent
                && over.id != under.id
                && over.mount.at != under.mount.at
                && under.mount.at.starts_with(&over.mount.at))
    };
    let mut hidden: HashSet<u32> = HashSet::new();
    for under in lines {
        if lines.iter().any(|over| over.id != under.id && hides(over, under)) {
            hidden.insert(under.id);
        }
    }
    // What lies on a hidden mount is hidden too, but for what lies on its own root.
    loop {
        let below = |line: &&Line| !hidden.contains(&line.id) && hidden_with_parent(line, lines, &hidden);
        let more: Vec<u32> = lines.iter().filter(below).map(|line| line.id).collect();
        if more.is_empty() {
            break;
        }
        hidden.extend(more);
    }
    let mut mounts: Vec<HostMount> =
        lines.iter().filter(|line| !hidden.contains(&line.id)).map(|line| line.mount.clone()).collect();
    mounts.sort_by(|a, b| a.at.cmp(&b.at));
    mounts
}

fn hidden_with_parent(line: &Line, lines: &[Line], hidden: &HashSet<u32>) -> bool {
    lines.iter().any(|parent| {
        parent.id == line.parent
            && parent.id != line.id
            && hidden.contains(&parent.id)
            && parent.mount.at != line.mount.at
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(mountinfo: &str) -> Vec<(String, String)> {
        let mounts = visible(&parse(mountinfo.as_bytes()));
        mounts.into_iter().map(|mount| (mount.at.display().to_string(), mount.kind)).collect()
    }

    #[test]
    fn parents_come_first_and_hidden_mounts_not_at_all() {
        let mountinfo = "\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 8:1 / /mnt/a/b rw - ext4 /dev/sda1 rw
41 40 8:1 / /mnt/a/b/c rw - xfs /dev/sda1 rw
42 27 0:50 / /mnt/a rw - tmpfs none rw
43 27 0:51 / /var rw - ext4 one rw
44 43 0:52 / /var ro,nosuid - btrfs two rw
45 44 0:53 / /var/lib\\040x rw - ext4 three ro
";
        assert_eq!(
            seen(mountinfo),
            [("/", "ext4"), ("/mnt/a", "tmpfs"), ("/var", "btrfs"), ("/var/lib x", "ext4")]
                .map(|(at, kind)| (at.to_owned(), kind.to_owned()))
        );
        let mounts = visible(&parse(mountinfo.as_bytes()));
        assert_eq!(mounts.iter().map(|m| m.read_only).collect::<Vec<_>>(), [false, false, true, true]);
        assert!(mounts[2].nosuid && !mounts[2].noexec);
    }

    #[test]
    fn optional_fields_and_rubbish_are_borne() {
        let mountinfo = "1 0 0:1 / / rw shared:1 master:2 - overlay o rw\n\nx y\n2 1 0:2 / /a rw\n";
        assert_eq!(seen(mountinfo), [("/".to_owned(), "overlay".to_owned())]);
    }

    #[test]
    fn free_memory_is_what_is_available_and_swap() {
        let meminfo = "MemTotal:       8000 kB\nMemFree:         100 kB\nMemAvailable:   2048 kB\nSwapFree:       1024 kB\n";
        assert_eq!(free(meminfo), Some(3 << 20));
        assert_eq!(free("MemAvailable:   1024 kB\n"), Some(1 << 20));
        assert_eq!(free("MemFree: 100 kB\n"), None);
        assert!(free_memory().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn a_pattern_stays_within_one_name() {
        let glob = matcher(Path::new("/etc/*.d/{a}?")).expect("a pattern");
        assert!(glob.is_match("/etc/x.d/{a}1"));
        assert!(!glob.is_match("/etc/x/y.d/{a}1") && !glob.is_match("/etc/x.d/a1"));
        let all = matcher(Path::new("/etc/**")).expect("a pattern");
        assert!(all.is_match("/etc/a") && !all.is_match("/etc/a/b"));
    }

    #[test]
    fn this_host_has_a_root_and_its_secrets_exist() {
        let host = Host::read().expect("readable");
        assert_eq!(host.mounts[0].at, Path::new("/"));
        for cover in covers(&[], &[], &[]).expect("readable") {
            assert!(cover.path.exists(), "{cover:?}");
        }
    }
}
