//! What an administrator sets for the whole controller.

use serde::{Deserialize, Serialize};

use crate::outcome::words;
use crate::time::Millis;

words! {
    LicenceKind {
        None = "none",
        Trial = "trial",
        Full = "full",
    }
}

/// Custom scripts may be chosen with `trial` or `full`, and run with `full` only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    pub kind: LicenceKind,
    /// When a trial ends: then it is as `none`. With `trial`, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Millis>,
}

/// The one switch: while it is set no remediation begins anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    pub at: Millis,
    pub by: String,
    pub reason: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewStop {
    /// For people.
    #[serde(default)]
    pub reason: String,
}
