//! `config_value`: the value that a program takes from its configuration files.

use aright_shared::content::probe::{ConfigValue, Syntax, Wins};
use aright_shared::posture::{Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence};

/// Files that sudoers may include, one within the other.
const MAX_INCLUDES: usize = 64;

/// The text of the value; absent (file) where no file is there, absent (value) where none sets the key.
pub(super) fn see(look: &Look<'_>, with: &ConfigValue) -> Seen {
    let paths = match look.paths(&with.files) {
        Ok(paths) => paths,
        Err(failed) => return Seen::of(failed.reading()),
    };
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
    let shown =
        found.iter().map(|one| evidence(&one.path, Some(format!("line {}", one.line)), &one.text)).collect();
    let winner = match with.wins {
        Wins::First => found.first(),
        Wins::Last => found.last(),
    };
    match winner.and_then(|one| one.value.clone()) {
        Some(value) => Seen::value(Value::Text(value), shown),
        None => Seen { reading: Reading::Absent(Missing::Value), evidence: shown },
    }
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
    /// `None` where the line takes earlier ones back.
    value: Option<String>,
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
                if let Some(included) = included(&text) {
                    self.include(path, &included)?;
                    continue;
                }
            } else if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = Some(name.to_owned());
                continue;
            }
            if self.with.section.is_some() && self.with.section != section {
                continue;
            }
            if let Some(value) = value(&text, self.with) {
                self.found.push(Found { path: path.to_owned(), line, text, value });
            }
        }
        Ok(())
    }

    fn include(&mut self, from: &str, included: &Included) -> Result<(), Failed> {
        let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
        let whole =
            |path: &str| if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
        if self.files >= MAX_INCLUDES {
            let detail = format!("more than {MAX_INCLUDES} files include each other");
            return Err(Failed::Error(aright_shared::posture::ErrorCode::TooLarge, detail));
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
    let comment = |line: &str| match syntax {
        // `#include` is none there.
        Syntax::Sudoers => line.starts_with('#') && included(line).is_none(),
        Syntax::KeySpace | Syntax::KeyEquals => line.starts_with('#'),
        Syntax::Ini | Syntax::Systemd => line.starts_with(['#', ';']),
    };
    lines.retain(|(_, line)| !line.is_empty() && !comment(line));
    lines
}

enum Included {
    File(String),
    Folder(String),
}

fn included(line: &str) -> Option<Included> {
    let (word, path) = line.split_once(char::is_whitespace)?;
    let path = path.trim().trim_matches('"').to_owned();
    match word {
        "#include" | "@include" => Some(Included::File(path)),
        "#includedir" | "@includedir" => Some(Included::Folder(path)),
        _ => None,
    }
}

/// What a line says of the key: nothing, that it is unset, or its value.
fn value(line: &str, with: &ConfigValue) -> Option<Option<String>> {
    match with.syntax {
        Syntax::KeySpace => {
            // As shadow's getdef.c reads it (tried): a key without a value says nothing, `=` is no blank.
            let (key, rest) = line.split_once([' ', '\t'])?;
            let value = rest.trim_start_matches([' ', '\t', '"']);
            (key == with.key).then(|| Some(value.split('"').next().unwrap_or_default().to_owned()))
        }
        Syntax::KeyEquals => {
            // As useradd(8) reads its defaults (tried): no shell, so quotes and blanks are part of the value.
            let (key, value) = line.split_once('=')?;
            (key == with.key).then(|| Some(value.to_owned()))
        }
        Syntax::Ini => {
            let (key, value) = line.split_once('=')?;
            (key.trim() == with.key).then(|| Some(value.trim().to_owned()))
        }
        Syntax::Systemd => {
            let (key, value) = line.split_once('=')?;
            let value = value.trim();
            (key.trim() == with.key).then(|| (!value.is_empty()).then(|| value.to_owned()))
        }
        Syntax::Sudoers => defaults(line, &with.key),
    }
}

/// An option of a `Defaults` line that holds for everybody (sudoers(5)).
fn defaults(line: &str, key: &str) -> Option<Option<String>> {
    let rest = line.strip_prefix("Defaults")?;
    if !rest.starts_with(char::is_whitespace) {
        // Defaults:USER, @HOST, !COMMAND, >RUNAS hold for some only.
        return None;
    }
    let mut value = None;
    for option in split_unquoted(rest, ',') {
        let option = option.trim();
        let (name, given) = match option.split_once('=') {
            Some((name, given)) => (name.trim().trim_end_matches(['+', '-']), Some(given.trim())),
            None => (option, None),
        };
        match name.strip_prefix('!') {
            Some(name) if name.trim() == key => value = Some(Some("false".to_owned())),
            None if name == key => value = Some(Some(given.map_or_else(|| "true".to_owned(), unquoted))),
            _ => {}
        }
    }
    value
}

/// Parts between separators that stand outside of double quotes.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let mut quoted = false;
    let is_separator = |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    };
    text.split(is_separator).collect()
}

fn unquoted(text: &str) -> String {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    text.to_owned()
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
        let endless = [("etc/sudoers", "@include /etc/sudoers\nDefaults use_pty\n")];
        assert!(value_in(Syntax::Sudoers, "use_pty", &endless).contains("too_large"));
    }
}
