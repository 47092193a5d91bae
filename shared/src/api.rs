//! The operators' REST, `/api/v1`: JSON over HTTPS, a bearer token, refusals as
//! [`Problem`](crate::problem::Problem). What a client sends is parsed strictly (an unknown key is an
//! error that names it); what it receives may grow.
//!
//! | route | query or body → reply |
//! |---|---|
//! | `GET version` (no token) | → [`Version`] |
//! | `GET health` (no token) | → [`Health`], 503 when it is not well |
//! | `POST session` (no token) | [`Login`] → [`Session`]; 429 with `Retry-After` after too many wrong ones |
//! | `DELETE session` | → 204: the token is void |
//! | `GET assets` | [`AssetFilter`], [`Paging`] → [`Page`] of [`Asset`] |
//! | `GET assets/{id}` | → [`Asset`] |
//! | `POST assets/{id}/revoke` | → [`Asset`] |
//! | `POST assets/{id}/evaluate` | → 204: it evaluates at its next check-in |
//! | `POST assets/{id}/previews` | [`NewPreview`] → 201 [`Task`]: what a script would do there |
//! | `POST enroll-keys` | [`NewEnrollKey`] → 201 [`EnrollKeyMade`], the only time the secret is shown |
//! | `GET enroll-keys` | [`Paging`] → [`Page`] of [`EnrollKey`] |
//! | `GET technologies`, `controls`, `policies` | [`Paging`] → [`Page`] of the content's own documents |
//! | `GET postures` | [`PostureFilter`], [`Paging`] → [`Page`] of [`Posture`] |
//! | `GET postures/{id}` | → [`PostureDetail`] |
//! | `GET scripts` | [`Paging`] → [`Page`] of [`Script`] |
//! | `GET scripts/{key}` | → [`ScriptDetail`], of the newest version |
//! | `POST scripts` | [`ScriptUpload`] → 201 [`ScriptDetail`], a draft; the same bytes again: 200 |
//! | `POST scripts/{key}/approvals` | [`ScriptApproval`] → [`ScriptDetail`] |
//! | `POST jobs` | [`NewJob`] → 201 [`Job`] |
//! | `GET jobs` | [`Paging`] → [`Page`] of [`Job`], newest first |
//! | `GET jobs/{id}` | → [`Job`] |
//! | `POST jobs/{id}/runs` | [`NewRun`] → 201 [`Run`]: once more, from the same selection |
//! | `POST jobs/{id}/cancel` | → [`Job`]: what is pending or queued ends, what runs ends by itself |
//! | `GET runs/{id}` | [`Watch`] → [`Run`] |
//! | `GET tasks` | [`TaskFilter`], [`Paging`] → [`Page`] of [`Task`] |
//! | `GET tasks/{id}` | → [`TaskDetail`] |
//! | `POST tasks/{id}/undo` | → 201 [`Task`]: brings back what that one changed |
//! | `GET trust` | → [`Trust`] |
//!
//! In a query a list is its key repeated (`policy=a&policy=b`): see [`query_pairs`].
//! Every `POST` without a body may be sent with none. `Idempotency-Key` and `ETag` come later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::control::Criticality;
use crate::content::expect::Expect;
use crate::content::script::{Confine, Fix, Interpreter, Origin, Risk};
use crate::digest::Digest;
use crate::envelope::{Envelope, PublicKey};
use crate::id::{AssetId, EnrollKeyId, JobId, Key, PostureId, RunId, TaskId};
use crate::outcome::{HostChange, Outcome, Refusal, words};
use crate::posture::{Evidence, Managed, Reading, Spot, Value, Verdict};
use crate::task::{ClockReading, ClockVerdict, Target, TaskKind, TaskReport, TaskState};
use crate::time::Millis;
use crate::trust::TrustDocument;
use crate::wire::Facts;

/// Largest body the operators' port accepts, in bytes.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// Most rows of one page, and how many there are unless asked.
pub const MAX_LIMIT: u32 = 1000;
pub const LIMIT: u32 = 200;
/// Shortest hold time of a run, in seconds (less only with `--dev`).
pub const MIN_HOLD_S: u32 = 15 * 60;
/// A job's bounds.
pub const MAX_CONTROLS: usize = 100;
pub const MAX_SCRIPTS: usize = 150;
/// Longest [`Watch::wait_s`].
pub const MAX_WATCH_S: u32 = 30;

/// Rows in a stable order; `next` is given back as `cursor` for those that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// 1 to [`MAX_LIMIT`]; [`LIMIT`] unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A filter or [`Paging`] as the pairs of a query.
pub fn query_pairs<T: Serialize>(filter: &T) -> Vec<(String, String)> {
    use serde_json::Value as Json;
    let text = |value: Json| match value {
        Json::String(text) => text,
        other => other.to_string(),
    };
    let Ok(Json::Object(fields)) = serde_json::to_value(filter) else { return Vec::new() };
    fields
        .into_iter()
        .flat_map(|(key, value)| match value {
            Json::Array(items) => items.into_iter().map(|item| (key.clone(), text(item))).collect(),
            Json::Null => Vec::new(),
            one => vec![(key, text(one))],
        })
        .collect()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    /// Started with `--dev`: short hold times are allowed.
    pub dev: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub ok: bool,
    /// One sentence each; empty when all is well.
    #[serde(default)]
    pub problems: Vec<String>,
}

// People

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    pub user: String,
    pub password: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Sent as `Authorization: Bearer …`.
    pub token: String,
    pub user: String,
    pub expires: Millis,
}

// Assets

words! {
    AssetState {
        Active = "active",
        /// A clone or a rolled-back snapshot was seen: no tasks.
        Quarantined = "quarantined",
        Revoked = "revoked",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    pub id: AssetId,
    pub state: AssetState,
    pub facts: Facts,
    #[serde(default)]
    pub technologies: Vec<Key>,
    #[serde(default)]
    pub tags: Vec<String>,
    pub eligible: bool,
    /// Why it is not eligible; empty when it is.
    #[serde(default)]
    pub reasons: Vec<String>,
    pub enrolled: Millis,
    pub last_seen: Option<Millis>,
    /// A check-in is open, or was a moment ago.
    pub connected: bool,
    pub clock: Option<AssetClock>,
    pub postures: PostureCounts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetClock {
    #[serde(flatten)]
    pub reading: ClockReading,
    pub verdict: ClockVerdict,
    /// When it was told, in the controller's clock.
    pub at: Millis,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureCounts {
    pub pass: u32,
    pub fail: u32,
    pub error: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssetFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AssetState>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewEnrollKey {
    /// For people.
    #[serde(default)]
    pub name: String,
    /// 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u32>,
    /// One day unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_s: Option<u32>,
    /// What its assets are tagged with.
    #[serde(default)]
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollKey {
    pub id: EnrollKeyId,
    pub name: String,
    pub tags: Vec<String>,
    pub max_uses: u32,
    pub uses: u32,
    pub created: Millis,
    pub created_by: String,
    pub expires: Millis,
}

/// All that `aright-agent enroll` has to be told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollKeyMade {
    #[serde(flatten)]
    pub key: EnrollKey,
    pub secret: String,
    /// SHA-256 of the authority's root certificate (DER).
    pub authority: Digest,
    /// SHA-256 of the trust root's public key.
    pub trust: Digest,
    /// Where agents find this controller, most likely first.
    pub urls: Vec<String>,
}

// Posture

/// Conditions that must all hold; within one, any of its values.
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

// Scripts

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

// Jobs

/// What is to be fixed, by what, when. Postures are named or found; what is found is frozen when saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postures: Vec<PostureId>,
    /// Without a `status` it finds the remediable ones: failed, on eligible assets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<PostureFilter>,
    /// Library scripts by key: only these of those offered. All that are offered unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<Vec<Key>>,
    /// Run on every asset of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_scripts: Vec<CustomScript>,
    /// Assets without a chosen posture, for the custom scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_assets: Vec<AssetId>,
    /// Beats everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_assets: Vec<AssetId>,
    /// How long the run is pending, in seconds: [`MIN_HOLD_S`] or more, and unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
    /// How long after it became due a run waits for hosts that do not come, in seconds; one day unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_s: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomScript {
    pub key: Key,
    /// Values of the parameters that are `given`, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
}

words! {
    JobState {
        Draft = "draft",
        Active = "active",
        Inactive = "inactive",
        Ended = "ended",
    }
}

words! {
    RunState {
        Pending = "pending",
        Executing = "executing",
        Paused = "paused",
        Completed = "completed",
        Halted = "halted",
        Cancelled = "cancelled",
        Expired = "expired",
    }
}

impl RunState {
    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Executing | Self::Paused)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub name: String,
    pub state: JobState,
    pub created: Millis,
    pub created_by: String,
    /// How many of each were chosen.
    pub postures: u32,
    pub controls: u32,
    pub assets: u32,
    pub scripts: Vec<JobScript>,
    /// Newest first.
    pub runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobScript {
    pub key: Key,
    pub version: u32,
    pub digest: Digest,
    pub origin: Origin,
    pub title: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    pub id: RunId,
    pub job: JobId,
    pub state: RunState,
    pub saved: Millis,
    /// It executes then, not before.
    pub due: Millis,
    /// Tasks not delivered by then end `undelivered`.
    pub expires: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Millis>,
    /// None before it executes.
    pub tasks: u32,
    pub states: BTreeMap<TaskState, u32>,
    pub outcomes: BTreeMap<Outcome, u32>,
    /// Rises with every change: see [`Watch`].
    pub revision: u64,
}

/// The reply waits until the run's revision is another than `revision`, or `wait_s` have passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Watch {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait_s: Option<u32>,
}

// Tasks

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TaskFilter {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// A script to be tried on one host's stage: a library script, or an approved one of the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPreview {
    pub script: Key,
    /// What the script wants to be given.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub id: TaskId,
    pub kind: TaskKind,
    /// Absent, as the run is, for what a person asked of one host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// Who asked for it, where no run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<TaskId>,
    pub asset: AssetId,
    pub hostname: String,
    pub script: Key,
    pub version: u32,
    pub title: String,
    pub state: TaskState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<HostChange>,
    #[serde(default)]
    pub detail: String,
    pub queued: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDetail {
    #[serde(flatten)]
    pub task: Task,
    pub digest: Digest,
    pub params: BTreeMap<String, String>,
    pub targets: Vec<Target>,
    /// As last signed and delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Envelope>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<TaskReport>,
}

// Trust

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// SHA-256 of the authority's root certificate (DER): what agents and CLI pin for TLS.
    pub authority: Digest,
    /// SHA-256 of the trust root's public key: what agents pin for approvals.
    pub root: Digest,
    pub task_key: PublicKey,
    pub document: TrustDocument,
    pub envelope: Envelope,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_becomes_pairs_with_lists_as_repeated_keys() {
        let filter = PostureFilter {
            policy: vec!["b".parse().expect("a key"), "a".parse().expect("a key")],
            status: vec![Verdict::Fail],
            ..PostureFilter::default()
        };
        let pairs = query_pairs(&filter);
        let text: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(text, ["policy=b", "policy=a", "status=fail"]);
    }

    #[test]
    fn what_a_client_sends_is_parsed_strictly() {
        let error = serde_json::from_str::<NewJob>(r#"{"name": "x", "postrues": []}"#).expect_err("refused");
        assert!(error.to_string().contains("postrues"), "{error}");
    }
}
