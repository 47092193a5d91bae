//! Wrong log-ins are counted by user and by address; after a few the door stays shut for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aright_shared::time::{MINUTE, Millis};

/// Wrong ones within [`WINDOW`] before the door shuts.
const ALLOWED: usize = 10;
const WINDOW: i64 = 5 * MINUTE;
/// Most names that are remembered.
const REMEMBERED: usize = 10_000;

#[derive(Default)]
pub struct Throttle {
    wrong: Mutex<HashMap<String, Vec<Millis>>>,
}

impl Throttle {
    /// For how many seconds none of these may try.
    pub fn shut_for(&self, names: &[String], now: Millis) -> Option<u64> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let until = |name: &String| {
            let recent: Vec<_> = wrong.get(name)?.iter().filter(|at| now.since(**at) < WINDOW).collect();
            (recent.len() >= ALLOWED).then(|| recent[recent.len() - ALLOWED].plus(WINDOW))
        };
        let wait = names.iter().filter_map(until).max()?.since(now);
        Some(u64::try_from(wait / 1000).unwrap_or(0) + 1)
    }

    pub fn count_wrong(&self, names: &[String], now: Millis) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.len() > REMEMBERED {
            wrong.retain(|_, times| times.iter().any(|at| now.since(*at) < WINDOW));
        }
        for name in names {
            let times = wrong.entry(name.clone()).or_default();
            times.retain(|at| now.since(*at) < WINDOW);
            times.push(now);
        }
    }

    pub fn forget(&self, names: &[String]) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            wrong.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_door_shuts_after_ten_wrong_ones_and_opens_with_time() {
        let throttle = Throttle::default();
        let name = ["user:ann".to_owned()];
        for n in 0..10 {
            assert_eq!(throttle.shut_for(&name, Millis(n)), None);
            throttle.count_wrong(&name, Millis(n));
        }
        let wait = throttle.shut_for(&name, Millis(10)).expect("shut");
        assert!((299..=301).contains(&wait), "{wait}");
        assert_eq!(throttle.shut_for(&["user:bob".to_owned()], Millis(10)), None);
        assert_eq!(throttle.shut_for(&name, Millis(WINDOW)), None);
    }
}
