//! One line of sshd_config(5), as strdelim and argv_split of sshd take it apart.

use std::net::IpAddr;

pub(super) struct Line<'t> {
    pub keyword: &'t str,
    pub arguments: Vec<String>,
    /// As it stands, without blanks around it.
    pub text: &'t str,
}

impl<'t> Line<'t> {
    /// `None` for a line that says nothing; the reason for one that sshd refuses.
    pub(super) fn of(line: &'t str) -> Result<Option<Self>, &'static str> {
        // A form feed is a blank at the end of a line only.
        let ended = line.trim_end_matches([' ', '\t', '\r', '\u{c}']);
        let ended = if ended.is_empty() && line.starts_with('\u{c}') { "\u{c}" } else { ended };
        let text = ended.trim_start_matches(BLANKS);
        let (keyword, rest) = match text.strip_prefix('"') {
            // A keyword whose quote is not closed is no keyword: sshd passes over the line.
            Some(quoted) => match quoted.split_once('"') {
                Some(parts) => parts,
                None => return Ok(None),
            },
            None => text.split_at(text.find([' ', '\t', '\r', '=']).unwrap_or(text.len())),
        };
        if keyword.is_empty() || keyword.starts_with('#') {
            return Ok(None);
        }
        let rest = rest.trim_start_matches(BLANKS);
        let rest = rest.strip_prefix('=').unwrap_or(rest);
        if rest.is_empty() {
            return Err("the keyword has no argument");
        }
        let arguments = arguments(rest).ok_or("a quote is not closed")?;
        Ok(Some(Self { keyword, arguments, text }))
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\r'];

/// Both kinds of quotes; a backslash before a quote, another backslash or a blank outside of quotes takes
/// its meaning away; `#` at the start of an argument ends the line. `None` where a quote is not closed.
fn arguments(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_whitespace()).is_some() {}
        if rest.peek().is_none_or(|c| *c == '#') {
            return Some(words);
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

/// Conditions of Match that take a value, and the one of later versions that takes none.
const CONDITIONS: &[&str] =
    &["user", "group", "host", "address", "localaddress", "localport", "rdomain", "version"];
const BARE_CONDITION: &str = "invalid-user";

/// Why sshd refuses a Match line, if it does.
pub(super) fn bad_match(arguments: &[String]) -> Option<String> {
    let Some(first) = arguments.first() else { return Some("Match has no condition".into()) };
    if first.eq_ignore_ascii_case("all") && arguments.len() == 1 {
        return None;
    }
    let mut words = arguments.iter().flat_map(|word| word.splitn(2, '=')).filter(|word| !word.is_empty());
    while let Some(condition) = words.next() {
        let condition = condition.to_ascii_lowercase();
        if condition == BARE_CONDITION {
            continue;
        }
        if !CONDITIONS.contains(&condition.as_str()) {
            return Some(format!("sshd does not know the condition {condition:?} here"));
        }
        let Some(value) = words.next() else { return Some(format!("{condition} has no value")) };
        let bad = match condition.as_str() {
            "address" | "localaddress" => value.split(',').any(bad_network),
            "localport" => value.parse::<u16>().map_or(true, |port| port == 0),
            _ => false,
        };
        if bad {
            return Some(format!("{condition} {value:?} is none"));
        }
    }
    None
}

/// A network whose mask is too long, or leaves out part of the address. What is no address is a pattern.
fn bad_network(text: &str) -> bool {
    let text = text.strip_prefix('!').unwrap_or(text);
    let Some((address, mask)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(mask)) = (address.parse::<IpAddr>(), mask.parse::<u32>()) else { return false };
    let (bits, width) = match address {
        IpAddr::V4(four) => (u128::from(u32::from(four)) << 96, 32),
        IpAddr::V6(six) => (u128::from(six), 128),
    };
    mask > width || bits.checked_shl(mask).unwrap_or(0) != 0
}
