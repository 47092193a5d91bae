//! Who is logged in.

use serde::{Deserialize, Serialize};

use crate::time::Millis;

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
