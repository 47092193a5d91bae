//! Probes: what a control looks at, over a root. One file a probe; each yields a reading and evidence.
//! Probes know no network and run no shell.

#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(windows, path = "windows.rs")]
mod look;

use std::collections::BTreeSet;
use std::path::PathBuf;

use aright_shared::posture::{EVIDENCE_BYTES, ErrorCode, Evidence, Reading, Value};

use crate::mask;
pub use look::*;

/// What a probe saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub reading: Reading,
    pub evidence: Vec<Evidence>,
}

/// Where is looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The host as it runs, or a prepared tree.
    #[default]
    Live,
    /// A stage: what a declared activation or a covered secret decides is pending there.
    Stage(Pending),
}

/// What only the live host can tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Kernel parameters whose run-time value an activation sets.
    pub sysctls: BTreeSet<String>,
    /// Units whose state an activation changes.
    pub units: BTreeSet<String>,
    pub mounts: BTreeSet<String>,
    pub modules: BTreeSet<String>,
    /// Files and folders that are covered by empty ones.
    pub covered: Vec<PathBuf>,
    /// Owner and mode of everything: an ordinary user's stage is their own.
    pub attributes: bool,
}

impl Seen {
    fn value(value: Value, evidence: Vec<Evidence>) -> Self {
        Self { reading: Reading::Value(value), evidence }
    }

    fn of(reading: Reading) -> Self {
        Self { reading, evidence: Vec::new() }
    }

    fn error(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::of(Reading::Error { code, detail: detail.into() })
    }
}

/// One item of evidence, at its limit and without secrets.
fn evidence(source: &str, place: Option<String>, text: &str) -> Evidence {
    let mut text = mask::mask(text).into_owned();
    if text.len() > EVIDENCE_BYTES {
        let end = (0..=EVIDENCE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    Evidence { source: source.to_owned(), place, text }
}

/// A record from pairs.
fn record<const N: usize>(fields: [(&str, Reading); N]) -> Value {
    Value::Record(fields.into_iter().map(|(name, reading)| (name.to_owned(), reading)).collect())
}
