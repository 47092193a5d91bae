//! Regular expressions as content writes them: Perl-compatible, `regex` first for its speed,
//! `fancy-regex` where look-around or back-references need it, with a limit on backtracking.

/// Steps after which a backtracking match is given up.
const BACKTRACK_LIMIT: usize = 200_000;
/// Largest compiled size, in bytes.
const SIZE_LIMIT: usize = 2 * 1024 * 1024;
/// Longest pattern, in bytes.
const MAX_PATTERN: usize = 4096;

#[derive(Clone, Debug)]
pub struct Pattern(Engine);

#[derive(Clone, Debug)]
enum Engine {
    Plain(regex::Regex),
    Backtracking(fancy_regex::Regex),
}

/// The backtrack limit was hit: the pattern decides nothing on this text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern needs more than {BACKTRACK_LIMIT} steps on this text")]
pub struct TooHard;

impl Pattern {
    /// A pattern that may match anywhere.
    ///
    /// # Errors
    /// Not a regular expression, or too large.
    pub fn search(text: &str) -> Result<Self, String> {
        Self::compile(text, text)
    }

    /// A pattern that must match the whole: `\A(?:…)\z`.
    ///
    /// # Errors
    /// As [`Pattern::search`].
    pub fn whole(text: &str) -> Result<Self, String> {
        // Compiled alone first: "a)|(b" must not escape the group around it.
        Self::search(text)?;
        Self::compile(text, &format!("\\A(?:{text})\\z"))
    }

    fn compile(shown: &str, text: &str) -> Result<Self, String> {
        if shown.len() > MAX_PATTERN {
            return Err(format!("pattern of {} bytes; the limit is {MAX_PATTERN}", shown.len()));
        }
        if let Ok(plain) = regex::RegexBuilder::new(text).size_limit(SIZE_LIMIT).build() {
            return Ok(Self(Engine::Plain(plain)));
        }
        fancy_regex::RegexBuilder::new(text)
            .backtrack_limit(BACKTRACK_LIMIT)
            .delegate_size_limit(SIZE_LIMIT)
            .build()
            .map(|regex| Self(Engine::Backtracking(regex)))
            .map_err(|error| format!("pattern {shown:?}: {error}"))
    }

    /// # Errors
    /// The backtrack limit was hit.
    pub fn is_match(&self, text: &str) -> Result<bool, TooHard> {
        match &self.0 {
            Engine::Plain(regex) => Ok(regex.is_match(text)),
            Engine::Backtracking(regex) => regex.is_match(text).map_err(|_| TooHard),
        }
    }

    /// Every match: start, end and the text of its first group, else of the whole.
    ///
    /// # Errors
    /// The backtrack limit was hit.
    pub fn find_all<'t>(&self, text: &'t str) -> Result<Vec<Found<'t>>, TooHard> {
        match &self.0 {
            Engine::Plain(regex) => Ok(regex
                .captures_iter(text)
                .filter_map(|found| {
                    let whole = found.get(0)?;
                    let part = found.get(1).unwrap_or(whole);
                    Some(Found { start: part.start(), text: part.as_str(), whole: whole.as_str() })
                })
                .collect()),
            Engine::Backtracking(regex) => regex
                .captures_iter(text)
                .map(|found| {
                    let found = found.map_err(|_| TooHard)?;
                    let Some(whole) = found.get(0) else { return Err(TooHard) };
                    let part = found.get(1).unwrap_or(whole);
                    Ok(Found { start: part.start(), text: part.as_str(), whole: whole.as_str() })
                })
                .collect(),
        }
    }

    /// How many groups it has.
    pub fn groups(&self) -> usize {
        match &self.0 {
            Engine::Plain(regex) => regex.captures_len() - 1,
            Engine::Backtracking(regex) => regex.captures_len() - 1,
        }
    }
}

/// One match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'t> {
    /// Byte at which `text` begins.
    pub start: usize,
    /// The first group, else the whole.
    pub text: &'t str,
    pub whole: &'t str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_pattern_has_no_way_out() {
        assert!(Pattern::whole("a|b").expect("compiles").is_match("b").expect("decides"));
        for bad in ["ab", "b\n", "\nb", "xb", ""] {
            assert!(!Pattern::whole("a|b").expect("compiles").is_match(bad).expect("decides"), "{bad:?}");
        }
        assert!(Pattern::whole("a)|(b").is_err());
    }

    #[test]
    fn look_around_works_and_a_hard_one_is_given_up() {
        assert!(Pattern::search("a(?=b)").expect("compiles").is_match("ab").expect("decides"));
        let hard = Pattern::search(r"(?=x)x|(a+)+\1$").expect("compiles");
        assert_eq!(hard.is_match(&format!("{}b", "a".repeat(60))), Err(TooHard));
    }
}
