//! What passes, what fails.

use serde::{Deserialize, Serialize};

use crate::content::control::Criticality;
use crate::content::expect::Expect;
use crate::id::{AssetId, Key, PostureId};
use crate::posture::{Evidence, Managed, Reading, Spot, Value, Verdict};
use crate::time::Millis;

/// Conditions that must all hold; within one, any of its values. Revoked hosts are among what is found only where they
/// are named by `asset`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostureFilter {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy: Vec<Key>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub control: Vec<Key>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub technology: Vec<Key>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asset: Vec<AssetId>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hostname: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posture {
    pub id: PostureId,
    pub asset: AssetId,
    pub hostname: String,
    pub policy: Key,
    #[serde(flatten)]
    pub spot: Spot,
    /// Of the control, for people.
    pub number: u32,
    pub statement: String,
    pub criticality: Criticality,
    pub status: Verdict,
    pub reading: Reading,
    pub expect: Expect,
    /// What a fix would write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Value>,
    pub first_evaluated: Millis,
    pub last_evaluated: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_failed: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_passed: Option<Millis>,
    /// It fails and the asset is eligible.
    pub remediable: bool,
    /// An approved library script matches control, technology and policy.
    pub fix_available: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureDetail {
    #[serde(flatten)]
    pub posture: Posture,
    pub evidence: Vec<Evidence>,
    /// What of the files looked at somebody else manages too.
    #[serde(default)]
    pub managed: Vec<Managed>,
    pub rationale: String,
    pub remediation_text: String,
    /// Keys of the approved library scripts that match.
    pub scripts: Vec<Key>,
}
