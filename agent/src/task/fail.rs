//! Fail points: places where a debug build kills itself by SIGKILL when `ARIGHT_FAIL_AT` names them, so
//! that tests can see what a crash just there leaves. `SCOPE:NAME`, or `SCOPE:NAME#3` for the third time.

/// A place that can be named. Nothing in release builds.
#[cfg(not(debug_assertions))]
pub fn point(_scope: &str, _name: &str) {}

/// A place that can be named. Nothing in release builds.
#[cfg(debug_assertions)]
pub fn point(scope: &str, name: &str) {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SEEN: AtomicU32 = AtomicU32::new(0);

    let Ok(wanted) = std::env::var("ARIGHT_FAIL_AT") else { return };
    let (place, nth) = wanted.split_once('#').unwrap_or((&wanted, "1"));
    if place.split_once(':') != Some((scope, name)) {
        return;
    }
    let seen = SEEN.fetch_add(1, Ordering::Relaxed) + 1;
    if nth.parse() == Ok(seen) {
        crate::system::die();
    }
}
