//! Lines of sudoers(5): options of `Defaults`, and what is included. Compared with `cvtsudoers` of 1.9.13.

use super::Change;

pub(super) enum Included {
    File(String),
    Folder(String),
}

/// A path may be quoted, or have blanks behind backslashes; a comment may follow.
pub(super) fn included(line: &str) -> Option<Included> {
    let (word, path) = line.split_once([' ', '\t'])?;
    let make: fn(String) -> Included = match word {
        "#include" | "@include" => Included::File,
        "#includedir" | "@includedir" => Included::Folder,
        _ => return None,
    };
    let mut rest = path.trim_start().chars();
    let mut path = String::new();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => path.extend(rest.next()),
            c if c.is_whitespace() && !quoted => break,
            c => path.push(c),
        }
    }
    Some(make(path))
}

/// What a `Defaults` line that holds for everybody does to an option; of several the last counts, and adding
/// goes on from there. A line that sudo finds wrong does nothing.
pub(super) fn defaults(line: &str, key: &str) -> Vec<Change> {
    let Some(rest) = line.strip_prefix("Defaults") else { return Vec::new() };
    // Defaults:USER, @HOST, !COMMAND, >RUNAS hold for some only.
    if !rest.starts_with([' ', '\t']) {
        return Vec::new();
    }
    let options = options(rest).unwrap_or_default();
    options.into_iter().filter(|(name, _)| name == key).map(|(_, change)| change).collect()
}

/// Names and changes in order; `None` for a line that is none.
fn options(text: &str) -> Option<Vec<(String, Change)>> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    loop {
        let mut negated = false;
        while let Some(after) = rest.strip_prefix('!') {
            negated = !negated;
            rest = after.trim_start();
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return None;
        }
        rest = after.trim_start();
        let operator = ["+=", "-=", "="].into_iter().find(|operator| rest.starts_with(operator));
        let change = match operator {
            None => Change::Set(if negated { "false" } else { "true" }.into()),
            Some(_) if negated => return None,
            Some(operator) => {
                let (value, after) = value(rest[operator.len()..].trim_start())?;
                rest = after.trim_start();
                match operator {
                    "+=" => Change::Add(value),
                    "-=" => Change::Remove(value),
                    _ => Change::Set(value),
                }
            }
        };
        options.push((name.to_owned(), change));
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None => return (rest.is_empty() || rest.starts_with('#')).then_some(options),
        }
    }
}

/// A word or a text in double quotes, and what stands behind it.
fn value(text: &str) -> Option<(String, &str)> {
    let (quoted, inner) = text.strip_prefix('"').map_or((false, text), |inner| (true, inner));
    let mut value = String::new();
    let mut rest = inner.char_indices();
    while let Some((at, c)) = rest.next() {
        match c {
            '"' if quoted => return (!value.is_empty()).then(|| (value, &inner[at + 1..])),
            // In quotes only the quote needs it.
            '\\' => match rest.next() {
                Some((_, next)) if !quoted || next == '"' => value.push(next),
                Some((_, next)) => value.extend(['\\', next]),
                None => return None,
            },
            c if !quoted && (c.is_whitespace() || matches!(c, ',' | '#' | '"' | '=')) => {
                return (!value.is_empty()).then(|| (value, &inner[at..]));
            }
            c => value.push(c),
        }
    }
    (!quoted && !value.is_empty()).then_some((value, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(line: &str, key: &str) -> String {
        match defaults(line, key).pop() {
            Some(Change::Set(value)) => value,
            None => "absent".into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn flags() {
        for (line, value) in [
            ("Defaults use_pty # c", "true"),
            ("Defaults use_pty#c", "true"),
            ("Defaults\tuse_pty", "true"),
            ("Defaults !use_pty,use_pty", "true"),
            ("Defaults env_reset,!use_pty", "false"),
            ("Defaults ! use_pty", "false"),
            ("Defaults !!use_pty", "true"),
            ("Defaults use_pty bogus", "absent"),
            ("Defaults use_pty, ", "absent"),
            ("defaults use_pty", "absent"),
            ("Defaults:root use_pty", "absent"),
            ("Defaults : root use_pty", "absent"),
            ("Defaults@h use_pty", "absent"),
            ("Defaults!/bin/sh use_pty", "absent"),
            ("Defaults>root use_pty", "absent"),
            ("Defaultsuse_pty", "absent"),
        ] {
            assert_eq!(last(line, "use_pty"), value, "{line}");
        }
    }

    #[test]
    fn values() {
        for (line, value) in [
            ("Defaults logfile=/x # c", "/x"),
            ("Defaults logfile=\"/x y\"", "/x y"),
            ("Defaults logfile=/a,/b", "absent"),
            ("Defaults logfile = /x", "/x"),
            ("Defaults logfile=/x\\ y", "/x y"),
            ("Defaults logfile=\"a#b\"", "a#b"),
            ("Defaults logfile=/a#b", "/a"),
            ("Defaults !logfile", "false"),
            ("Defaults logfile", "true"),
            ("Defaults logfile=\"a\\\"b\"", "a\"b"),
            ("Defaults logfile=\"a", "absent"),
            ("Defaults logfile=\"\"", "absent"),
            ("Defaults logfile=", "absent"),
            ("Defaults logfile=a=b", "absent"),
            ("Defaults logfile=a\"b\"", "absent"),
            ("Defaults logfile=a!b", "a!b"),
            ("Defaults logfile=\"a\\nb\"", "a\\nb"),
            ("Defaults !logfile=x", "absent"),
            ("Defaults log-file, logfile=/x", "absent"),
            ("Defaults logfile=\"/a,b\", use_pty", "/a,b"),
        ] {
            assert_eq!(last(line, "logfile"), value, "{line}");
        }
    }

    #[test]
    fn includes() {
        let path = |line: &str| match included(line) {
            Some(Included::File(path)) => path,
            Some(Included::Folder(path)) => format!("{path}/"),
            None => "none".into(),
        };
        assert_eq!(path("#include \"/etc/a b\" # c"), "/etc/a b");
        assert_eq!(path("@include\t/etc/sudoers.d/\\x # c"), "/etc/sudoers.d/x");
        assert_eq!(path("@includedir /etc/sudoers.d # c"), "/etc/sudoers.d/");
        assert_eq!(path("# include /etc/x"), "none");
    }
}
