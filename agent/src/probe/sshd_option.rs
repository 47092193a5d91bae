//! `sshd_option`: the value that sshd takes, by the rules of sshd_config(5): the first value wins, keywords
//! without case, Include followed, Match blocks reported apart.

use aright_shared::content::probe::SshdOption;
use aright_shared::posture::{ErrorCode, Evidence, Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence};

/// As deep as sshd itself follows Include.
const MAX_DEPTH: usize = 16;
/// Most files that are read for one option.
const MAX_FILES: usize = 1000;

/// How an option's value is written, and what sshd takes where no line sets it.
enum Kind {
    /// One of these words; the first of each pair is written, the second is what `sshd -T` prints.
    Word(&'static [(&'static str, &'static str)], &'static str),
    Integer(i64),
    /// Seconds, with units (sshd_config(5), TIME FORMATS).
    Time(i64),
    Path(&'static str),
    /// A list whose default depends on how sshd was built.
    Algorithms,
}

const YES_NO: &[(&str, &str)] = &[("yes", "yes"), ("no", "no")];

fn kind(option: &str) -> Option<Kind> {
    Some(match option {
        "permitrootlogin" => Kind::Word(
            &[
                ("yes", "yes"),
                ("no", "no"),
                ("prohibit-password", "without-password"),
                ("without-password", "without-password"),
                ("forced-commands-only", "forced-commands-only"),
            ],
            "without-password",
        ),
        "permitemptypasswords" | "hostbasedauthentication" => Kind::Word(YES_NO, "no"),
        "permituserenvironment" => Kind::Word(YES_NO, "no"),
        "ignorerhosts" => Kind::Word(&[("yes", "yes"), ("no", "no"), ("shosts-only", "shosts-only")], "yes"),
        "maxauthtries" => Kind::Integer(6),
        "logingracetime" => Kind::Time(120),
        "clientaliveinterval" => Kind::Time(0),
        "clientalivecountmax" => Kind::Integer(3),
        "banner" => Kind::Path("none"),
        "ciphers" | "macs" | "kexalgorithms" => Kind::Algorithms,
        _ => return None,
    })
}

/// Text, integer (seconds for times) or a list; absent (file) without a settings file.
pub(super) fn see(look: &Look<'_>, with: &SshdOption) -> Seen {
    let option = with.option.to_ascii_lowercase();
    let Some(kind) = kind(&option) else {
        return Seen::error(
            ErrorCode::NotSupported,
            format!("the option {:?} is not known to this probe", with.option),
        );
    };
    let mut reader = Reader { look, option, first: None, shown: Vec::new(), files: 0 };
    match reader.read(&with.config, 0, true) {
        Ok(true) => {}
        Ok(false) => return Seen::of(Reading::Absent(Missing::File)),
        Err(failed) => return Seen::of(failed.reading()),
    }
    let Reader { first, mut shown, .. } = reader;
    let reading = match first {
        Some(arguments) => typed(&kind, &arguments),
        None => {
            shown.insert(
                0,
                evidence(&with.config, None, &format!("{} is not set: sshd's default", with.option)),
            );
            default(&kind)
        }
    };
    Seen { reading, evidence: shown }
}

fn default(kind: &Kind) -> Reading {
    let text = |text: &str| Reading::Value(Value::Text(text.to_owned()));
    match kind {
        Kind::Word(_, word) | Kind::Path(word) => text(word),
        Kind::Integer(number) | Kind::Time(number) => Reading::Value(Value::Int(*number)),
        Kind::Algorithms => Reading::Error {
            code: ErrorCode::Unresolved,
            detail: "not set: the default depends on how sshd was built".into(),
        },
    }
}

fn typed(kind: &Kind, arguments: &[String]) -> Reading {
    let bad = |why: &str| Reading::Error { code: ErrorCode::Parse, detail: format!("{arguments:?}: {why}") };
    // Where several are given sshd refuses the file, but for what comes after a path or a list.
    let [value] = arguments else { return bad("one value is expected") };
    match kind {
        Kind::Word(words, _) => {
            let found = words.iter().find(|(written, _)| written.eq_ignore_ascii_case(value));
            found.map_or_else(|| bad("sshd does not know this value"), |(_, printed)| text(printed))
        }
        Kind::Integer(_) => {
            let number = value.parse().ok().filter(|n| (0..=i64::from(i32::MAX)).contains(n));
            number.map_or_else(|| bad("not an integer from 0"), |n| Reading::Value(Value::Int(n)))
        }
        Kind::Time(_) => seconds(value).map_or_else(|| bad("not a time"), |n| Reading::Value(Value::Int(n))),
        Kind::Path(_) => text(if value.eq_ignore_ascii_case("none") { "none" } else { value }),
        Kind::Algorithms if value.starts_with(['+', '-', '^']) => Reading::Error {
            code: ErrorCode::Unresolved,
            detail: format!("{value}: changes a default that depends on how sshd was built"),
        },
        Kind::Algorithms => {
            Reading::Value(Value::List(value.split(',').map(|one| Value::Text(one.to_owned())).collect()))
        }
    }
}

fn text(text: &str) -> Reading {
    Reading::Value(Value::Text(text.to_owned()))
}

/// `90`, `1m30s`, `2h`: units may be mixed, a number without one is seconds.
fn seconds(value: &str) -> Option<i64> {
    let mut total: i64 = 0;
    let mut number = String::new();
    for c in value.chars() {
        if c.is_ascii_digit() {
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
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    if !number.is_empty() {
        total = total.checked_add(number.parse().ok()?)?;
    }
    (!value.is_empty()).then_some(total)
}

struct Reader<'a> {
    look: &'a Look<'a>,
    /// In lower case.
    option: String,
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
        for (n, line) in text.lines().enumerate() {
            let words = words(line).ok_or_else(|| {
                Failed::Error(ErrorCode::Parse, format!("{path} line {}: a quote is not closed", n + 1))
            })?;
            let Some((keyword, arguments)) = words.split_first() else { continue };
            match keyword.to_ascii_lowercase().as_str() {
                "match" => {
                    // Back to everybody with `Match all`; and only as far as the including file allowed.
                    let all = matches!(arguments, [one] if one.eq_ignore_ascii_case("all"));
                    everybody_here = everybody && all;
                }
                "include" => {
                    for pattern in arguments {
                        self.include(pattern, depth, everybody_here)?;
                    }
                }
                keyword if keyword == self.option => {
                    let place = if everybody_here { String::new() } else { ", for some by Match".into() };
                    self.shown.push(evidence(path, Some(format!("line {}{place}", n + 1)), line.trim()));
                    if everybody_here && self.first.is_none() {
                        self.first = Some(arguments.to_vec());
                    }
                }
                _ => {}
            }
        }
        Ok(true)
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

/// Keyword and arguments of one line, as strdelim and argv_split of sshd take them apart.
/// `None` where a quote is not closed.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Some(Vec::new());
    }
    let (keyword, rest) = match line.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => line.split_at(line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len())),
    };
    let rest = rest.trim_start();
    let mut words = vec![keyword.to_owned()];
    arguments(rest.strip_prefix('=').unwrap_or(rest), &mut words)?;
    Some(words)
}

/// Both kinds of quotes; a backslash before a quote, another backslash or a blank outside of quotes takes
/// its meaning away; `#` at the start of an argument ends the line.
fn arguments(text: &str, words: &mut Vec<String>) -> Option<()> {
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none_or(|c| *c == '#') {
            return Some(());
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(c) = rest.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            let escaped =
                |next: &char| matches!(next, '"' | '\'' | '\\') || (quote.is_none() && *next == ' ');
            match c {
                '\\' => word.push(rest.next_if(escaped).unwrap_or(c)),
                '"' | '\'' if quote.is_none() => quote = Some(c),
                c if quote == Some(c) => quote = None,
                c => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
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
        ] {
            assert!(value(option, line, "").contains("error parse"), "{line}");
        }
        let endless = "Include /etc/ssh/sshd_config\n";
        assert!(value("MaxAuthTries", endless, "").contains("too_large"));
    }
}
