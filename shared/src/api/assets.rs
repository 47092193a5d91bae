//! Hosts with an agent, and the keys by which they enrol.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::id::{AssetId, EnrollKeyId, Key};
use crate::outcome::words;
use crate::task::{ClockReading, ClockVerdict};
use crate::time::Millis;
use crate::wire::Facts;

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

/// A tag that is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub name: String,
    /// How many have it, revoked ones left out.
    pub assets: u32,
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
pub struct NewRevocation {
    /// For people, in the audit log.
    #[serde(default)]
    pub reason: String,
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
