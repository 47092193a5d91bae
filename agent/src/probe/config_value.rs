//! `config_value`: the value that a program takes from its configuration files.

mod shell;
mod sudoers;

use std::collections::BTreeMap;

use aright_shared::content::probe::{ConfigValue, Syntax, Wins};
use aright_shared::posture::{ErrorCode, Missing, Reading, Value};

use self::shell::Assigned;
use self::sudoers::{Included, included};
use super::{Failed, Look, Seen, dropins, evidence};

/// Files that sudoers may include, one within the other.
const MAX_INCLUDES: usize = 64;
/// Most lines that are shown.
const MAX_SHOWN: usize = 50;

/// The text of the value; absent (file) where no file is there, absent (value) where none sets the key.
pub(super) fn see(look: &Look<'_>, with: &ConfigValue) -> Seen {
    let paths = match look.paths(&with.files) {
        Ok(paths) => paths,
        Err(failed) => return Seen::of(failed.reading()),
    };
    let paths = if with.syntax == Syntax::Systemd { as_systemd(look, paths) } else { paths };
    let mut reader = Reader { look, with, found: Vec::new(), files: 0 };
    for path in &paths {
        if let Err(failed) = reader.read(path) {
            return Seen::of(failed.reading());
        }
    }
    let Reader { found, files, .. } = reader;
    if files == 0 {
        return Seen::of(Reading::Absent(Missing::File));
    }
    let winner = match with.wins {
        Wins::First => 0,
        Wins::Last => found.len().saturating_sub(1),
    };
    // The line that counts is always shown.
    let shown = found.iter().enumerate().filter(|(n, _)| *n != winner).take(MAX_SHOWN);
    let shown = shown.map(|(_, one)| one).chain(found.get(winner));
    let shown = shown.map(|one| evidence(&one.path, Some(format!("line {}", one.line)), &one.text)).collect();
    Seen { reading: outcome(&found[..(winner + 1).min(found.len())]), evidence: shown }
}

/// What a line does to the value.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Set(String),
    /// Earlier lines are taken back.
    Unset,
    /// Words that are added to a list.
    Add(String),
    /// Words that are taken from it.
    Remove(String),
    /// Only another program could tell the value.
    Unknown(&'static str),
}

/// The value after the last of these lines: what the last one sets, or lists from there on.
fn outcome(found: &[Found]) -> Reading {
    let sets = |one: &Found| !matches!(one.change, Change::Add(_) | Change::Remove(_));
    let from = found.iter().rposition(sets).unwrap_or(0);
    // Words by the order in which they came: a list may have as many as its file is long.
    let mut words: BTreeMap<&str, usize> = BTreeMap::new();
    let mut next = 0..;
    for one in &found[from..] {
        match &one.change {
            Change::Unknown(why) => {
                return Reading::Error { code: ErrorCode::Unresolved, detail: (*why).to_owned() };
            }
            Change::Set(value) if found.len() == from + 1 => {
                return Reading::Value(Value::Text(value.clone()));
            }
            Change::Set(value) | Change::Add(value) => {
                for (word, at) in value.split_whitespace().zip(&mut next) {
                    words.entry(word).or_insert(at);
                }
            }
            Change::Remove(value) => {
                for word in value.split_whitespace() {
                    words.remove(word);
                }
            }
            Change::Unset => {}
        }
    }
    if words.is_empty() {
        return Reading::Absent(Missing::Value);
    }
    let mut words: Vec<(usize, &str)> = words.into_iter().map(|(word, at)| (at, word)).collect();
    words.sort_unstable();
    Reading::Value(Value::Text(words.into_iter().map(|(_, word)| word).collect::<Vec<_>>().join(" ")))
}

/// The main file, then drop-ins by name; of files with the same name that in the first of systemd's folders,
/// a link to /dev/null masks (systemd.unit(5), systemd-system.conf(5)).
fn as_systemd(look: &Look<'_>, paths: Vec<String>) -> Vec<String> {
    let rank = |path: &str| {
        ["/etc/", "/run/", "/usr/local/lib/", "/usr/lib/"]
            .iter()
            .position(|base| path.starts_with(base))
            .unwrap_or(9)
    };
    let mut main: Option<String> = None;
    let mut by_name: BTreeMap<String, String> = BTreeMap::new();
    for path in paths.into_iter().filter(|path| look.root().meta(path, false).is_ok()) {
        let Some((folder, name)) = path.rsplit_once('/') else { continue };
        let known = if folder.ends_with(".d") { by_name.get(name) } else { main.as_ref() };
        if known.is_some_and(|known| rank(known) <= rank(&path)) {
            continue;
        }
        if folder.ends_with(".d") {
            by_name.insert(name.to_owned(), path);
        } else {
            main = Some(path);
        }
    }
    main.into_iter().chain(by_name.into_values()).filter(|path| !dropins::is_mask(look, path)).collect()
}

struct Reader<'a> {
    look: &'a Look<'a>,
    with: &'a ConfigValue,
    found: Vec<Found>,
    files: usize,
}

struct Found {
    path: String,
    line: usize,
    text: String,
    change: Change,
}

impl Reader<'_> {
    /// A file that is not there sets nothing.
    fn read(&mut self, path: &str) -> Result<(), Failed> {
        let text = match self.look.text(path) {
            Ok(text) => text,
            Err(Failed::Absent) => return Ok(()),
            Err(failed) => return Err(failed),
        };
        self.files += 1;
        let mut section = None;
        for (line, text) in lines(&text, self.with.syntax) {
            if self.with.syntax == Syntax::Sudoers {
                match included(&text) {
                    Some(included) => self.include(path, &included)?,
                    None => self.defaults(path, line, &text),
                }
                continue;
            }
            if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(name.to_owned());
                continue;
            }
            if self.with.section.is_some() && self.with.section != section {
                continue;
            }
            if let Some(change) = change(&text, self.with) {
                self.found.push(Found { path: path.to_owned(), line, text, change });
            }
        }
        Ok(())
    }

    fn defaults(&mut self, path: &str, line: usize, text: &str) {
        for change in sudoers::defaults(text, &self.with.key) {
            self.found.push(Found { path: path.to_owned(), line, text: text.to_owned(), change });
        }
    }

    fn include(&mut self, from: &str, included: &Included) -> Result<(), Failed> {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let whole =
            |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
        if self.files >= MAX_INCLUDES {
            let detail = format!("more than {MAX_INCLUDES} files include each other");
            return Err(Failed::Error(ErrorCode::TooLarge, detail));
        }
        match included {
            Included::File(path) => self.read(&whole(path)),
            Included::Folder(path) => {
                let path = whole(path);
                let names = match self.look.root().list(&path).map_err(Failed::from) {
                    Ok(names) => names,
                    Err(Failed::Absent) => return Ok(()),
                    Err(failed) => return Err(failed),
                };
                // sudoers(5): names with a dot or a tilde at the end are left out.
                for name in names.iter().filter(|name| !name.contains('.') && !name.ends_with('~')) {
                    self.read(&format!("{path}/{name}"))?;
                }
                Ok(())
            }
        }
    }
}

/// Lines with their numbers, comments left out, continued lines joined.
fn lines(text: &str, syntax: Syntax) -> Vec<(usize, String)> {
    let continues = matches!(syntax, Syntax::Systemd | Syntax::Sudoers);
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (n, line) in text.lines().enumerate() {
        // A backslash behind a comment continues nothing, and systemd has comments among continued lines.
        if is_comment(if syntax == Syntax::KeyEquals { line } else { line.trim_start() }, syntax) {
            open &= syntax == Syntax::Systemd;
            continue;
        }
        let ends_open = continues && line.ends_with('\\');
        let part = if ends_open { &line[..line.len() - 1] } else { line };
        match lines.last_mut() {
            Some((_, whole)) if open => {
                whole.push(' ');
                whole.push_str(part.trim());
            }
            _ if syntax == Syntax::KeyEquals => lines.push((n + 1, part.to_owned())),
            _ => lines.push((n + 1, part.trim().to_owned())),
        }
        open = ends_open;
    }
    lines.retain(|(_, line)| !line.is_empty());
    lines
}

fn is_comment(line: &str, syntax: Syntax) -> bool {
    match syntax {
        // `#include` is none there.
        Syntax::Sudoers => line.starts_with('#') && included(line).is_none(),
        Syntax::KeySpace | Syntax::KeyEquals | Syntax::Shell => line.starts_with('#'),
        Syntax::Ini | Syntax::Systemd => line.starts_with(['#', ';']),
    }
}

/// What a line says of the key: nothing, that it is unset, or its value.
fn change(line: &str, with: &ConfigValue) -> Option<Change> {
    match with.syntax {
        Syntax::KeySpace => {
            // As shadow's getdef.c reads it (tried): a key without a value says nothing, `=` is no blank.
            let (key, rest) = line.split_once([' ', '\t'])?;
            let value = rest.trim_start_matches([' ', '\t', '"']);
            (key == with.key).then(|| Change::Set(value.split('"').next().unwrap_or_default().to_owned()))
        }
        Syntax::KeyEquals => {
            // As useradd(8) reads its defaults (tried): no shell, so quotes and blanks are part of the value.
            let (key, value) = line.split_once('=')?;
            (key == with.key).then(|| Change::Set(value.to_owned()))
        }
        Syntax::Ini => {
            let (key, value) = line.split_once('=')?;
            (key.trim() == with.key).then(|| Change::Set(value.trim().to_owned()))
        }
        Syntax::Systemd => {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            (key.trim() == with.key)
                .then(|| if value.is_empty() { Change::Unset } else { Change::Set(value.to_owned()) })
        }
        Syntax::Shell => Some(match shell::assigned(line, &with.key)? {
            Assigned::To(value) => Change::Set(value),
            Assigned::Unknown => Change::Unknown("the value depends on what a shell would make of it"),
        }),
        // Of one line several changes may be made: `Reader::defaults`.
        Syntax::Sudoers => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    fn value_in(syntax: Syntax, key: &str, files: &[(&str, &str)]) -> String {
        let mut value = String::new();
        look_at(files, |look| {
            let with = ConfigValue {
                files: files.iter().take(1).map(|(path, _)| format!("/{path}")).collect(),
                syntax,
                section: None,
                key: key.into(),
                wins: Wins::Last,
            };
            value = see(look, &with).reading.to_string();
        });
        value
    }

    #[test]
    fn login_defs() {
        let text = "# PASS_MAX_DAYS 1\nPASS_MAX_DAYS\t99999\nPASS_MAX_DAYS   365\nUMASK\t\t022\n";
        assert_eq!(value_in(Syntax::KeySpace, "PASS_MAX_DAYS", &[("etc/login.defs", text)]), "365");
        assert_eq!(value_in(Syntax::KeySpace, "UMASK", &[("etc/login.defs", text)]), "022");
        assert_eq!(value_in(Syntax::KeySpace, "PASS", &[("etc/login.defs", text)]), "absent");
    }

    /// What useradd 4.13 gave new accounts on Debian 12 with these lines in login.defs.
    #[test]
    fn login_defs_as_shadow_takes_them() {
        for (lines, taken) in [
            ("DAYS 30", "30"),
            ("DAYS=30", "absent"),
            ("DAYS = 30", "= 30"),
            ("DAYS \"30\"", "30"),
            ("DAYS \"30\" # c", "30"),
            ("DAYS 30 # c", "30 # c"),
            ("DAYS\t30\t\r", "30"),
            ("\t DAYS 30", "30"),
            ("DAYS '30'", "'30'"),
            ("days 30", "absent"),
            ("DAYS 30\nDAYS 40", "40"),
            ("DAYS 40\nDAYS", "40"),
            ("DAYS 40\n#DAYS 50", "40"),
        ] {
            assert_eq!(value_in(Syntax::KeySpace, "DAYS", &[("etc/login.defs", lines)]), taken, "{lines}");
        }
    }

    /// What `useradd -D` of 4.13 printed on Debian 12; the value is judged as a number after this.
    #[test]
    fn defaults_as_useradd_takes_them() {
        for (lines, taken) in [
            ("INACTIVE=30", "30"),
            ("INACTIVE=30 ", "30 "),
            (" INACTIVE=30", "absent"),
            ("export INACTIVE=30", "absent"),
            ("INACTIVE =30", "absent"),
            ("INACTIVE=\"30\"", "\"30\""),
            ("INACTIVE=30\nINACTIVE=40", "40"),
            ("# INACTIVE=-1", "absent"),
        ] {
            assert_eq!(value_in(Syntax::KeyEquals, "INACTIVE", &[("etc/d", lines)]), taken, "{lines}");
        }
    }

    #[test]
    fn an_empty_value_resets_in_systemd_files() {
        assert_eq!(value_in(Syntax::Systemd, "A", &[("etc/x", "[S]\nA=1\nA=\n")]), "absent");
        assert_eq!(value_in(Syntax::Systemd, "A", &[("etc/x", "[S]\nA=1 \\\n 2\n;A=3\n")]), "1 2");
        assert_eq!(value_in(Syntax::Systemd, "A", &[("etc/x", "# c \\\nA=1 \\\n# c\n 2\n")]), "1 2");
    }

    #[test]
    fn drop_ins_follow_and_replace_each_other_as_systemd_has_it() {
        let file = |value: &str| format!("[Journal]\nStorage={value}\n");
        let texts = ["main", "vendor", "usr-10", "usr-90", "etc-10", "masked"].map(file);
        let files = [
            ("etc/systemd/journald.conf", texts[0].as_str()),
            ("usr/lib/systemd/journald.conf", &texts[1]),
            ("usr/lib/systemd/journald.conf.d/10-a.conf", &texts[2]),
            ("usr/lib/systemd/journald.conf.d/95-m.conf", &texts[5]),
            ("etc/systemd/journald.conf.d/10-a.conf", &texts[4]),
            ("usr/lib/systemd/journald.conf.d/90-b.conf", &texts[3]),
        ];
        let with = ConfigValue {
            files: ["usr/lib", "etc"]
                .iter()
                .flat_map(|base| {
                    ["journald.conf", "journald.conf.d/*.conf"].map(|end| format!("/{base}/systemd/{end}"))
                })
                .collect(),
            syntax: Syntax::Systemd,
            section: Some("Journal".into()),
            key: "Storage".into(),
            wins: Wins::Last,
        };
        look_at(&files, |look| {
            std::os::unix::fs::symlink("/dev/null", look.on_disk("etc/systemd/journald.conf.d/95-m.conf"))
                .expect("link");
            let seen = see(look, &with);
            assert_eq!(seen.reading.to_string(), "usr-90");
            let read: Vec<&str> = seen.evidence.iter().map(|one| one.source.as_str()).collect();
            assert_eq!(
                read,
                [
                    "/etc/systemd/journald.conf",
                    "/etc/systemd/journald.conf.d/10-a.conf",
                    "/usr/lib/systemd/journald.conf.d/90-b.conf"
                ]
            );
        });
    }

    #[test]
    fn a_value_that_a_shell_would_make_is_unresolved() {
        assert_eq!(value_in(Syntax::Shell, "A", &[("etc/default/grub", "A=1\nexport A='2 3'\n")]), "2 3");
        assert!(value_in(Syntax::Shell, "A", &[("etc/default/grub", "A=1\nA=$B\n")]).contains("unresolved"));
    }

    #[test]
    fn sudoers_options_are_found_wherever_they_stand() {
        let main = "Defaults env_reset, use_pty\nDefaults:ann !use_pty\n@includedir /etc/sudoers.d\n";
        assert_eq!(value_in(Syntax::Sudoers, "use_pty", &[("etc/sudoers", main)]), "true");
        let files = [("etc/sudoers", main), ("etc/sudoers.d/off", "Defaults !use_pty\n")];
        assert_eq!(value_in(Syntax::Sudoers, "use_pty", &files), "false");
        let left_out = [("etc/sudoers", main), ("etc/sudoers.d/off.bak", "Defaults !use_pty\n")];
        assert_eq!(value_in(Syntax::Sudoers, "use_pty", &left_out), "true");
        let log = "Defaults logfile=\"/var/log/a,b\"\n#include /etc/none\n";
        assert_eq!(value_in(Syntax::Sudoers, "logfile", &[("etc/sudoers", log)]), "/var/log/a,b");
        let keep = "Defaults env_keep=\"A B\"\nDefaults env_keep+=C, env_keep-=A # c\n";
        assert_eq!(value_in(Syntax::Sudoers, "env_keep", &[("etc/sudoers", keep)]), "B C");
        let behind = "# c \\\nDefaults use_pty\n";
        assert_eq!(value_in(Syntax::Sudoers, "use_pty", &[("etc/sudoers", behind)]), "true");
        let endless = [("etc/sudoers", "@include /etc/sudoers\nDefaults use_pty\n")];
        assert!(value_in(Syntax::Sudoers, "use_pty", &endless).contains("too_large"));
    }
}
