//! What is counted by name (wrong log-ins, undos): after so many within a time the door stays shut for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aright_shared::time::Millis;

/// Most names that are remembered.
const REMEMBERED: usize = 10_000;

pub struct Throttle {
    allowed: usize,
    window_ms: i64,
    counted: Mutex<HashMap<String, Vec<Millis>>>,
}

impl Throttle {
    /// So many within `window_ms` before the door shuts.
    pub fn of(allowed: usize, window_ms: i64) -> Self {
        Self { allowed, window_ms, counted: Mutex::default() }
    }

    /// For how many seconds none of these may try.
    pub fn shut_for(&self, names: &[String], now: Millis) -> Option<u64> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &&Millis| now.since(**at) < self.window_ms;
        let until = |name: &String| {
            let recent: Vec<_> = counted.get(name)?.iter().filter(is_recent).collect();
            (recent.len() >= self.allowed).then(|| recent[recent.len() - self.allowed].plus(self.window_ms))
        };
        let wait = names.iter().filter_map(until).max()?.since(now);
        Some(u64::try_from(wait / 1000).unwrap_or(0) + 1)
    }

    pub fn count(&self, names: &[String], now: Millis) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Millis| now.since(*at) < self.window_ms;
        if counted.len() > REMEMBERED {
            counted.retain(|_, times| times.iter().any(is_recent));
        }
        for name in names {
            let times = counted.entry(name.clone()).or_default();
            times.retain(is_recent);
            times.push(now);
        }
    }

    pub fn forget(&self, names: &[String]) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            counted.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use aright_shared::time::MINUTE;

    use super::*;

    const WINDOW: i64 = 5 * MINUTE;

    #[test]
    fn the_door_shuts_after_ten_and_opens_with_time() {
        let throttle = Throttle::of(10, WINDOW);
        let name = ["user:ann".to_owned()];
        for n in 0..10 {
            assert_eq!(throttle.shut_for(&name, Millis(n)), None);
            throttle.count(&name, Millis(n));
        }
        let wait = throttle.shut_for(&name, Millis(10)).expect("shut");
        assert!((299..=301).contains(&wait), "{wait}");
        assert_eq!(throttle.shut_for(&["user:bob".to_owned()], Millis(10)), None);
        assert_eq!(throttle.shut_for(&name, Millis(WINDOW)), None);
    }
}
