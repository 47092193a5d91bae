//! `kernel_module`: whether a module is loaded, and whether modprobe.d(5) denies it.

use aright_shared::content::probe::KernelModule;
use aright_shared::posture::{ErrorCode, Reading, Value};

use super::{Failed, Look, Seen, dropins, evidence, record};

/// In order of precedence (modprobe.d(5)); /lib is /usr/lib where the two are one.
const FOLDERS: &[&str] = &[
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
];
/// What an `install` line runs so that nothing is loaded.
const NOTHING: &[&str] = &["/bin/false", "/usr/bin/false", "/bin/true", "/usr/bin/true"];

/// Most lines that are shown.
const MAX_SHOWN: usize = 50;

/// A record `loaded, denied`: denied by an `install` line that loads nothing and a `blacklist` line, both.
pub(super) fn see(look: &Look<'_>, with: &KernelModule) -> Seen {
    let name = plain(&with.name);
    let mut shown = Vec::new();
    let (mut install, mut blacklist) = (None, false);
    let files = match dropins::files(look, FOLDERS, ".conf") {
        Ok(files) => files,
        Err(failed) => return Seen::of(failed.reading()),
    };
    for path in files {
        let text = match look.text(&path) {
            Ok(text) => text,
            Err(Failed::Absent) => continue,
            Err(failed) => return Seen::of(failed.reading()),
        };
        for (n, line) in lines(&text) {
            let words: Vec<&str> = line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            let counts = match words.as_slice() {
                ["blacklist", module, ..] if plain(module) == name => {
                    blacklist = true;
                    true
                }
                // The first `install` line wins (tried with kmod 30); one that runs a program does not deny.
                ["install", module, program, more @ ..] if matches(module, &name) => {
                    let ends = more.first().is_none_or(|word| word.starts_with('#'));
                    install.get_or_insert(ends && NOTHING.contains(&program.trim_end()));
                    true
                }
                _ => false,
            };
            if counts && shown.len() < MAX_SHOWN {
                shown.push(evidence(&path, Some(format!("line {n}")), line.trim()));
            }
        }
    }
    let pending =
        look.pending().is_some_and(|pending| pending.modules.iter().any(|module| plain(module) == name));
    let loaded = if pending { Reading::Pending } else { loaded(&name) };
    let denied = Reading::Value(Value::Bool(install == Some(true) && blacklist));
    Seen::value(record([("loaded", loaded), ("denied", denied)]), shown)
}

/// Lines with the numbers they begin at, as libkmod reads them (tried): a backslash goes, with the end of
/// the line if that follows.
fn lines(text: &str) -> Vec<(usize, String)> {
    let (mut lines, mut line, mut number, mut begun) = (Vec::new(), String::new(), 1, 1);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('\n')) => number += 1,
            ('\\', escaped) => line.extend(escaped),
            ('\n', _) => {
                number += 1;
                lines.push((std::mem::replace(&mut begun, number), std::mem::take(&mut line)));
            }
            _ => line.push(c),
        }
    }
    lines.push((begun, line));
    lines
}

/// The name in an `install` line may have wildcards.
fn matches(written: &str, name: &str) -> bool {
    let written = plain(written);
    if !written.contains(['*', '?', '[']) {
        return written == name;
    }
    // Braces mean nothing to fnmatch(3).
    let written = written.replace('{', "[{]").replace('}', "[}]");
    globset::Glob::new(&written).is_ok_and(|glob| glob.compile_matcher().is_match(name))
}

/// By the kernel itself; one without /proc/modules has no modules, so nothing is loaded.
fn loaded(name: &str) -> Reading {
    match std::fs::read_to_string("/proc/modules") {
        Ok(text) => {
            Reading::Value(Value::Bool(text.lines().any(|line| line.split(' ').next() == Some(name))))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Reading::Value(Value::Bool(false)),
        Err(error) => {
            Reading::Error { code: ErrorCode::AccessDenied, detail: format!("/proc/modules: {error}") }
        }
    }
}

/// Dashes and underscores are alike to modprobe.
fn plain(name: &str) -> String {
    name.replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    fn denied(files: &[(&str, &str)]) -> bool {
        let mut denied = false;
        look_at(files, |look| {
            let seen = see(look, &KernelModule { name: "usb-storage".into() });
            denied = seen.reading.to_string().contains("denied true");
        });
        denied
    }

    #[test]
    fn both_lines_are_needed_and_spelling_does_not_matter() {
        let both = "install usb_storage /bin/false\nblacklist usb-storage\n";
        assert!(denied(&[("etc/modprobe.d/a.conf", both)]));
        assert!(!denied(&[("etc/modprobe.d/a.conf", "blacklist usb-storage\n")]));
        assert!(!denied(&[("etc/modprobe.d/a.conf", "install usb-storage /bin/false\n")]));
        assert!(!denied(&[(
            "etc/modprobe.d/a.conf",
            "#install usb-storage /bin/false\n#blacklist usb-storage\n"
        )]));
        assert!(!denied(&[("etc/modprobe.d/a.txt", both)]));
    }

    #[test]
    fn an_install_line_that_loads_it_after_all_does_not_deny() {
        let lines =
            "blacklist usb-storage\ninstall usb-storage /sbin/modprobe --ignore-install usb-storage\n";
        assert!(!denied(&[("etc/modprobe.d/a.conf", lines)]));
    }

    #[test]
    fn the_first_install_line_wins() {
        let ours = ("etc/modprobe.d/00-ours.conf", "blacklist usb-storage\ninstall usb-storage /bin/false\n");
        let loads = "install usb-storage /sbin/modprobe --ignore-install usb-storage\n";
        assert!(denied(&[ours, ("etc/modprobe.d/b.conf", loads)]));
        assert!(!denied(&[ours, ("etc/modprobe.d/00-a.conf", loads)]));
    }

    /// What `modprobe -c` and `modprobe -n -v` of kmod 30 said.
    #[test]
    fn lines_as_kmod_takes_them() {
        let blacklist = "blacklist usb-storage\n";
        for (line, denies) in [
            ("install usb-storage /bin/false # c", true),
            ("install usb-sto\\\nrage /bin/false", true),
            ("install usb-st\\orage /bin/false", true),
            ("install usb-storage \\\n /bin/false", true),
            ("  install\tusb-storage /bin/false  ", true),
            ("INSTALL usb-storage /bin/false", false),
            ("install usb-st* /bin/false", true),
            ("install usb?storage /bin/false", true),
            ("install {usb-storage,x} /bin/false", false),
            ("# c \\\ninstall usb-storage /bin/false", false),
            ("install usb-storage", false),
            ("install usb-storage /bin/false\r", true),
            ("install * /bin/echo all\ninstall usb-storage /bin/false", false),
            ("install usb-storage /bin/false; /bin/echo", false),
        ] {
            let text = format!("{blacklist}{line}\n");
            assert_eq!(denied(&[("etc/modprobe.d/a.conf", &text)]), denies, "{line}");
        }
        let commented = "blacklist usb-storage # c\ninstall usb-storage /bin/true\n";
        assert!(denied(&[("etc/modprobe.d/a.conf", commented)]));
        let wild = "blacklist usb-*\ninstall usb-storage /bin/true\n";
        assert!(!denied(&[("etc/modprobe.d/a.conf", wild)]), "blacklist takes no wildcards");
    }

    #[test]
    fn evidence_says_the_line() {
        let files = [("etc/modprobe.d/a.conf", "# \\\nx\n\nblacklist usb-storage\n")];
        look_at(&files, |look| {
            let seen = see(look, &KernelModule { name: "usb-storage".into() });
            assert_eq!(seen.evidence[0].place.as_deref(), Some("line 4"));
        });
    }

    #[test]
    fn an_earlier_folder_replaces_a_file_of_the_same_name() {
        let both = "install usb-storage /bin/false\nblacklist usb-storage\n";
        assert!(!denied(&[("usr/lib/modprobe.d/a.conf", both), ("etc/modprobe.d/a.conf", "")]));
    }
}
