//! What text does not tell of a change on Windows: values, keys, start types, access lists.

use super::fact;
use crate::meta::{Kind, Meta, what};

pub fn kinds(before: Option<&Meta>, after: Option<&Meta>, no_text: bool) -> Vec<String> {
    let is_file = |meta: &Meta| matches!(meta.kind, Kind::File { .. });
    if before.or(after).is_some_and(is_file) && !no_text {
        return Vec::new();
    }
    let told = |meta: &Meta| match &meta.kind {
        Kind::File { size, digest, .. } => format!("sha256 {} ({size} bytes)", digest.hex()),
        _ => what(meta),
    };
    fact("is", before.map(told), after.map(told)).into_iter().collect()
}

pub fn attributes(before: Option<&Meta>, after: Option<&Meta>) -> Vec<String> {
    let security = |meta: &Meta| meta.security.clone();
    // What is made or goes is told by what it is.
    match (before, after) {
        (Some(before), Some(after)) => {
            fact("access", security(before), security(after)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}
