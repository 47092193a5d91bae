//! The operators' REST, a file a verb: [`aright_shared::api`].

pub mod assets;
pub mod audit;
pub mod documents;
pub mod enroll_keys;
pub mod health;
pub mod jobs;
pub mod licence;
pub mod policies;
pub mod postures;
pub mod runs;
pub mod scripts;
pub mod session;
pub mod stop;
pub mod tags;
pub mod tasks;
pub mod trust;
pub mod version;

use aright_shared::api::Page;

use crate::error::Refused;

/// A page of at most `limit` of `rows`, where one more was asked for to see whether there is a next.
fn page<T>(mut rows: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Page<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(cursor);
    Page { items: rows, next }
}

fn bad_cursor(cursor: &str) -> Refused {
    Refused::invalid("cursor", cursor, "not a cursor of this list")
        .remedy("give back `next` of the page before")
}
