//! Who did what, when.

use serde::{Deserialize, Serialize};

use crate::id::AuditId;
use crate::time::Millis;

/// One line of the audit log, which is only ever appended to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    pub id: AuditId,
    pub at: Millis,
    /// A user, an agent's asset, or `controller`.
    pub who: String,
    /// `noun.verb`, as in `job.create`.
    pub action: String,
    /// The id or key of what it was done to.
    pub subject: String,
    pub detail: String,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuditFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// A whole action, or its noun alone: `job` for all that was done to jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}
