//! Observations, and the pure function that judges one against an expected value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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

/// Made once by the agent, however many policies judge it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    #[serde(flatten)]
    pub spot: Spot,
    pub reading: Reading,
    #[serde(default)]
    pub evidence: Vec<Evidence>,
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
