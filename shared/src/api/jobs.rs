//! Jobs and their runs: what is to be fixed, by what, where, when, how fast.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{PostureFilter, Schedule};
use crate::content::policy::Tags;
use crate::content::script::Origin;
use crate::digest::Digest;
use crate::id::{AssetId, JobId, Key, PostureId, RunId};
use crate::outcome::{Outcome, words};
use crate::task::{ClockVerdict, TaskState};
use crate::time::Millis;

/// A job as it is asked for, and as a file holds it. Unknown keys are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJob {
    pub name: String,
    /// Kept without a run: it may name scripts that nobody has approved yet. `activate` saves it whole.
    #[serde(default, skip_serializing_if = "is_false")]
    pub draft: bool,
    /// What is to pass, by id; always frozen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postures: Vec<PostureId>,
    /// And what is found. Without a `status` the remediable ones: failed, on eligible assets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<PostureFilter>,
    /// Whether `filter` is looked up once or at each run.
    #[serde(default, skip_serializing_if = "is_default")]
    pub selection: Selection,

    /// Library scripts by key: only these of those offered. All that are offered unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scripts: Option<Vec<Key>>,
    /// Library scripts that are not wanted, offered or not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_scripts: Vec<Key>,
    /// Run on every asset of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub custom_scripts: Vec<CustomScript>,

    /// Taken out of those of the chosen postures, with their postures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_assets: Vec<AssetId>,
    /// Added, for the custom scripts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include_assets: Vec<AssetId>,
    /// Added by tag, looked up at each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_tags: Option<Tags>,
    /// Left out by tag, whoever named them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude_tags: Option<Tags>,
    /// Left out, whatever else names them: beats everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_assets: Vec<AssetId>,
    /// Single scripts that do not run on single assets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<Skip>,

    #[serde(default, skip_serializing_if = "is_default")]
    pub schedule: Schedule,
    /// How long a run is pending, in seconds: [`MIN_HOLD_S`](super::MIN_HOLD_S) or more, and unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
    /// How long after it became due a run waits for hosts that do not come, in seconds; one day unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_s: Option<u32>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: Rollout,
}

words! {
    #[derive(Default)]
    Selection {
        /// What was found when the job was saved.
        #[default]
        Frozen = "frozen",
        /// What is found when a run begins.
        EachRun = "each_run",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skip {
    pub asset: AssetId,
    pub script: Key,
}

/// How fast a run goes, and what stops it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// So many assets go first, and so many must end well before any other begins; one that fails halts the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Share>,
    /// So many assets at a time; all at once unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<Share>,
    /// So many failed assets halt the run: silent ones and those that were not fixed count too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub halt_after: Option<Share>,
}

/// A number of assets, or a percentage of a run's: `10` or `"10%"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShareText", into = "ShareText")]
pub enum Share {
    /// 1 or more.
    Number(u32),
    /// 1 to 100.
    Percent(u32),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ShareText {
    Number(u32),
    Text(String),
}

impl Share {
    /// Of so many: rounded up, and at least one.
    pub fn of(self, all: u32) -> u32 {
        let part = match self {
            Self::Number(number) => number,
            Self::Percent(percent) => {
                let part = (u64::from(all) * u64::from(percent)).div_ceil(100);
                u32::try_from(part).unwrap_or(u32::MAX)
            }
        };
        part.max(1)
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: a number of hosts from 1, or a percentage such as 10%");
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        match (number.parse(), percent) {
            (Ok(percent @ 1..=100), true) => Ok(Self::Percent(percent)),
            (Ok(number @ 1..), false) => Ok(Self::Number(number)),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<ShareText> for Share {
    type Error = String;
    fn try_from(text: ShareText) -> Result<Self, String> {
        match text {
            ShareText::Number(number) => number.to_string().parse(),
            ShareText::Text(text) => text.parse(),
        }
    }
}

impl From<Share> for ShareText {
    fn from(share: Share) -> Self {
        match share {
            Share::Number(number) => Self::Number(number),
            Share::Percent(_) => Self::Text(share.to_string()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// As in [`NewJob`]; the job's own unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_s: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiry_s: Option<u32>,
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
    /// As it was last asked for: what `PUT` takes.
    pub spec: NewJob,
    /// How many of each were chosen, when it was saved or its last run began.
    pub postures: u32,
    pub controls: u32,
    pub assets: u32,
    pub scripts: Vec<JobScript>,
    /// The next occurrences, at most five; without those whose run exists.
    #[serde(default)]
    pub next: Vec<Millis>,
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
    /// Who wanted it once more, besides the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
    pub saved: Millis,
    /// It executes then, not before.
    pub due: Millis,
    /// Tasks not delivered by then end `undelivered`.
    pub expires: Millis,
    /// What each host's own clock shows when it is due there, where the job goes by those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_due: Option<jiff::civil::DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Millis>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Millis>,
    /// Why it ended early, or what it waits for; empty else.
    #[serde(default)]
    pub detail: String,
    /// None before it executes.
    #[serde(default)]
    pub assets: RunAssets,
    pub tasks: u32,
    pub states: BTreeMap<TaskState, u32>,
    pub outcomes: BTreeMap<Outcome, u32>,
    /// Rises with every change: see [`Watch`].
    pub revision: u64,
}

/// How far a run is, in assets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunAssets {
    /// With a task.
    pub all: u32,
    /// Whose first task was delivered.
    pub begun: u32,
    /// Of those, with nothing left to do.
    pub ended: u32,
    /// With a task that ended as a failure.
    pub failed: u32,
}

/// What would run where if the job ran now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    pub postures: u32,
    pub controls: u32,
    /// Those of the job, and how many of them have a clock that is wrong, or unknown, now: nothing would run there.
    pub assets: u32,
    pub skewed: u32,
    pub clock_unknown: u32,
    pub scripts: Vec<JobScript>,
    /// How many tasks there would be.
    pub tasks: u32,
    /// Every asset there is, in order of host name; at most 1000, those of the job first.
    pub hosts: Vec<ReachHost>,
    /// How many more there are.
    #[serde(default)]
    pub left_off: u32,
    /// The next occurrences of its schedule, at most five.
    #[serde(default)]
    pub next: Vec<Millis>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachHost {
    pub asset: AssetId,
    pub hostname: String,
    pub clock: ClockVerdict,
    /// Why nothing of the job reaches it; absent for an asset of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Every script of the job, in order, with the reason where it would not run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<ReachScript>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachScript {
    pub script: Key,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// The values that it would be given.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
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
