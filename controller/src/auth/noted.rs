//! How many wrong log-ins are written into the audit log: strangers cause them, and nothing of the log is
//! ever taken away.

use std::sync::{Mutex, PoisonError};

use aright_shared::time::{HOUR, Millis};

/// Most of one hour, whoever tried.
const AN_HOUR: u32 = 100;

#[derive(Default)]
pub struct Noted(Mutex<Count>);

#[derive(Default)]
struct Count {
    hour: i64,
    of_hour: u32,
    /// Since the last one that was noted, in hours before too.
    left_out: u32,
}

impl Noted {
    /// Whether one is to be written down now: if so, how many before it were not.
    pub fn note(&self, now: Millis) -> Option<u32> {
        let mut count = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now.0.div_euclid(HOUR);
        if count.hour != hour {
            (count.hour, count.of_hour) = (hour, 0);
        }
        if count.of_hour == AN_HOUR {
            count.left_out = count.left_out.saturating_add(1);
            return None;
        }
        count.of_hour += 1;
        Some(std::mem::take(&mut count.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_an_hour_are_written_down_and_the_rest_are_counted() {
        let noted = Noted::default();
        let told = |hour: i64, tries: usize| -> Vec<u32> {
            (0..tries).filter_map(|_| noted.note(Millis(hour * HOUR))).collect()
        };
        assert_eq!(told(5, 130).len(), 100);
        assert_eq!(told(6, 2), [30, 0]);
    }
}
