//! One script on one host.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::Envelope;
use crate::id::{AssetId, JobId, Key, RunId, TaskId};
use crate::outcome::{HostChange, Outcome, Refusal};
use crate::task::{Target, TaskKind, TaskReport, TaskState};
use crate::time::Millis;

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
    /// Who wants it ended, or ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel_by: Option<String>,
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
