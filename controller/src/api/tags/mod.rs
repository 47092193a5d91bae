//! Static tags: what they may be called, and which there are.

pub mod list;

use aright_shared::tag::{FORM, MAX_TAGS, is_tag};

use crate::error::Refused;

pub fn check(field: &str, tag: &str) -> Result<(), Refused> {
    if is_tag(tag) {
        return Ok(());
    }
    Err(Refused::invalid(field, format!("{tag:?}"), "no tag is called so").remedy(FORM))
}

/// Whether one asset may have so many.
pub fn check_count(field: &str, tags: usize) -> Result<(), Refused> {
    if tags <= MAX_TAGS {
        return Ok(());
    }
    Err(Refused::invalid(field, tags, "too many tags on one asset").remedy(format!("at most {MAX_TAGS}")))
}
