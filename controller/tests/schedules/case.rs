//! One rule at random, near a change of its zone's clock, and the instants after which it is asked.

use aright_controller::schedule::instant;
use aright_shared::api::{Repeat, Zone};
use aright_shared::time::{DAY, HOUR, Millis, SECOND};
use jiff::civil::{Date, DateTime, date};
use jiff::tz::{self, Offset};
use jiff::{Timestamp, ToSpan as _};

use crate::random::Random;

/// Half an hour, a quarter of one, a whole day; both ways round the year; Ramadan; a zone that stands still.
pub const ZONES: [&str; 9] = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Santiago",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
];

const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
const NTH_WEEKDAYS: [&str; 14] =
    ["1SU", "+2SU", "-1SU", "3SU", "4SU", "2TU", "-1FR", "5FR", "-5MO", "1WE", "-2TH", "4SA", "1MO", "5SA"];
const MONTH_DAYS: [i64; 16] = [-1, 31, 29, 30, 28, 1, 2, 13, 15, 25, 26, 27, -2, -31, -30, -7];

pub struct Case {
    pub repeat: Repeat,
    pub zone: &'static str,
    pub after: Vec<Millis>,
}

impl Case {
    pub fn new(random: &mut Random) -> Self {
        let zone = random.pick(&ZONES);
        let change = change_of_clock(random, zone);
        // What the clock shows about then: perhaps twice, perhaps never.
        let near = change.local + (random.of(-24..25) * 5).minutes();
        let start = start(random, near);
        let rule = rule(random, start, near, zone);
        let at = instant(near, zone);
        let begin = instant(start, zone);
        let after = vec![
            begin.plus(-DAY),
            begin,
            change.at.plus(-1),
            change.at.plus(random.of(-2 * HOUR..2 * HOUR)),
            at.plus(-1),
            at,
            begin.plus(random.of(0..500 * DAY)),
        ];
        let repeat = Repeat { start, rule, zone: Zone::Named(zone.into()), missed: Default::default() };
        Self { repeat, zone, after }
    }
}

struct Change {
    at: Millis,
    /// What the clock would show then, had it not been changed.
    local: DateTime,
}

fn change_of_clock(random: &mut Random, zone: &str) -> Change {
    let (from, to) = (date(1985, 6, 1), date(2041, 1, 1));
    let seconds =
        |day: Date| Offset::UTC.to_timestamp(day.to_datetime(Default::default())).expect("an instant");
    let about = Timestamp::from_second(random.of(seconds(from).as_second()..seconds(to).as_second()));
    let about = about.expect("an instant");
    let zone = tz::db().get(zone).expect("a zone");
    let at = zone.following(about).next().map_or(about, |change| change.timestamp());
    let before = zone.to_offset(at - 1.second());
    Change { at: Millis(at.as_millisecond()), local: before.to_datetime(at) }
}

fn start(random: &mut Random, near: DateTime) -> DateTime {
    let day = match random.of(0..100) {
        0..30 => near.date(),
        30..85 => near.date() - random.of(0..400).days(),
        85..93 => date(random.pick(&[1984, 1996, 2000, 2020, 2024, 2028]), 2, 29),
        _ => date(near.year() - 1, random.pick(&[1, 3, 5, 7, 8, 10, 12]), 31),
    };
    day.to_datetime(near.time())
}

fn rule(random: &mut Random, start: DateTime, near: DateTime, zone: &str) -> String {
    let (mut parts, positions): (_, &[i64]) = match random.of(0..10) {
        0..3 => (daily(random), &[1, -1]),
        3..6 => (weekly(random), &[1, -1, 1, -1, 2]),
        _ => (monthly(random), &[1, -1, 1, -1, 2, -2]),
    };
    // Those that hardly any day has make both sides search to the end of time: a few.
    let positions = if random.chance(3) { &[3, 5, -4, 31] } else { positions };
    if random.chance(20) {
        parts.push(format!("BYMONTH={}", random.list(1..6, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])));
    }
    let chooses = parts.iter().any(|part| part.starts_with("BY"));
    if chooses && random.chance(25) {
        parts.push(format!("BYSETPOS={}", random.list(1..3, positions)));
    }
    if random.chance(40) {
        parts.push(format!("WKST={}", random.pick(&WEEKDAYS)));
    }
    match random.of(0..100) {
        0..25 => parts.push(format!("COUNT={}", random.of(1..40))),
        25..60 => parts.push(format!("UNTIL={}", until(random, start, near, zone))),
        _ => {}
    }
    parts.join(";")
}

fn daily(random: &mut Random) -> Vec<String> {
    let mut parts = every(random, "DAILY", &[2, 3, 5, 7, 30, 31, 365, 1000]);
    if random.chance(20) {
        parts.push(format!("BYDAY={}", random.list(1..6, &WEEKDAYS)));
    }
    if random.chance(15) {
        parts.push(format!("BYMONTHDAY={}", random.list(1..8, &MONTH_DAYS)));
    }
    parts
}

fn weekly(random: &mut Random) -> Vec<String> {
    let mut parts = every(random, "WEEKLY", &[2, 2, 3, 4, 13, 52]);
    if random.chance(75) {
        parts.push(format!("BYDAY={}", random.list(1..5, &WEEKDAYS)));
    }
    parts
}

fn monthly(random: &mut Random) -> Vec<String> {
    let mut parts = every(random, "MONTHLY", &[2, 3, 6, 12, 12, 5, 48]);
    match random.of(0..100) {
        0..10 => {}
        10..40 => parts.push(format!("BYDAY={}", random.list(1..4, &NTH_WEEKDAYS))),
        40..50 => parts.push(format!("BYDAY={}", random.list(1..4, &WEEKDAYS))),
        50..60 => {
            let (nth, each) = (random.list(1..3, &NTH_WEEKDAYS), random.list(1..3, &WEEKDAYS));
            parts.push(format!("BYDAY={nth},{each}"));
        }
        60..70 => {
            parts.push(format!("BYDAY={}", random.list(1..5, &WEEKDAYS)));
            parts.push(format!("BYMONTHDAY={}", random.list(2..9, &MONTH_DAYS)));
        }
        _ => parts.push(format!("BYMONTHDAY={}", random.list(1..5, &MONTH_DAYS))),
    }
    parts
}

fn every(random: &mut Random, frequency: &str, intervals: &[i64]) -> Vec<String> {
    let mut parts = vec![format!("FREQ={frequency}")];
    if random.chance(40) {
        parts.push(format!("INTERVAL={}", random.pick(intervals)));
    }
    parts
}

/// At, just before or just after a time at which the rule may have an occurrence.
fn until(random: &mut Random, start: DateTime, near: DateTime, zone: &str) -> String {
    let local = if random.chance(30) { near } else { start + random.of(-3..400).days() };
    let off = random.pick(&[0, 0, 1, -1]);
    match random.of(0..3) {
        0 => local.date().strftime("%Y%m%d").to_string(),
        1 => (local + off.seconds()).strftime("%Y%m%dT%H%M%S").to_string(),
        _ => {
            let at = instant(local, zone).plus(off * SECOND);
            let at = Timestamp::from_millisecond(at.0).expect("an instant");
            at.strftime("%Y%m%dT%H%M%SZ").to_string()
        }
    }
}
