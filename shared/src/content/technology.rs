//! A technology: a product and version that settings belong to.

use serde::{Deserialize, Serialize};

use super::control::Check;
use crate::id::Key;
use crate::outcome::words;

words! { TechnologyTag { Technology = "technology", } }
words! { Platform { Linux = "linux", Windows = "windows", } }

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Technology {
    pub aright: u32,
    pub kind: TechnologyTag,
    pub key: Key,
    pub title: String,
    pub platform: Platform,
    /// CPE 2.2 URIs or 2.3 names.
    #[serde(default)]
    pub cpe: Vec<String>,
    pub detect: Detect,
}

/// It is there when all checks pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detect {
    pub all: Vec<Check>,
}

impl Technology {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.detect.all.is_empty() {
            return Err("detect.all: name at least one check, else it would be found everywhere".into());
        }
        Ok(())
    }
}
