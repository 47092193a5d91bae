//! `kernel_parameter`: what the kernel has now, and what systemd-sysctl(8) will set at the next boot.

use std::collections::BTreeMap;

use aright_shared::content::probe::KernelParameter;
use aright_shared::posture::{ErrorCode, Evidence, Missing, Reading, Value};

use super::{Failed, Look, Seen, dropins, evidence, record};

/// In order of precedence (sysctl.d(5)). /etc/sysctl.conf counts only where a link in one of them, as
/// Debian's 99-sysctl.conf, names it: systemd-sysctl does not read it by itself.
const FOLDERS: &[&str] = &["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];

/// A record `runtime, persisted`.
pub(super) fn see(look: &Look<'_>, with: &KernelParameter) -> Seen {
    let mut shown = Vec::new();
    let same = |name: &String| path_of(name) == path_of(&with.name);
    let pending = look.pending().is_some_and(|pending| pending.sysctls.iter().any(same));
    let runtime = if pending { Reading::Pending } else { runtime(&with.name, &mut shown) };
    let persisted = match persisted(look, &with.name) {
        Ok(Some(found)) => {
            shown.push(evidence(&found.path, Some(format!("line {}", found.line)), &found.text));
            typed(without_comment(&found.value))
        }
        Ok(None) => Reading::Absent(Missing::Value),
        Err(failed) => failed.reading(),
    };
    Seen::value(record([("runtime", runtime), ("persisted", persisted)]), shown)
}

/// The value that files give a kernel parameter.
pub fn persisted_value(look: &Look<'_>, name: &str) -> Option<String> {
    persisted(look, name).ok().flatten().map(|found| found.value)
}

/// The path below /proc/sys of a dotted name; slashes and dots change places where a dot comes first
/// (sysctl(8)). Where several of them stand, systemd-sysctl takes one (tried).
fn path_of(name: &str) -> Option<String> {
    let swap = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    let dotted = name.find(['.', '/']).is_some_and(|first| name[first..].starts_with('.'));
    let path: String = if dotted { name.chars().map(swap).collect() } else { name.to_owned() };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    (!parts.is_empty() && !parts.iter().any(|part| matches!(*part, "." | ".."))).then(|| parts.join("/"))
}

fn runtime(name: &str, shown: &mut Vec<Evidence>) -> Reading {
    let Some(path) = path_of(name) else {
        return Reading::Error {
            code: ErrorCode::ProbeFailed,
            detail: format!("{name:?} names no kernel parameter"),
        };
    };
    let path = format!("/proc/sys/{path}");
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            shown.push(evidence(&path, None, text.trim_end()));
            typed(text.trim())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Reading::Absent(Missing::Value),
        Err(error) => {
            let denied = error.kind() == std::io::ErrorKind::PermissionDenied;
            let code = if denied { ErrorCode::AccessDenied } else { ErrorCode::ProbeFailed };
            Reading::Error { code, detail: format!("{path}: {error}") }
        }
    }
}

fn typed(text: &str) -> Reading {
    Reading::Value(text.parse().map_or_else(|_| Value::Text(text.to_owned()), Value::Int))
}

/// systemd-sysctl writes what stands behind a number too; the kernel stops reading at the blank (tried).
fn without_comment(value: &str) -> &str {
    match value.split_once(char::is_whitespace) {
        Some((number, rest)) if rest.trim_start().starts_with('#') && number.parse::<i64>().is_ok() => number,
        _ => value,
    }
}

struct Found {
    path: String,
    line: usize,
    text: String,
    value: String,
}

/// By the rules of systemd-sysctl: of several lines with one key the last counts, a key without wildcards
/// beats those with (also `-key`, which only keeps them away), of several wildcards the last counts.
fn persisted(look: &Look<'_>, name: &str) -> Result<Option<Found>, Failed> {
    let Some(wanted) = path_of(name) else { return Ok(None) };
    let mut wild = Wildcards { path: &wanted, known: BTreeMap::new() };
    // In the order in which they are applied; `None` sets nothing.
    let mut lines: Vec<(String, Option<Found>)> = Vec::new();
    for path in dropins::files(look, FOLDERS, ".conf")? {
        let text = match look.text(&path) {
            Ok(text) => text,
            // A dangling link sets nothing.
            Err(Failed::Absent) => continue,
            Err(failed) => return Err(failed),
        };
        for (n, line) in text.lines().enumerate() {
            let Some((key, value)) = assignment(line) else { continue };
            let Some(key) = path_of(key.strip_prefix('-').unwrap_or(key).trim()) else { continue };
            if key != wanted && !wild.match_path(&key)? {
                continue;
            }
            let found = value.map(|value| Found {
                path: path.clone(),
                line: n + 1,
                text: line.to_owned(),
                value: value.to_owned(),
            });
            replace(&mut lines, key, found);
        }
    }
    let winner = match lines.iter().position(|(key, _)| *key == wanted) {
        Some(named) => Some(lines.swap_remove(named)),
        // With wildcards `-key` excludes nothing (tried).
        None => lines.into_iter().rev().find(|(_, found)| found.is_some()),
    };
    Ok(winner.and_then(|(_, found)| found))
}

/// A key said anew moves to the end, unless it says the same.
fn replace(lines: &mut Vec<(String, Option<Found>)>, key: String, found: Option<Found>) {
    let value = |found: &Option<Found>| found.as_ref().map(|found| found.value.clone());
    if let Some(at) = lines.iter().position(|(known, _)| *known == key) {
        if value(&lines[at].1) == value(&found) {
            return;
        }
        lines.remove(at);
    }
    lines.push((key, found));
}

/// `key = value`; `None` for comments and lines that are none.
fn assignment(line: &str) -> Option<(&str, Option<&str>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return None;
    }
    match line.split_once('=') {
        Some((key, value)) => Some((key.trim(), Some(value.trim()))),
        None => line.starts_with('-').then_some((line, None)),
    }
}

/// Most different keys with wildcards that are tried.
const MAX_WILDCARDS: usize = 500;

/// Keys with wildcards against one path, each compiled once.
struct Wildcards<'p> {
    path: &'p str,
    known: BTreeMap<String, bool>,
}

impl Wildcards<'_> {
    fn match_path(&mut self, key: &str) -> Result<bool, Failed> {
        // Only these make it one (tried): `{a,b}` alone is a name.
        if !key.contains(['*', '?', '[']) {
            return Ok(false);
        }
        let literal = key.find(['*', '?', '[', '{', '\\']);
        if !literal.is_some_and(|end| self.path.starts_with(&key[..end])) {
            return Ok(false);
        }
        if let Some(known) = self.known.get(key) {
            return Ok(*known);
        }
        if self.known.len() == MAX_WILDCARDS {
            let detail = format!("more than {MAX_WILDCARDS} keys with wildcards");
            return Err(Failed::Error(ErrorCode::TooLarge, detail));
        }
        let glob = globset::GlobBuilder::new(key).literal_separator(true).build();
        let holds = glob.is_ok_and(|glob| glob.compile_matcher().is_match(self.path));
        self.known.insert(key.to_owned(), holds);
        Ok(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look_at, look_in};
    use super::super::{Pending, View};
    use super::*;

    const NAME: &str = "net.ipv4.conf.all.send_redirects";

    fn value(files: &[(&str, &str)], name: &str) -> Option<String> {
        let mut found = None;
        look_at(files, |look| found = persisted_value(look, name));
        found
    }

    #[test]
    fn files_are_taken_by_name_and_earlier_folders_replace_later_ones() {
        let files = [
            ("etc/sysctl.d/10-a.conf", "net.ipv4.conf.all.send_redirects = 1\n"),
            ("usr/lib/sysctl.d/50-b.conf", "net/ipv4/conf/all/send_redirects=0\n"),
        ];
        assert_eq!(value(&files, NAME).as_deref(), Some("0"));
        let replaced = [files[1], ("etc/sysctl.d/50-b.conf", "# nothing\n")];
        assert_eq!(value(&replaced, NAME), None);
    }

    #[test]
    fn the_name_itself_beats_wildcards_and_an_exclusion_voids_them() {
        let wild = ("etc/sysctl.d/90.conf", "net.ipv4.conf.*.send_redirects = 0\n");
        assert_eq!(value(&[wild], NAME).as_deref(), Some("0"));
        let both = ("etc/sysctl.d/10.conf", "net.ipv4.conf.all.send_redirects = 1\n");
        assert_eq!(value(&[both, wild], NAME).as_deref(), Some("1"));
        for name in ["etc/sysctl.d/10.conf", "etc/sysctl.d/95.conf"] {
            let excluded = (name, "-net.ipv4.conf.all.send_redirects\n");
            assert_eq!(value(&[wild, excluded], NAME), None, "wherever it stands");
        }
        let taken_back = ("etc/sysctl.d/95.conf", "-net.ipv4.conf.all.send_redirects\n");
        assert_eq!(value(&[both, taken_back], NAME), None);
        let again = ("etc/sysctl.d/95.conf", "net.ipv4.*.all.send_redirects = 2\n");
        assert_eq!(value(&[wild, again], NAME).as_deref(), Some("2"));
    }

    #[test]
    fn comments_and_an_unlinked_sysctl_conf_do_not_count() {
        assert_eq!(value(&[("etc/sysctl.conf", "fs.suid_dumpable=0\n")], "fs.suid_dumpable"), None);
        let commented = [("etc/sysctl.d/1.conf", "; fs.suid_dumpable=0\n#fs.suid_dumpable=0\n")];
        assert_eq!(value(&commented, "fs.suid_dumpable"), None);
    }

    #[test]
    fn the_kernels_own_value_is_read_and_pending_in_a_stage() {
        let with = KernelParameter { name: "kernel.ostype".into() };
        look_at(&[], |look| assert!(see(look, &with).reading.to_string().contains("runtime Linux")));
        let pending = Pending { sysctls: ["kernel.ostype".into()].into(), ..Pending::default() };
        look_in(&View::Stage(pending), &[], |look| {
            assert!(see(look, &with).reading.to_string().contains("runtime pending"));
        });
    }

    /// What net.ipv4.conf.all.send_redirects was after systemd-sysctl 252 had applied one or two files; it
    /// was 1 before.
    #[test]
    fn lines_as_systemd_sysctl_takes_them() {
        let wild = "net.ipv4.conf.*.send_redirects";
        for (first, second, after) in [
            ("net.ipv4.conf.{all,default}.send_redirects=0".to_owned(), "", 1),
            ("net.ipv4.conf.{all,default}.s*d_redirects=0".into(), "", 0),
            ("/net/ipv4/conf/all/send_redirects=0".into(), "", 0),
            ("net/ipv4/conf/all/send_redirects = 0".into(), "", 0),
            ("net.ipv4/conf.all.send_redirects=0".into(), "", 1),
            ("net.ipv4.conf.all/send_redirects=0".into(), "", 1),
            (format!("{NAME} 0"), "", 1),
            (format!("-{NAME}=0"), "", 0),
            (format!("- {NAME}=0"), "", 0),
            (format!("{NAME}=0 # c"), "", 0),
            ("net..ipv4.conf.all.send_redirects=0".into(), "", 0),
            ("/proc/sys/net/ipv4/conf/all/send_redirects=0".into(), "", 1),
            (".net.ipv4.conf.all.send_redirects=0".into(), "", 0),
            ("net.ipv4.conf.\\all.send_redirects=0".into(), "", 1),
            ("net.ipv4.conf.[a]ll.send_redirects=0".into(), "", 0),
            ("net.ipv4.*.send_redirects=0".into(), "", 1),
            (format!("NET{}=0", &NAME[3..]), "", 1),
            ("net.ipv4.conf.a?l.send_redirects=0".into(), "", 0),
            ("net.ipv4.conf.[!d]*.send_redirects=0".into(), "", 0),
            (format!("{NAME}.=0"), "", 0),
            (format!("{NAME}=0"), "net.ipv4.conf.*.send_redirects=1", 0),
            (format!("{wild}=0"), "net.ipv4.conf.all.send_redirects=1", 1),
            (format!("{wild}=0"), "-net.ipv4.conf.all.send_redirects", 1),
            (format!("{NAME}=0"), "-net.ipv4.conf.all.send_redirects", 1),
            (format!("-{NAME}"), "net.ipv4.conf.all.send_redirects=0", 0),
            (format!("{wild}=0"), "-net.ipv4.conf.a*.send_redirects", 0),
            (format!("{wild}=0\nnet.ipv4.conf.a*.send_redirects=1"), "net.ipv4.conf.*.send_redirects=0", 1),
            (format!("{wild}=1\nnet.ipv4.conf.a*.send_redirects=0"), "net.ipv4.conf.*.send_redirects=1", 0),
            (format!("{NAME}=0\n{NAME}=1"), "net/ipv4/conf/all/send_redirects=0", 0),
            (format!("-{NAME}=0"), "net.ipv4.*.all.send_redirects=1", 0),
            (format!("{wild}=0"), "-net.ipv4.conf.*.send_redirects", 1),
            ("-net.ipv4.conf.a*.send_redirects".into(), "net.ipv4.conf.*.send_redirects=0", 0),
            (format!("{wild}=1"), "-net.ipv4.conf.a*.send_redirects=0", 0),
        ] {
            let files = [("etc/sysctl.d/50.conf", first.as_str()), ("etc/sysctl.d/60.conf", second)];
            let value =
                value(&files, NAME).map_or("1".to_owned(), |value| without_comment(&value).to_owned());
            assert_eq!(value, after.to_string(), "{first} | {second}");
        }
    }

    #[test]
    fn a_link_to_the_null_device_masks_and_hidden_files_do_not_count() {
        let line = "net.ipv4.conf.all.send_redirects=0\n";
        look_at(&[("usr/lib/sysctl.d/a.conf", line), ("etc/sysctl.d/.h.conf", line)], |look| {
            assert!(persisted_value(look, NAME).is_some());
            std::os::unix::fs::symlink("/dev/null", look.on_disk("etc/sysctl.d/a.conf")).expect("link");
            assert_eq!(persisted_value(look, NAME), None);
        });
    }

    #[test]
    fn no_name_leads_out_of_proc_sys() {
        for name in ["..", "../../etc/passwd", "/../etc", "a/../../b", "/", ""] {
            assert_eq!(path_of(name), None, "{name:?}");
        }
        assert_eq!(path_of("/etc").as_deref(), Some("etc"), "below /proc/sys like any other");
        assert_eq!(path_of("net.ipv4.conf.eth0/1.x").as_deref(), Some("net/ipv4/conf/eth0.1/x"));
    }
}
