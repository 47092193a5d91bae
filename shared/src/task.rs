//! What the controller orders (signed), and what the agent answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::content::expect::Expect;
use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::id::{AssetId, RunId, TaskId};
use crate::outcome::{HostChange, Outcome, Refusal, words};
use crate::posture::{Reading, Spot, Verdict};
use crate::time::Millis;

words! {
    TaskKind {
        Run = "run",
        Undo = "undo",
        Preview = "preview",
    }
}

impl TaskKind {
    /// What people do who want it still, as the end of a sentence.
    pub fn again(self) -> &'static str {
        match self {
            Self::Run => "run the job again",
            Self::Undo => "ask for the undo again",
            Self::Preview => "ask for the preview again",
        }
    }
}

words! {
    /// Where a task is before its outcome.
    TaskState {
        Queued = "queued",
        Delivered = "delivered",
        Running = "running",
        Confirming = "confirming",
        /// It has an outcome.
        Ended = "ended",
    }
}

impl TaskState {
    /// Nothing of it has happened on its host.
    pub fn is_to_begin(self) -> bool {
        matches!(self, Self::Queued | Self::Delivered)
    }
}

/// The payload of a task envelope: one order for one asset, signed by the controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOrder {
    pub task: TaskId,
    /// Absent for an order that no run made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    pub asset: AssetId,
    pub kind: TaskKind,
    /// Of the script's canonical bytes.
    pub script: Digest,
    /// Of the approval envelope; absent for library scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Digest>,
    /// Values of the script's declared parameters, by name.
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub targets: Vec<Target>,
    /// The task to be undone, for `undo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo_of: Option<TaskId>,
    pub not_before: Millis,
    pub not_after: Millis,
    /// 128 random bits, base64: each order is obeyed once.
    pub nonce: String,
    /// How long `lockout: true` scripts may wait for proof of contact, in seconds.
    pub confirm_s: u32,
    /// Largest abs(offset) + bound at which anything runs, in milliseconds.
    pub clock_limit_ms: i64,
}

/// A place that is to pass after the task, and by what it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    #[serde(flatten)]
    pub spot: Spot,
    pub expect: Expect,
}

/// An order with what is needed to obey it. `script` are the canonical bytes as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// As in the order: by which a refusal is reported when the envelope does not open.
    pub task: TaskId,
    pub order: Envelope,
    pub script: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Envelope>,
}

/// What became of one task. Sent until acknowledged, stored once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    pub task: TaskId,
    pub outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
    pub change: HostChange,
    /// One sentence for people: what, why with value and limit, what next.
    pub detail: String,
    pub started: Millis,
    pub ended: Millis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<ScriptResult>,
    #[serde(default)]
    pub targets: Vec<TargetResult>,
    #[serde(default)]
    pub regressed: Vec<Spot>,
    #[serde(default)]
    pub diff: Vec<FileDiff>,
    /// What was changed without having been declared.
    #[serde(default)]
    pub overreach: Vec<Overreach>,
    /// Activations as performed, in order.
    #[serde(default)]
    pub activation: Vec<ActivationResult>,
    /// How the script was confined; absent when it did not start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confinement: Option<Confinement>,
    #[serde(default)]
    pub clock: Option<ClockReading>,
    /// The journal's steps and when each was taken.
    #[serde(default)]
    pub steps: Vec<StepTaken>,
}

impl TaskReport {
    /// One that says only what became of the task.
    pub fn of(
        task: &TaskId,
        outcome: Outcome,
        change: HostChange,
        detail: impl Into<String>,
        started: Millis,
        ended: Millis,
    ) -> Self {
        Self {
            task: task.clone(),
            outcome,
            refusal: None,
            change,
            detail: detail.into(),
            started,
            ended,
            script: None,
            targets: Vec::new(),
            regressed: Vec::new(),
            diff: Vec::new(),
            overreach: Vec::new(),
            activation: Vec::new(),
            confinement: None,
            clock: None,
            steps: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTaken {
    pub step: String,
    pub at: Millis,
}

/// How the script itself ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptResult {
    pub exit: Exit,
    pub stdout: Output,
    pub stderr: Output,
    pub wall_ms: u64,
    pub cpu_ms: u64,
    /// Of all processes together where a control group counted them, else of the largest; in KiB.
    pub peak_memory_kb: u64,
    /// Processes that were ended because all together met their limit of memory.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub oom_kills: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    Code(i32),
    Signal(i32),
    /// Ended by us, at its time limit.
    TimedOut,
}

/// Longest kept output of each stream, in bytes (1 MB).
pub const OUTPUT_BYTES: usize = 1_000_000;

/// What a script wrote: whole, or head and tail with the number of bytes cut between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    pub head: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
    #[serde(default)]
    pub cut_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetResult {
    #[serde(flatten)]
    pub spot: Spot,
    pub before: Judged,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged: Option<Judged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Judged>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub verdict: Verdict,
    pub reading: Reading,
}

words! {
    FileChange {
        Created = "created",
        Modified = "modified",
        Deleted = "deleted",
        /// By an undo, as somebody else had made it.
        LeftAlone = "left_alone",
    }
}

/// One file of the change set, as people read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    /// Absolute; bytes that are not UTF-8 are escaped as `\xNN`.
    pub path: String,
    pub change: FileChange,
    /// Unified diff of text; absent for binary or secret content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Everything but text, one change a line: `mode 0644 → 0600`, `owner root → adm`, `sha256 … → …`.
    #[serde(default)]
    pub facts: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overreach {
    pub path: String,
    pub what: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationResult {
    /// As declared, e.g. `reload ssh`.
    pub what: String,
    /// `done`, `already held`, `not running`, or the error.
    pub result: String,
    pub ok: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// `overlay`, `copies`, `host` or `witnessed`.
    pub stage: String,
    /// The layers in force, by name.
    pub layers: Vec<String>,
    /// The optional layers that were not, each with the reason.
    #[serde(default)]
    pub missing: Vec<String>,
}

/// The agent's clock against the controller's (RFC 5905, section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReading {
    /// Controller minus agent, in milliseconds.
    pub offset_ms: i64,
    /// Largest error of `offset_ms`: half the delay, plus drift since.
    pub bound_ms: i64,
}

words! {
    /// The clock rule of the mission.
    ClockVerdict {
        Right = "right",
        Skewed = "skewed",
        /// The bound is too wide to tell.
        Unknown = "unknown",
    }
}

impl ClockReading {
    /// abs(offset) + bound ≤ limit is right; abs(offset) − bound > limit is skewed; between them nobody knows.
    pub fn judge(self, limit_ms: i64) -> ClockVerdict {
        let offset = self.offset_ms.saturating_abs();
        let bound = self.bound_ms.max(0);
        if offset.saturating_add(bound) <= limit_ms {
            ClockVerdict::Right
        } else if offset.saturating_sub(bound) > limit_ms {
            ClockVerdict::Skewed
        } else {
            ClockVerdict::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_bound_is_neither_right_nor_skewed() {
        let judge = |offset_ms, bound_ms| ClockReading { offset_ms, bound_ms }.judge(30_000);
        assert_eq!(judge(29_000, 1_000), ClockVerdict::Right);
        assert_eq!(judge(29_001, 1_000), ClockVerdict::Unknown);
        assert_eq!(judge(-31_000, 1_000), ClockVerdict::Unknown);
        assert_eq!(judge(-31_001, 1_000), ClockVerdict::Skewed);
        assert_eq!(judge(i64::MIN, 0), ClockVerdict::Skewed);
        assert_eq!(judge(40_000, -20_000), ClockVerdict::Skewed);
    }
}
