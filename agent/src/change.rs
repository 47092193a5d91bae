//! What a script changed, path by path, as it was before and is after.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::meta::Meta;

/// Everything that differs between host and stage, sorted by path: parents before what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeSet {
    pub changes: Vec<Change>,
}

impl ChangeSet {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn of(&self, path: &Path) -> Option<&Change> {
        self.changes.iter().find(|change| change.path == path)
    }
}

/// One path of the host; absent before means created, absent after means deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// On the host, every link resolved. Always text: nothing else can be declared.
    pub path: PathBuf,
    pub before: Option<Meta>,
    pub after: Option<Meta>,
}
