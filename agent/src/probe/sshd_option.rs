//! `sshd_option`: the value that sshd takes, by the rules of sshd_config(5): the first value wins, keywords
//! without case, Include followed, Match blocks reported apart. Where sshd would refuse to start with these
//! files there is no value but an error that names the line.

mod algorithms;
mod keywords;
mod lines;

use aright_shared::content::probe::SshdOption;
use aright_shared::posture::{ErrorCode, Evidence, Missing, Reading, Value};

use self::algorithms::Algorithms;
use self::keywords::{Keyword, Kind, keyword};
use self::lines::{Line, bad_match};
use super::{Failed, Look, Seen, evidence};

/// As deep as sshd itself follows Include.
const MAX_DEPTH: usize = 16;
/// Most files that are read for one option.
const MAX_FILES: usize = 1000;
/// Most lines that are shown.
const MAX_SHOWN: usize = 50;

/// Text, integer (seconds for times) or a list; absent (file) without a settings file.
pub(super) fn see(look: &Look<'_>, with: &SshdOption) -> Seen {
    let Some(Keyword { name, kind: Some(kind), .. }) = keyword(&with.option) else {
        return Seen::error(
            ErrorCode::NotSupported,
            format!("the option {:?} is not known to this probe", with.option),
        );
    };
    let algorithms = Algorithms::new(look);
    let mut reader =
        Reader { look, algorithms: &algorithms, option: name, first: None, shown: Vec::new(), files: 0 };
    match reader.read(&with.config, 0, true) {
        Ok(true) => {}
        Ok(false) => return Seen::of(Reading::Absent(Missing::File)),
        Err(failed) => return Seen::of(failed.reading()),
    }
    let Reader { first, mut shown, .. } = reader;
    let reading = match first {
        Some(arguments) => typed(&algorithms, kind, &arguments),
        None => {
            let (reading, from) = default(&algorithms, kind);
            let said = format!("{} is not set: sshd's default", with.option);
            shown.insert(0, evidence(from.unwrap_or(&with.config), None, &said));
            reading
        }
    };
    Seen { reading: reading.unwrap_or_else(Failed::reading), evidence: shown }
}

/// What sshd takes by itself, and the program if that says it.
fn default(algorithms: &Algorithms<'_>, kind: Kind) -> (Result<Reading, Failed>, Option<&'static str>) {
    match kind {
        Kind::Word(_, word) | Kind::FlagOrPatterns(word) | Kind::Path(word) => (Ok(text(word)), None),
        Kind::Integer(number) | Kind::Time(number) => (Ok(Reading::Value(Value::Int(number))), None),
        Kind::Algorithms(family) => (algorithms.default(family).map(list), algorithms.source()),
    }
}

fn typed(algorithms: &Algorithms<'_>, kind: Kind, arguments: &[String]) -> Result<Reading, Failed> {
    let bad = |why: &str| Failed::Error(ErrorCode::Parse, format!("{arguments:?}: {why}"));
    let [value] = arguments else { return Err(bad("one value is expected")) };
    if value.is_empty() {
        return Err(bad("a value is expected"));
    }
    let int = |number: Option<i64>, why: &str| match number {
        Some(number) if (0..=i64::from(i32::MAX)).contains(&number) => Ok(Reading::Value(Value::Int(number))),
        _ => Err(bad(why)),
    };
    match kind {
        Kind::Word(words, _) => {
            let found = words.iter().find(|(written, _)| written.eq_ignore_ascii_case(value));
            found.map(|(_, printed)| text(printed)).ok_or_else(|| bad("sshd does not know this value"))
        }
        Kind::FlagOrPatterns(_) => Ok(text(value)),
        Kind::Integer(_) => int(value.trim_start().parse().ok(), "not an integer from 0"),
        Kind::Time(_) => int(seconds(value), "not a time"),
        Kind::Path(_) => Ok(text(&whole_path(value))),
        Kind::Algorithms(family) => algorithms.chosen(family, value).map(list),
    }
}

fn text(text: &str) -> Reading {
    Reading::Value(Value::Text(text.to_owned()))
}

fn list(names: Vec<String>) -> Reading {
    Reading::Value(Value::List(names.into_iter().map(Value::Text).collect()))
}

/// sshd runs as root and in `/`, and writes a relative path as it does.
fn whole_path(value: &str) -> String {
    match value.strip_prefix("~/") {
        _ if value.eq_ignore_ascii_case("none") => "none".to_owned(),
        Some(below) => format!("/root/{below}"),
        None if value.starts_with('/') => value.to_owned(),
        None => format!("//{value}"),
    }
}

/// `90`, `1m30s`, `2h`: units may be mixed, a number without one is seconds.
fn seconds(value: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut number = String::new();
    for c in value.chars() {
        // Each number is taken as strtol(3) takes it.
        if c.is_ascii_digit() || (matches!(c, ' ' | '+') && number.trim_start().is_empty()) {
            number.push(c);
            continue;
        }
        let unit = match c.to_ascii_lowercase() {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total = total.checked_add(number.trim_start().parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.trim_start().parse().ok()?)?;
    }
    (!value.is_empty()).then_some(total)
}

struct Reader<'a> {
    look: &'a Look<'a>,
    algorithms: &'a Algorithms<'a>,
    option: &'static str,
    /// The arguments of the line that wins.
    first: Option<Vec<String>>,
    shown: Vec<Evidence>,
    files: usize,
}

impl Reader<'_> {
    /// Whether the file is there. `everybody` is false below a Match block.
    fn read(&mut self, path: &str, depth: usize, everybody: bool) -> Result<bool, Failed> {
        let too_many = |what: &str| Failed::Error(ErrorCode::TooLarge, what.to_owned());
        if depth > MAX_DEPTH {
            return Err(too_many("Include is nested too deeply: sshd refuses it"));
        }
        self.files += 1;
        if self.files > MAX_FILES {
            return Err(too_many("too many included files"));
        }
        let text = match self.look.text(path) {
            Ok(text) => text,
            Err(Failed::Absent) => return Ok(false),
            Err(failed) => return Err(failed),
        };
        let mut everybody_here = everybody;
        for (n, line) in text.split('\n').enumerate() {
            let place = format!("{path} line {}", n + 1);
            let refused = |why: &str| Failed::Error(ErrorCode::Parse, format!("{place}: {why}"));
            let line = Line::of(line).map_err(refused)?;
            let Some(line) = line else { continue };
            let known = keyword(line.keyword)
                .ok_or_else(|| refused(&format!("sshd does not know {:?}", line.keyword)))?;
            if !everybody_here && !known.in_match {
                return Err(refused(&format!("{} may not stand below Match", line.keyword)));
            }
            match known.name {
                "match" => {
                    if let Some(why) = bad_match(&line.arguments) {
                        return Err(refused(&why));
                    }
                    // Back to everybody with `Match all`; and only as far as the including file allowed.
                    everybody_here = everybody && line.arguments[0].eq_ignore_ascii_case("all");
                }
                "include" => {
                    if line.arguments.is_empty() || line.arguments.iter().any(String::is_empty) {
                        return Err(refused("Include names no file"));
                    }
                    for pattern in &line.arguments {
                        self.include(pattern, depth, everybody_here)?;
                    }
                }
                name => {
                    // A wrong value is refused wherever it stands, whether it would count or not.
                    if let Some(kind) = known.kind {
                        typed(self.algorithms, kind, &line.arguments)
                            .map_err(|failed| at(&place, failed))
                            .or_else(unresolved)?;
                    }
                    if name == self.option {
                        self.found(path, n + 1, line, everybody_here);
                    }
                }
            }
        }
        Ok(true)
    }

    fn found(&mut self, path: &str, number: usize, line: Line<'_>, everybody: bool) {
        if self.shown.len() < MAX_SHOWN {
            let place = if everybody { "" } else { ", for some by Match" };
            self.shown.push(evidence(path, Some(format!("line {number}{place}")), line.text));
        }
        if everybody && self.first.is_none() {
            self.first = Some(line.arguments);
        }
    }

    fn include(&mut self, pattern: &str, depth: usize, everybody: bool) -> Result<(), Failed> {
        let pattern =
            if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/ssh/{pattern}") };
        for path in self.look.root().glob(&pattern)? {
            self.read(&path, depth + 1, everybody)?;
        }
        Ok(())
    }
}

fn at(place: &str, failed: Failed) -> Failed {
    match failed {
        Failed::Error(code, detail) => Failed::Error(code, format!("{place}: {detail}")),
        other => other,
    }
}

/// What cannot be told of a line that need not count is no reason to refuse the file.
fn unresolved(failed: Failed) -> Result<Reading, Failed> {
    match failed {
        Failed::Error(ErrorCode::Parse, _) => Err(failed),
        other => Ok(other.reading()),
    }
}

#[cfg(test)]
mod as_sshd;
#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    /// What the probe sees of an option in /etc/ssh/sshd_config with one drop-in.
    fn value(option: &str, main: &str, dropin: &str) -> String {
        let mut value = String::new();
        look_at(&[("etc/ssh/sshd_config", main), ("etc/ssh/sshd_config.d/50-x.conf", dropin)], |look| {
            let with = SshdOption { option: option.into(), config: "/etc/ssh/sshd_config".into() };
            value = see(look, &with).reading.to_string();
        });
        value
    }

    #[test]
    fn the_first_value_wins_and_includes_stand_where_they_are() {
        let include = "Include /etc/ssh/sshd_config.d/*.conf\n";
        assert_eq!(
            value("PermitRootLogin", &format!("{include}PermitRootLogin yes\n"), "permitrootlogin NO\n"),
            "no"
        );
        assert_eq!(
            value("PermitRootLogin", &format!("PermitRootLogin yes\n{include}"), "PermitRootLogin no\n"),
            "yes"
        );
        assert_eq!(value("PermitRootLogin", "Include sshd_config.d/*.conf\n", "PermitRootLogin no\n"), "no");
        assert_eq!(value("PermitRootLogin", "", "PermitRootLogin no\n"), "without-password");
    }

    #[test]
    fn what_a_match_block_says_is_not_for_everybody() {
        let main = "Match User ann\n  PermitRootLogin no\nMatch all\nMaxAuthTries 3\n";
        assert_eq!(value("PermitRootLogin", main, ""), "without-password");
        assert_eq!(value("MaxAuthTries", main, ""), "3");
        // An included file's Match ends with the file; a file included within one is not for everybody.
        let ends = "Include sshd_config.d/*.conf\nMaxAuthTries 5\n";
        assert_eq!(value("MaxAuthTries", ends, "Match User ann\nMaxAuthTries 1\n"), "5");
        let within = "Match User ann\nInclude sshd_config.d/*.conf\n";
        assert_eq!(value("MaxAuthTries", within, "MaxAuthTries 1\nMatch all\nMaxAuthTries 2\n"), "6");
    }

    #[test]
    fn spellings_that_sshd_takes() {
        for line in [
            "PermitRootLogin=no",
            "PermitRootLogin = no",
            "  permitrootlogin\tno # why",
            "PermitRootLogin \"no\"",
        ] {
            assert_eq!(value("PermitRootLogin", line, ""), "no", "{line}");
        }
        assert_eq!(value("Banner", "Banner /etc/issue.net", ""), "/etc/issue.net");
        assert_eq!(value("Banner", "#Banner /etc/issue.net", ""), "none");
        assert_eq!(value("LoginGraceTime", "LoginGraceTime 1m30s", ""), "90");
        assert_eq!(value("ClientAliveInterval", "ClientAliveInterval 2H", ""), "7200");
        assert_eq!(value("Ciphers", "Ciphers aes128-ctr,aes256-ctr", ""), "[aes128-ctr, aes256-ctr]");
    }

    #[test]
    fn what_sshd_refuses_is_an_error() {
        for (option, line) in [
            ("PermitRootLogin", "PermitRootLogin maybe"),
            ("MaxAuthTries", "MaxAuthTries six"),
            ("LoginGraceTime", "LoginGraceTime 1x"),
            ("PermitRootLogin", "PermitRootLogin \"no"),
            ("PermitRootLogin", "PermitRootLogin no\nMaxAuthTries six"),
        ] {
            assert!(value(option, line, "").contains("error parse"), "{line}");
        }
        let endless = "Include /etc/ssh/sshd_config\n";
        assert!(value("MaxAuthTries", endless, "").contains("too_large"));
    }
}
