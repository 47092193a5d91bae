//! The clock's offset from the controller's, measured as NTP does (RFC 5905, section 8), and the
//! best known controller time, which no wrong wall clock can move.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use aright_shared::task::ClockReading;
use aright_shared::time::Millis;

/// How many samples are kept; the one with the least delay counts.
const SAMPLES: usize = 8;
/// Frequency tolerance of RFC 5905 (PHI): 15 parts per million.
const DRIFT_PPM: i64 = 15;
/// A wall clock that moved this much against the monotonic one was set: older samples say nothing.
const STEP_US: i64 = 100_000;

/// One exchange: all times in microseconds since 1970, each in its own machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// We sent.
    pub t1: i64,
    /// They received.
    pub t2: i64,
    /// They replied.
    pub t3: i64,
    /// We received.
    pub t4: i64,
}

impl Exchange {
    /// Controller minus agent, in microseconds.
    pub fn offset_us(self) -> i64 {
        half(self.t2.saturating_sub(self.t1).saturating_add(self.t3.saturating_sub(self.t4)))
    }

    /// Time on the way, in microseconds; never below zero.
    pub fn delay_us(self) -> i64 {
        self.t4.saturating_sub(self.t1).saturating_sub(self.t3.saturating_sub(self.t2)).max(0)
    }
}

fn half(value: i64) -> i64 {
    value.div_euclid(2)
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    exchange: Exchange,
    taken: Instant,
    /// Wall minus monotonic when taken: it moves only when somebody sets the clock.
    base_us: i64,
}

/// The last samples and what follows from them.
#[derive(Debug)]
pub struct ClockFilter {
    started: Instant,
    samples: VecDeque<Sample>,
}

impl ClockFilter {
    pub fn new(now: Instant) -> Self {
        Self { started: now, samples: VecDeque::with_capacity(SAMPLES) }
    }

    /// Takes one exchange, whose `t4` was read at `now`.
    pub fn add(&mut self, exchange: Exchange, now: Instant) {
        let base_us = exchange.t4.saturating_sub(micros(now - self.started));
        self.samples.retain(|sample| sample.base_us.abs_diff(base_us) < STEP_US.unsigned_abs());
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { exchange, taken: now, base_us });
    }

    /// The offset by the best of the last samples; `wall_us` is the wall clock at `now`. Nothing after
    /// a step of the wall clock, until the next sample.
    pub fn reading(&self, now: Instant, wall_us: i64) -> Option<ClockReading> {
        let base_us = wall_us.saturating_sub(micros(now - self.started));
        let bound_us = |sample: &Sample| half(sample.exchange.delay_us()) + drift_us(now - sample.taken);
        let best = self
            .samples
            .iter()
            .filter(|sample| sample.base_us.abs_diff(base_us) < STEP_US.unsigned_abs())
            .min_by_key(|sample| bound_us(sample))?;
        Some(ClockReading {
            offset_ms: (best.exchange.offset_us() + 500).div_euclid(1000),
            // Rounded up, and never nothing: both ends read their clocks in whole microseconds.
            bound_ms: bound_us(best).div_euclid(1000) + 1,
        })
    }

    /// The controller's time at `now`, by the latest sample and the monotonic clock alone.
    pub fn controller_now(&self, now: Instant) -> Option<Millis> {
        let last = self.samples.back()?;
        let at_us = last
            .exchange
            .t3
            .saturating_add(half(last.exchange.delay_us()))
            .saturating_add(micros(now - last.taken));
        Some(Millis(at_us.div_euclid(1000)))
    }
}

fn drift_us(age: Duration) -> i64 {
    micros(age).saturating_mul(DRIFT_PPM) / 1_000_000
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: i64 = 1_800_000_000_000_000;

    /// An exchange with an agent that is `behind` and a path of `out` and `back`, all in microseconds.
    fn exchange(behind: i64, out: i64, back: i64) -> Exchange {
        Exchange { t1: T - behind, t2: T + out, t3: T + out + 50, t4: T + out + 50 + back - behind }
    }

    #[test]
    fn offset_and_delay_are_those_of_rfc_5905() {
        let even = exchange(600_000_000, 2_000, 2_000);
        assert_eq!((even.offset_us(), even.delay_us()), (600_000_000, 4_000));
        // An uneven path errs by half the difference, which is within half the delay.
        let uneven = exchange(0, 9_000, 1_000);
        assert_eq!((uneven.offset_us(), uneven.delay_us()), (4_000, 10_000));
    }

    #[test]
    fn the_sample_with_the_least_delay_counts() {
        let start = Instant::now();
        let mut filter = ClockFilter::new(start);
        for (out, back) in [(90_000, 1_000), (300, 300), (50_000, 2_000)] {
            let exchange = exchange(0, out, back);
            filter.add(exchange, start + Duration::from_micros((exchange.t4 - T).unsigned_abs()));
        }
        let now = start + Duration::from_secs(1);
        let reading = filter.reading(now, T + 1_000_000).expect("sampled");
        assert_eq!(reading.offset_ms, 0);
        assert!(reading.bound_ms <= 2, "{reading:?}");
    }

    #[test]
    fn a_step_of_the_wall_clock_voids_the_samples_and_not_the_controller_time() {
        let start = Instant::now();
        let mut filter = ClockFilter::new(start);
        filter.add(Exchange { t1: T, t2: T, t3: T, t4: T }, start);
        let later = start + Duration::from_secs(10);
        assert!(filter.reading(later, T + 10_000_000).is_some());
        assert_eq!(filter.reading(later, T + 3_600_000_000), None);
        assert_eq!(filter.controller_now(later), Some(Millis(T / 1000 + 10_000)));
    }

    #[test]
    fn the_bound_grows_with_age() {
        let start = Instant::now();
        let mut filter = ClockFilter::new(start);
        filter.add(Exchange { t1: T, t2: T, t3: T, t4: T }, start);
        let day = Duration::from_secs(86_400);
        let reading = filter.reading(start + day, T + 86_400_000_000).expect("sampled");
        assert_eq!(reading.bound_ms, 86_400 * DRIFT_PPM / 1000 + 1);
    }
}
