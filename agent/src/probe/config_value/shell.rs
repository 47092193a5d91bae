//! Assignments as a shell takes them, in files that are sourced (/etc/default/grub).

/// What a line says of a variable.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Assigned {
    To(String),
    /// It depends on what only a shell would know: another variable, a command.
    Unknown,
}

/// `None` where the line is no assignment to it; `KEY=value command` is none.
pub(super) fn assigned(line: &str, key: &str) -> Option<Assigned> {
    let line = line.trim_start();
    let line = match line.strip_prefix("export") {
        Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
        _ => line,
    };
    let (word, rest) = word(line.strip_prefix(key)?.strip_prefix('=')?)?;
    let rest = rest.trim_start();
    (rest.is_empty() || rest.starts_with(['#', ';'])).then_some(word)
}

/// One word, and what stands behind it; `None` where a quote is not closed.
fn word(text: &str) -> Option<(Assigned, &str)> {
    let mut word = String::new();
    let mut unknown = false;
    let mut quote = None;
    let mut rest = text.char_indices();
    let mut end = text.len();
    while let Some((at, c)) = rest.next() {
        match (quote, c) {
            (None, ' ' | '\t' | '\r' | ';' | '&' | '|' | '(' | ')' | '<' | '>') => {
                end = at;
                break;
            }
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            (Some('\''), c) => word.push(c),
            (_, '$' | '`') => unknown = true,
            (None, '\\') => word.extend(rest.next().map(|(_, next)| next)),
            (Some(_), '\\') => match rest.next()?.1 {
                next @ ('"' | '\\' | '$' | '`') => word.push(next),
                next => word.extend(['\\', next]),
            },
            (_, c) => word.push(c),
        }
    }
    let word = if unknown { Assigned::Unknown } else { Assigned::To(word) };
    quote.is_none().then(|| (word, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines, and what `sh` has in K after them; `None` for nothing, `Unknown` where it depends.
    #[test]
    fn lines_as_a_shell_takes_them() {
        let to = |text: &str| Some(Assigned::To(text.to_owned()));
        for (line, value) in [
            ("K=45", to("45")),
            ("export K=45", to("45")),
            ("\t export\tK=45 # c", to("45")),
            ("K=\"a b\"", to("a b")),
            ("K='a $b'", to("a $b")),
            ("K=a\\ b", to("a b")),
            ("K=\"a\\\"b\\c\"", to("a\"b\\c")),
            ("K=a'b'\"c\"", to("abc")),
            ("K=", to("")),
            ("K=a#b", to("a#b")),
            ("K=1; L=2", to("1")),
            ("K=$X", Some(Assigned::Unknown)),
            ("K=\"$(date)\"", Some(Assigned::Unknown)),
            ("K =45", None),
            ("K= 45", None),
            ("K=45 true", None),
            ("#K=45", None),
            ("KK=45", None),
            ("exportK=45", None),
            ("K=\"a", None),
        ] {
            assert_eq!(assigned(line, "K"), value, "{line}");
            let said = std::process::Command::new("/bin/sh")
                .args(["-c", &format!("{line}\nprintf %s. \"${{K-unset}}\"")])
                .env_clear()
                .output()
                .expect("a shell");
            let said = String::from_utf8_lossy(&said.stdout).into_owned();
            match value {
                Some(Assigned::To(value)) => assert_eq!(said, format!("{value}."), "{line}"),
                Some(Assigned::Unknown) => {}
                None => assert!(said == "unset." || said.is_empty(), "{line}: {said}"),
            }
        }
    }
}
