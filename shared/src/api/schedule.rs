//! When a job runs.

mod in_words;
mod rule;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::outcome::words;

pub use rule::{Day, End, Frequency, MAX_RULE, Rule, RuleError, Until};

/// `now`, `{once: {at, zone}}` or `{repeat: {start, rule, zone, missed}}`. Displayed in words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// When its hold time is over.
    #[default]
    Now,
    Once(Once),
    Repeat(Repeat),
}

impl Schedule {
    /// By whose clock; `now` asks none.
    pub fn zone(&self) -> Option<&Zone> {
        match self {
            Self::Now => None,
            Self::Once(once) => Some(&once.zone),
            Self::Repeat(repeat) => Some(&repeat.zone),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Once {
    /// What a clock on the wall of that zone shows, such as `2026-12-01T02:00`.
    pub at: jiff::civil::DateTime,
    #[serde(default)]
    pub zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// From when on, and the time of day of all (RFC 5545, DTSTART), as [`Once::at`]. Itself an occurrence
    /// only where it fits the rule.
    pub start: jiff::civil::DateTime,
    /// RFC 5545, RRULE: `FREQ=MONTHLY;BYDAY=2TU;COUNT=12`; what of it is taken: [`Rule`].
    pub rule: String,
    #[serde(default)]
    pub zone: Zone,
    #[serde(default)]
    pub missed: Missed,
}

words! {
    /// What becomes of an occurrence at which the controller was away.
    #[derive(Default)]
    Missed {
        /// The latest of those missed is made up for, after the hold time.
        #[default]
        RunOnce = "run_once",
        Skip = "skip",
    }
}

/// Whose clock on the wall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Zone {
    /// An IANA name, such as `Europe/Berlin`; whether there is such a zone the controller says.
    Named(String),
    /// `asset`: each host's own.
    Asset,
}

impl Default for Zone {
    fn default() -> Self {
        Self::Named("UTC".into())
    }
}

impl FromStr for Zone {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
        match text {
            "asset" => Ok(Self::Asset),
            "" => Err("a zone has a name, such as Europe/Berlin".into()),
            name if name.len() <= 64 && name.chars().all(plain) => Ok(Self::Named(name.into())),
            other => Err(format!("{other:?} is no zone: an IANA name, such as Europe/Berlin, or asset")),
        }
    }
}

impl TryFrom<String> for Zone {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Named(name) => name,
            Self::Asset => "asset",
        })
    }
}
