//! Expected values: conditions on what a probe yields.

use serde::{Deserialize, Serialize};

/// PLACEHOLDER of the skeleton, to be replaced by the content work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Expect(serde_json::Value);
