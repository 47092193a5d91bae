//! Observations, and the pure function that judges one against an expected value.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::content::expect::{AbsentAs, Condition, Expect, Operator};
use crate::content::pattern::Pattern;
use crate::id::Key;
use crate::outcome::words;
use crate::time::Millis;

/// A typed value that a probe saw, or that content expects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
    List(Vec<Value>),
    Record(BTreeMap<String, Reading>),
}

words! {
    /// Which thing was not there.
    Missing {
        File = "file",
        Value = "value",
    }
}

words! {
    /// Why an observation is an error.
    ErrorCode {
        NotSupported = "not_supported",
        AccessDenied = "access_denied",
        Timeout = "timeout",
        Parse = "parse",
        ProbeFailed = "probe_failed",
        Unresolved = "unresolved",
        TooLarge = "too_large",
    }
}

/// What a probe yielded. On the wire `{"value": …}`, `{"absent": "file"}`,
/// `{"error": {"code": …, "detail": …}}` or `"pending"`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    Value(Value),
    Absent(Missing),
    Error {
        code: ErrorCode,
        detail: String,
    },
    /// Seen in a stage only: a declared activation or a covered secret decides it, so it is
    /// judged on the live host.
    Pending,
}

/// What a probe looked at: source (file, key, unit, package), place in it, the raw text (at most 8 kB).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    pub text: String,
}

/// Longest `text` of one [`Evidence`], in bytes.
pub const EVIDENCE_BYTES: usize = 8 * 1024;

/// What names one observation on an asset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Spot {
    pub control: Key,
    pub technology: Key,
    /// `default` when there is one.
    pub instance: String,
}

words! {
    /// Who else writes files of a host.
    Manager {
        Puppet = "puppet",
        Ansible = "ansible",
        CloudInit = "cloud-init",
        /// The file is one of a package's conffiles: dpkg asks before it replaces what was changed.
        Dpkg = "dpkg",
    }
}

impl Manager {
    /// Whether it brings its own content back by itself.
    pub fn writes_again(self) -> bool {
        self != Self::Dpkg
    }
}

/// A file that somebody else manages too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Managed {
    pub path: String,
    pub by: Manager,
}

impl fmt::Display for Managed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.by.writes_again() { "managed by" } else { "a conffile of" };
        write!(f, "{} is {what} {}", self.path, self.by)
    }
}

/// Made once by the agent, however many policies judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    #[serde(flatten)]
    pub spot: Spot,
    pub reading: Reading,
    #[serde(default)]
    pub evidence: Vec<Evidence>,
    /// What of the files looked at somebody else manages too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed: Vec<Managed>,
    /// In the agent's clock.
    pub at: Millis,
}

/// A control that does not apply here, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotApplicable {
    pub control: Key,
    pub technology: Key,
    pub reason: String,
}

words! {
    Verdict {
        Pass = "pass",
        Fail = "fail",
        Error = "error",
    }
}

/// Longest text of a value that people are shown, in characters.
const SHOWN: usize = 300;

impl Value {
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bool(_) | Self::Int(_) | Self::List(_) | Self::Record(_) => None,
        }
    }

    pub fn list(&self) -> Option<&[Value]> {
        match self {
            Self::List(items) => Some(items),
            Self::Bool(_) | Self::Int(_) | Self::Text(_) | Self::Record(_) => None,
        }
    }

    /// A list of integers.
    pub fn ints(&self) -> Option<Vec<i64>> {
        self.list()?.iter().map(Self::int).collect()
    }

    /// An integer, or text that is one: with blanks around it is none to many programs.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Bool(_) | Self::List(_) | Self::Record(_) => None,
        }
    }

    /// Permission bits, written in octal as text.
    pub fn mode(&self) -> Option<u32> {
        u32::from_str_radix(self.text()?, 8).ok().filter(|bits| *bits <= 0o7777)
    }

    /// As a script's parameter or a configuration file has it.
    pub fn plain(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Text(value) => value.clone(),
            Self::List(items) => items.iter().map(Self::plain).collect::<Vec<_>>().join(","),
            Self::Record(fields) => {
                fields.iter().map(|(name, field)| format!("{name} {field}")).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// Whether two values are the same one, however they are typed.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(one), Self::List(two)) => {
                one.len() == two.len() && one.iter().zip(two).all(|(a, b)| a.is_same(b))
            }
            (Self::List(_) | Self::Record(_), _) | (_, Self::List(_) | Self::Record(_)) => self == other,
            (one, two) => one.plain() == two.plain(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::List(items) => {
                format!("[{}]", items.iter().map(Self::plain).collect::<Vec<_>>().join(", "))
            }
            one => one.plain(),
        };
        if text.chars().count() > SHOWN {
            return write!(f, "{}…", text.chars().take(SHOWN).collect::<String>());
        }
        f.write_str(&text)
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => value.fmt(f),
            Self::Absent(Missing::File) => f.write_str("no file"),
            Self::Absent(Missing::Value) => f.write_str("absent"),
            Self::Error { code, detail } => write!(f, "error {code}: {detail}"),
            Self::Pending => f.write_str("pending"),
        }
    }
}

/// Judges a reading: pure, the same on both ends. What is [`Reading::Pending`] never makes a fail.
pub fn judge(reading: &Reading, expect: &Expect) -> Verdict {
    match weigh(reading, expect) {
        Weight::Pass | Weight::Pending => Verdict::Pass,
        Weight::Fail => Verdict::Fail,
        Weight::Error => Verdict::Error,
    }
}

/// Three-valued logic, and what only the live host can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Pass,
    Fail,
    Error,
    Pending,
}

impl Weight {
    fn of(holds: bool) -> Self {
        if holds { Self::Pass } else { Self::Fail }
    }

    /// One fail decides, else one error; what is pending is left aside.
    fn all(weights: impl Iterator<Item = Self>) -> Self {
        weights.fold(Self::Pending, |so_far, next| match (so_far, next) {
            (Self::Fail, _) | (_, Self::Fail) => Self::Fail,
            (Self::Error, _) | (_, Self::Error) => Self::Error,
            (Self::Pass, _) | (_, Self::Pass) => Self::Pass,
            (Self::Pending, Self::Pending) => Self::Pending,
        })
    }

    /// One pass decides, what is pending may yet be one, else one error.
    fn any(weights: impl Iterator<Item = Self>) -> Self {
        weights.fold(Self::Fail, |so_far, next| match (so_far, next) {
            (Self::Pass, _) | (_, Self::Pass) => Self::Pass,
            (Self::Pending, _) | (_, Self::Pending) => Self::Pending,
            (Self::Error, _) | (_, Self::Error) => Self::Error,
            (Self::Fail, Self::Fail) => Self::Fail,
        })
    }

    fn reversed(self) -> Self {
        match self {
            Self::Pass => Self::Fail,
            Self::Fail => Self::Pass,
            Self::Error => Self::Error,
            Self::Pending => Self::Pending,
        }
    }
}

fn weigh(reading: &Reading, expect: &Expect) -> Weight {
    match expect {
        Expect::All(list) => Weight::all(list.iter().map(|one| weigh(reading, one))),
        Expect::Any(list) => Weight::any(list.iter().map(|one| weigh(reading, one))),
        Expect::None(list) => Weight::any(list.iter().map(|one| weigh(reading, one))).reversed(),
        Expect::Is(condition) => weigh_one(field_of(reading, condition), condition),
    }
}

/// The reading, or the field of it that the condition names.
fn field_of<'r>(reading: &'r Reading, condition: &Condition) -> &'r Reading {
    const NO_RECORD: &Reading = &Reading::Error { code: ErrorCode::Parse, detail: String::new() };
    match (&condition.field, reading) {
        (Some(field), Reading::Value(Value::Record(fields))) => fields.get(field).unwrap_or(NO_RECORD),
        (Some(_), Reading::Value(_)) => NO_RECORD,
        (_, whole) => whole,
    }
}

fn weigh_one(reading: &Reading, condition: &Condition) -> Weight {
    let absent_as = |word| match word {
        AbsentAs::Pass => Weight::Pass,
        AbsentAs::Fail => Weight::Fail,
        AbsentAs::Error => Weight::Error,
    };
    match (reading, condition.operator) {
        (Reading::Pending, _) => Weight::Pending,
        (Reading::Error { .. }, _) => Weight::Error,
        (Reading::Absent(_), Operator::Absent) | (Reading::Value(_), Operator::Present) => Weight::Pass,
        (Reading::Absent(_), Operator::Present) | (Reading::Value(_), Operator::Absent) => Weight::Fail,
        (Reading::Absent(Missing::File), _) => absent_as(condition.absent.file),
        (Reading::Absent(Missing::Value), _) => absent_as(condition.absent.value),
        (Reading::Value(value), Operator::Each | Operator::Some | Operator::None) => {
            let (Some(items), Some(of)) = (value.list(), &condition.of) else { return Weight::Error };
            let mut weights = items.iter().map(|item| weigh(&Reading::Value(item.clone()), of));
            match condition.operator {
                Operator::Each if items.is_empty() => absent_as(condition.absent.value),
                Operator::Each => Weight::all(weights.by_ref()),
                Operator::Some => Weight::any(weights.by_ref()),
                _ => Weight::any(weights.by_ref()).reversed(),
            }
        }
        (Reading::Value(value), operator) => {
            compare(value, operator, condition.value.as_ref()).map_or(Weight::Error, Weight::of)
        }
    }
}

/// `None` where the two cannot be compared: another type, unparsable, a pattern that is too hard.
fn compare(actual: &Value, operator: Operator, expected: Option<&Value>) -> Option<bool> {
    use Operator as Op;
    if let Op::Empty | Op::NotEmpty = operator {
        let empty = match actual {
            Value::List(items) => items.is_empty(),
            Value::Text(text) => text.is_empty(),
            Value::Bool(_) | Value::Int(_) | Value::Record(_) => return None,
        };
        return Some(empty == (operator == Op::Empty));
    }
    let expected = expected?;
    let holds = |value: &Value, list: &[Value]| list.iter().any(|item| item.is_same(value));
    match operator {
        Op::Lt => Some(actual.int()? < expected.int()?),
        Op::Le => Some(actual.int()? <= expected.int()?),
        Op::Gt => Some(actual.int()? > expected.int()?),
        Op::Ge => Some(actual.int()? >= expected.int()?),
        Op::Eq | Op::Ne => {
            // Compared as numbers where a number is expected.
            let same = match expected {
                Value::Int(number) => actual.int()? == *number,
                other => actual.is_same(other),
            };
            Some(same == (operator == Op::Eq))
        }
        Op::Between => {
            let bounds = expected.ints()?;
            Some((*bounds.first()?..=*bounds.get(1)?).contains(&actual.int()?))
        }
        Op::In => Some(holds(actual, expected.list()?)),
        Op::Re => Pattern::search(expected.text()?).ok()?.is_match(&actual.plain()).ok(),
        Op::EqNocase => Some(actual.plain().to_lowercase() == expected.text()?.to_lowercase()),
        Op::AtMost => Some(actual.mode()? & !expected.mode()? == 0),
        Op::Contains | Op::DoesNotContain | Op::Intersects | Op::Equals | Op::IsContainedIn => {
            let (have, named) = (actual.list()?, expected.list()?);
            Some(match operator {
                Op::Contains => named.iter().all(|one| holds(one, have)),
                Op::DoesNotContain => !named.iter().any(|one| holds(one, have)),
                Op::Intersects => named.iter().any(|one| holds(one, have)),
                Op::Equals => {
                    have.iter().all(|one| holds(one, named)) && named.iter().all(|one| holds(one, have))
                }
                _ => have.iter().all(|one| holds(one, named)),
            })
        }
        Op::Each | Op::Some | Op::None | Op::Empty | Op::NotEmpty | Op::Present | Op::Absent => None,
    }
}

#[cfg(test)]
mod tests;
