//! Lists of algorithms. What sshd offers by itself is built into the program and differs by version and
//! distribution, so it is read where it stands: among the strings of the installed program.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use aright_shared::posture::ErrorCode;

use super::super::{Failed, Look};

/// Where the program lies; the first that is there.
const PROGRAMS: &[&str] = &["/usr/sbin/sshd", "/usr/bin/sshd"];
/// A list of this many names is a default, not one of the small ones for old clients.
const FEWEST: usize = 4;
/// Longer strings of a program are no list.
const LONGEST: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Ciphers,
    Macs,
    KeyExchange,
}

impl Family {
    fn holds(self, name: &str) -> bool {
        let cipher = ["aes", "chacha20-", "3des-", "rijndael-", "arcfour", "blowfish-", "cast128-"];
        let mac = ["hmac-", "umac-"];
        let key = [
            "ssh-",
            "ecdsa-",
            "sk-",
            "rsa-",
            "webauthn-",
            "gss-",
            "ext-info-",
            "kex-strict-",
            "none",
            "zlib",
        ];
        let begins = |with: &[&str]| with.iter().any(|prefix| name.starts_with(prefix));
        let word =
            name.contains('-') && name.chars().all(|c| c.is_ascii_alphanumeric() || "-@._".contains(c));
        word && match self {
            Self::Ciphers => begins(&cipher),
            Self::Macs => begins(&mac),
            Self::KeyExchange => !begins(&cipher) && !begins(&mac) && !begins(&key),
        }
    }

    /// A name that every default list has.
    fn anchor(self) -> &'static str {
        match self {
            Self::Ciphers => "aes256-ctr",
            Self::Macs => "hmac-sha2-256",
            Self::KeyExchange => "ecdh-sha2-nistp256",
        }
    }
}

/// What sshd makes of lists. The program is searched once for each name and each default, however many
/// lines there are.
pub(super) struct Algorithms<'a> {
    look: &'a Look<'a>,
    program: OnceCell<Result<Program, Failed>>,
    known: RefCell<BTreeMap<String, bool>>,
    defaults: RefCell<BTreeMap<Family, Result<Vec<String>, Failed>>>,
}

/// The strings of the installed program, and where they are from.
struct Program {
    path: &'static str,
    strings: Rc<str>,
}

impl<'a> Algorithms<'a> {
    pub(super) fn new(look: &'a Look<'a>) -> Self {
        Self { look, program: OnceCell::new(), known: RefCell::default(), defaults: RefCell::default() }
    }

    /// What stands for a default list.
    pub(super) fn source(&self) -> Option<&'static str> {
        self.program().ok().map(|program| program.path)
    }

    /// The list that is used where no line sets one.
    pub(super) fn default(&self, family: Family) -> Result<Vec<String>, Failed> {
        if let Some(known) = self.defaults.borrow().get(&family) {
            return known.clone();
        }
        let default = self.program().and_then(|program| program.default(family));
        self.defaults.borrow_mut().insert(family, default.clone());
        default
    }

    /// What sshd makes of an argument: a list, or a change of the default list.
    pub(super) fn chosen(&self, family: Family, argument: &str) -> Result<Vec<String>, Failed> {
        let refused = |why: &str| Failed::Error(ErrorCode::Parse, format!("{argument:?}: {why}"));
        let (change, list) = match argument.strip_prefix(['+', '-', '^']) {
            Some(list) => (argument.chars().next(), list),
            None => (None, argument),
        };
        // Of what is taken away only patterns are given, which need not name anything.
        if change != Some('-') {
            if list.is_empty() {
                return Err(refused("names nothing"));
            }
            let unknown = |name: &&str| !name.is_empty() && !self.knows(family, name);
            if let Some(name) = list.split(',').find(unknown) {
                return Err(refused(&format!("sshd does not know {name:?}")));
            }
        }
        let joined = match change {
            None => names(list),
            Some(change) => {
                let default = self.default(family)?;
                match change {
                    '+' => [default, names(list)].concat(),
                    '^' => [names(list), default].concat(),
                    // Who takes everything away gets everything (tried).
                    _ if default.iter().all(|name| matches_any(list, name)) => default,
                    _ => default.into_iter().filter(|name| !matches_any(list, name)).collect(),
                }
            }
        };
        let mut seen = BTreeSet::new();
        Ok(joined.into_iter().filter(|name| seen.insert(name.clone())).collect())
    }

    fn program(&self) -> Result<&Program, Failed> {
        self.program.get_or_init(|| Program::installed(self.look)).as_ref().map_err(Clone::clone)
    }

    /// Whether the program has an algorithm of this name; without a program all are believed.
    fn knows(&self, family: Family, name: &str) -> bool {
        if !family.holds(name) {
            return false;
        }
        let Ok(program) = self.program() else { return true };
        if let Some(known) = self.known.borrow().get(name) {
            return *known;
        }
        let known = program.strings.contains(&format!("{name}\0"));
        self.known.borrow_mut().insert(name.to_owned(), known);
        known
    }
}

impl Program {
    fn installed(look: &Look<'_>) -> Result<Self, Failed> {
        for path in PROGRAMS {
            match look.text(path) {
                Ok(strings) => return Ok(Self { path, strings }),
                Err(Failed::Absent) => {}
                Err(failed) => return Err(failed),
            }
        }
        Err(unresolved("the default depends on how sshd was built, and the program is not here"))
    }

    /// Of two lists the shorter, if the longer only adds to it: what a client offers (OpenSSH 10); else it
    /// cannot be told.
    fn default(&self, family: Family) -> Result<Vec<String>, Failed> {
        let is_list = |text: &&str| {
            text.len() <= LONGEST
                && text.split(',').count() >= FEWEST
                && text.split(',').all(|name| family.holds(name))
                && text.split(',').any(|name| name == family.anchor())
        };
        let lists: BTreeSet<&str> = self.strings.split('\0').filter(is_list).collect();
        // The shortest of those that begin alike comes first.
        let Some(shortest) = lists.first() else {
            return Err(unresolved(&format!("{}: its default list is not found", self.path)));
        };
        if lists.iter().all(|list| list.starts_with(shortest)) {
            return Ok(names(shortest));
        }
        Err(unresolved(&format!("{}: it has several default lists", self.path)))
    }
}

fn names(list: &str) -> Vec<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn unresolved(why: &str) -> Failed {
    Failed::Error(ErrorCode::Unresolved, why.to_owned())
}

/// By ssh_config(5), PATTERNS: one with `!` that matches keeps the name whatever the others say.
fn matches_any(list: &str, name: &str) -> bool {
    let mut any = false;
    for pattern in list.split(',') {
        match pattern.strip_prefix('!') {
            Some(kept) if matches(kept, name) => return false,
            None if matches(pattern, name) => any = true,
            _ => {}
        }
    }
    any
}

/// `*` and `?`, nothing else.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::look_at;
    use super::*;

    fn default(strings: &str) -> Option<String> {
        let mut list = None;
        look_at(&[("usr/sbin/sshd", strings)], |look| {
            list = Algorithms::new(look).default(Family::KeyExchange).ok().map(|names| names.join(","));
        });
        list
    }

    #[test]
    fn the_default_is_the_list_that_stands_in_the_program() {
        let server = "mlkem768x25519-sha256,curve25519-sha256,ecdh-sha2-nistp256,ecdh-sha2-nistp384";
        let client = format!("{server},diffie-hellman-group14-sha256");
        let small = "diffie-hellman-group-exchange-sha256,ecdh-sha2-nistp256";
        assert_eq!(default(&format!("\u{7f}ELF\0{small}\0{client}\0{server}\0x")).as_deref(), Some(server));
        let other = "ecdh-sha2-nistp256,ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group14-sha256";
        assert_eq!(default(&format!("{server}\0{other}\0")), None, "which of them is not known");
        assert_eq!(default("\0"), None);
    }

    #[test]
    fn patterns() {
        for (pattern, name, holds) in [
            ("*", "x", true),
            ("*-sha1*", "hmac-sha1-etm@openssh.com", true),
            ("hmac-sha?", "hmac-sha1", true),
            ("hmac-sha1", "hmac-sha1-96", false),
            ("*1*6", "hmac-sha1-96", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), holds, "{pattern}");
        }
        assert!(matches_any("a*,b*", "b1") && !matches_any("*,!b1", "b1"));
    }
}
