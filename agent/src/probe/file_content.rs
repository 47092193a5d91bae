//! `file_content`: matches of a pattern in files, in order of files and lines.

use aright_shared::content::pattern::Pattern;
use aright_shared::content::probe::FileContent;
use aright_shared::posture::{ErrorCode, Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence, line_of};

/// Most matches that are kept.
const MAX_MATCHES: usize = 1000;

/// A list of matches; absent (file) where no file is there, absent (value) where none matches.
pub(super) fn see(look: &Look<'_>, with: &FileContent) -> Seen {
    let flags = if with.ignore_case { "(?im)" } else { "(?m)" };
    let pattern = match Pattern::search(&format!("{flags}{}", with.regex)) {
        Ok(pattern) => pattern,
        Err(error) => return Seen::error(ErrorCode::ProbeFailed, error),
    };
    let paths = match look.paths(&with.files) {
        Ok(paths) => paths,
        Err(failed) => return Seen::of(failed.reading()),
    };
    let mut values = Vec::new();
    let mut shown = Vec::new();
    let mut any_file = false;
    for path in paths {
        let text = match look.text(&path) {
            Ok(text) => text,
            Err(Failed::Absent) => continue,
            Err(failed) => return Seen::of(failed.reading()),
        };
        any_file = true;
        let text = if with.skip_comments { without_comments(&text) } else { text.to_string() };
        let found = match pattern.find_all(&text) {
            Ok(found) => found,
            Err(hard) => return Seen::error(ErrorCode::TooLarge, format!("{path}: {hard}")),
        };
        for one in found {
            if values.len() == MAX_MATCHES {
                return Seen::error(ErrorCode::TooLarge, format!("more than {MAX_MATCHES} matches"));
            }
            values.push(Value::Text(one.text.to_owned()));
            shown.push(evidence(&path, Some(line_of(&text, one.start)), one.whole));
        }
    }
    match (any_file, values.is_empty()) {
        (false, _) => Seen::of(Reading::Absent(Missing::File)),
        (true, true) => Seen::of(Reading::Absent(Missing::Value)),
        (true, false) => Seen::value(Value::List(values), shown),
    }
}

/// Comment lines emptied, so that lines keep their numbers.
fn without_comments(text: &str) -> String {
    let keep = |line: &str| if line.trim_start().starts_with('#') { String::new() } else { line.to_owned() };
    text.split('\n').map(keep).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{look_at, text_list};
    use super::*;

    fn with(files: &[&str]) -> FileContent {
        FileContent {
            files: files.iter().map(ToString::to_string).collect(),
            regex: r"^\s*(?:export\s+)?TMOUT=(\d+)".into(),
            ignore_case: false,
            skip_comments: true,
        }
    }

    #[test]
    fn matches_come_in_order_with_their_lines() {
        let files = [("etc/profile", "# TMOUT=1\nTMOUT=900\n"), ("etc/profile.d/z.sh", "export TMOUT=60\n")];
        look_at(&files, |look| {
            let seen = see(look, &with(&["/etc/profile", "/etc/profile.d/*.sh"]));
            assert_eq!(seen.reading, text_list(&["900", "60"]));
            assert_eq!(seen.evidence[0].place.as_deref(), Some("line 2"));
        });
    }

    #[test]
    fn no_file_and_no_match_are_told_apart() {
        look_at(&[("etc/profile", "")], |look| {
            assert_eq!(see(look, &with(&["/etc/none"])).reading, Reading::Absent(Missing::File));
            assert_eq!(see(look, &with(&["/etc/profile"])).reading, Reading::Absent(Missing::Value));
        });
    }
}
