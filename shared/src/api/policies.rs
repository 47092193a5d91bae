//! What is wanted of hosts: the library's policies, read-only, and custom ones.

use serde::{Deserialize, Serialize};

use crate::content::policy::{self, Assign};
use crate::content::script::Origin;
use crate::id::Key;
use crate::time::Millis;

/// Largest policy that may be imported, in bytes of its canonical JSON.
pub const MAX_POLICY: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub key: Key,
    pub number: u32,
    pub title: String,
    pub version: u32,
    pub origin: Origin,
    pub technologies: Vec<Key>,
    /// Without it the policy holds for all assets of its technologies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Assign>,
    /// How many it chooses.
    pub controls: u32,
    /// Who imported this version, and when; of custom ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Millis>,
    /// Why it is not in force, although it is kept: an upgrade of the program left no room for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyDetail {
    #[serde(flatten)]
    pub policy: Policy,
    /// What `POST` takes.
    pub document: policy::Policy,
}
