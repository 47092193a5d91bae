//! The agents' wire, `/agent/v1`: JSON over mutual TLS. Unknown keys are ignored, so that a newer
//! peer can say more.
//!
//! | route | client certificate | body → reply |
//! |---|---|---|
//! | `POST enroll` | no | [`EnrollRequest`] → [`EnrollReply`] |
//! | `POST time` | no | [`TimeRequest`] → [`TimeReply`] |
//! | `POST check-in` | yes | [`CheckIn`] → [`Orders`], held up to [`CheckIn::wait_s`] |
//! | `POST report` | yes | [`Report`] → [`ReportReply`] |
//! | `POST tasks/{id}/running` | yes | [`Running`] → 204; 409 when it is no longer to run |
//! | `POST tasks/{id}/result` | yes | [`TaskReport`](crate::task::TaskReport) → 204, however often it is sent |
//! | `POST tasks/{id}/undone` | yes | [`Undone`] → 204, however often it is sent |
//! | `POST renew` | yes, or one that ended within a year | [`RenewRequest`] → [`RenewReply`] |
//! | `POST leave` | as `renew` | → 204: the host is revoked, as it asked |

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Envelope, PublicKey};
use crate::id::{AssetId, HistoryId, Key, TaskId};
use crate::outcome::HostChange;
use crate::posture::{NotApplicable, Observation, Spot};
use crate::task::{ClockReading, Delivery};
use crate::time::Millis;

/// Longest time a check-in is held, in seconds: proxies cut at 60.
pub const MAX_WAIT_S: u32 = 55;
/// Largest body either side accepts, in bytes.
pub const MAX_BODY: usize = 8 * 1024 * 1024;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollRequest {
    /// One-time secret, from `aright enroll-key create`.
    pub key: String,
    /// PKCS#10, PEM; the key was made on the host and stays there.
    pub csr: String,
    /// What makes this machine itself (a digest over machine id and the like).
    pub machine: Digest,
    /// Of the trust root that the host will pin: where it is another, the key is not spent in vain.
    #[serde(default)]
    pub trust_fingerprint: Option<Digest>,
    pub facts: Facts,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EnrollReply {
    pub asset: AssetId,
    /// Leaf first, then the intermediate, PEM.
    pub certificate: String,
    /// The authority's root, PEM.
    pub authority: String,
    pub root: PublicKey,
    pub trust: Envelope,
    /// By which task envelopes are verified.
    pub task_key: PublicKey,
    pub now: Millis,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewRequest {
    pub csr: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RenewReply {
    pub certificate: String,
}

/// NTP's on-wire times, in microseconds since 1970; T4 is the agent's own.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TimeRequest {
    pub t1: i64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct TimeReply {
    pub t1: i64,
    pub t2: i64,
    pub t3: i64,
}

/// What an agent is, apart from its settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub hostname: String,
    /// `PRETTY_NAME` or the Windows product name.
    pub os: String,
    pub kernel: String,
    pub arch: String,
    pub memory_mb: u64,
    pub cpus: u32,
    pub boot_time: Millis,
    pub agent_version: String,
    /// Whether the agent can stage here; else why not.
    pub confinement: String,
    /// Whose clock hangs on the wall: an IANA name; empty when unknown, as by agents before this field.
    #[serde(default)]
    pub timezone: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CheckIn {
    /// Rises with every check-in; a fall means a clone or a rolled-back snapshot.
    pub counter: u64,
    pub machine: Digest,
    /// How long the reply may be held when there is nothing to say, in seconds.
    pub wait_s: u32,
    /// Of all observations the agent has reported ([`observations_digest`]); absent before the first.
    pub observations: Option<Digest>,
    pub trust_version: u64,
    pub clock: Option<ClockReading>,
    /// `None`, or why this agent runs nothing (`mode = "evaluate"`, `aright-agent disable`).
    pub disabled: Option<String>,
    pub agent_version: String,
    /// To which all results that the agent keeps were told ([`Orders::history`]); absent before the first,
    /// and from agents before this field. While it is another than the controller's, no task is delivered.
    #[serde(default)]
    pub history: Option<HistoryId>,
    /// The trust document in force here, where the controller asked for it ([`Orders::tell_trust`]).
    #[serde(default)]
    pub trust: Option<Envelope>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Orders {
    #[serde(default)]
    pub tasks: Vec<Delivery>,
    /// Running ones that are to be ended; said with every reply until they have.
    #[serde(default)]
    pub cancel: Vec<TaskId>,
    /// Evaluate now and report.
    #[serde(default)]
    pub evaluate: bool,
    /// The digests differ: report everything.
    #[serde(default)]
    pub full_report: bool,
    /// A trust document above the version that the agent named.
    #[serde(default)]
    pub trust: Option<Envelope>,
    /// The agent has a higher one than a controller that was restored from a backup: it is to tell it.
    #[serde(default)]
    pub tell_trust: bool,
    /// The controller's own. Where it is another than the agent's, the controller was restored from a
    /// backup: the agent tells the results that it keeps once more, reports in full, and names this one.
    #[serde(default)]
    pub history: Option<HistoryId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Everything, rather than what changed since the last acknowledged report.
    pub full: bool,
    pub facts: Option<Facts>,
    /// Those found on the host, in full reports.
    #[serde(default)]
    pub technologies: Vec<Key>,
    #[serde(default)]
    pub observations: Vec<Observation>,
    #[serde(default)]
    pub not_applicable: Vec<NotApplicable>,
    /// Observed before, no longer there.
    #[serde(default)]
    pub gone: Vec<Spot>,
    /// Of the whole, after this report ([`observations_digest`]).
    pub digest: Digest,
    pub at: Millis,
    pub clock: Option<ClockReading>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReportReply {
    /// The controller's whole has the digest named; else it wants a full report.
    pub in_step: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub nonce: String,
    pub clock: Option<ClockReading>,
}

/// A kept change was taken back on the host itself, after the task's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Undone {
    /// `undone` or `undo_conflict`.
    pub change: HostChange,
    /// What was left alone and why, for people; empty when all went back. At most 4096 bytes.
    #[serde(default)]
    pub detail: String,
}

/// SHA-256 over spot and reading of every observation, in order of spot: times and evidence do not count.
pub fn observations_digest<'a>(observations: impl IntoIterator<Item = &'a Observation>) -> Digest {
    let mut rows: Vec<_> = observations.into_iter().map(|o| (&o.spot, &o.reading)).collect();
    rows.sort();
    Digest::of(&serde_json::to_vec(&rows).expect("texts and numbers are always JSON"))
}
