//! What can be run, and who approved it.

use serde::{Deserialize, Serialize};

use crate::content::script::{Confine, Fix, Interpreter, Origin, Risk};
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::id::Key;
use crate::outcome::words;
use crate::time::Millis;

words! {
    ScriptState {
        Draft = "draft",
        InReview = "in_review",
        Approved = "approved",
        Deprecated = "deprecated",
        Rejected = "rejected",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    pub key: Key,
    pub version: u32,
    /// Of its canonical bytes.
    pub digest: Digest,
    pub origin: Origin,
    pub state: ScriptState,
    pub title: String,
    pub risk: Risk,
    pub lockout: bool,
    pub interpreter: Interpreter,
    pub confinement: Confine,
    #[serde(default)]
    pub fixes: Vec<Fix>,
    pub created: Millis,
    pub author: String,
    /// Who approved this version, and until when; none for the library.
    #[serde(default)]
    pub approvals: Vec<GivenApproval>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenApproval {
    pub approver: String,
    pub approved: Millis,
    pub not_after: Millis,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptDetail {
    #[serde(flatten)]
    pub script: Script,
    /// The canonical bytes, as text: what an approver reads and signs.
    pub bytes: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptUpload {
    /// The canonical bytes (RFC 8785) as text; anything else is refused.
    pub bytes: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptApproval {
    /// Seals a [`crate::trust::Approval`].
    pub envelope: Envelope,
}
