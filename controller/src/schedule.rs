//! When a schedule's occurrences are: its days by the rule (`days`), its hour by a zone's clock on the wall
//! (`wall`). Pure: no store, no present.
//!
//! Occurrences are found on the clock on the wall first and become instants then, as RFC 5545 has it: daily at
//! 02:00 stays at 02:00 over a change of the clock. A start that does not fit its rule is no occurrence. Where
//! a zone leaves out a day two occurrences may fall on one instant; they are one, though COUNT counts both.

mod days;
mod wall;

use std::ops::RangeInclusive;

use aright_shared::api::{End, Once, Repeat, Rule, RuleError, Schedule, Until, Zone};
use aright_shared::time::{DAY, Millis};
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;

use crate::error::Refused;

use wall::Wall;
pub use wall::instant;

/// Years in which a job may be due; nothing is looked for beyond.
const YEARS: RangeInclusive<i16> = 1970..=2099;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// What the clock on the wall shows; RFC 5545's reading of it where that clock skips or repeats the hour.
    pub local: DateTime,
    pub at: Millis,
    /// As `at`; with each host's own clock when the last zone on earth has come to it.
    pub latest: Millis,
}

/// Whether it names a zone, can be read and has an occurrence; whether one is still to come it does not ask.
///
/// # Errors
/// One that names the field as a job has it (`schedule.repeat.rule`), its value and what to write instead.
pub fn check(schedule: &Schedule) -> Result<(), Refused> {
    match schedule {
        Schedule::Now => Ok(()),
        Schedule::Once(once) => {
            check_zone("schedule.once.zone", &once.zone)?;
            check_time("schedule.once.at", once.at)
        }
        Schedule::Repeat(repeat) => {
            check_zone("schedule.repeat.zone", &repeat.zone)?;
            check_time("schedule.repeat.start", repeat.start)?;
            check_rule(repeat)
        }
    }
}

/// The first strictly after `after`; `None` when there is none, and for [`Schedule::Now`].
pub fn next(schedule: &Schedule, after: Millis) -> Option<Occurrence> {
    upcoming(schedule, after, 1).pop()
}

/// The first `count` strictly after `after`, in order.
pub fn upcoming(schedule: &Schedule, after: Millis, count: usize) -> Vec<Occurrence> {
    match schedule {
        Schedule::Now => Vec::new(),
        Schedule::Once(once) => occurs(once).filter(|one| one.at > after).into_iter().take(count).collect(),
        Schedule::Repeat(repeat) => {
            let Ok(rule) = repeat.rule.parse() else { return Vec::new() };
            let mut last = after;
            occurrences(repeat, &rule, after)
                .filter(|one| {
                    let later = one.at > last;
                    last = last.max(one.at);
                    later
                })
                .take(count)
                .collect()
        }
    }
}

fn occurs(once: &Once) -> Option<Occurrence> {
    Wall::of(&once.zone).occurrence(once.at)
}

/// All after `after`, preceded by some that are not.
fn occurrences(repeat: &Repeat, rule: &Rule, after: Millis) -> impl Iterator<Item = Occurrence> {
    let (start, end) = (repeat.start, rule.end);
    let wall = Wall::of(&repeat.zone);
    let passed = day_before(after);
    // What counts days has to see them all.
    let (from, most) = match end {
        End::Count(count) => (start.date(), usize::try_from(count).unwrap_or(usize::MAX)),
        End::Never | End::Until(_) => (passed, usize::MAX),
    };
    days::days(rule.clone(), start.date(), from, *YEARS.end())
        .take(most)
        .skip_while(move |day| *day < passed)
        .map_while(move |day| wall.occurrence(day.to_datetime(start.time())))
        .take_while(move |one| is_before(end, one))
}

fn is_before(end: End, one: &Occurrence) -> bool {
    match end {
        End::Never | End::Count(_) => true,
        End::Until(Until::Utc(at)) => one.at.0 <= at.as_millisecond(),
        End::Until(until) => until.local().is_none_or(|until| one.local <= until),
    }
}

/// A day that is over in every zone by then.
fn day_before(after: Millis) -> Date {
    let earlier = jiff::Timestamp::from_millisecond(after.plus(-2 * DAY).0);
    let outside = if after.0 < 0 { Date::MIN } else { Date::MAX };
    earlier.map_or(outside, |at| Offset::UTC.to_datetime(at).date())
}

fn check_zone(field: &str, zone: &Zone) -> Result<(), Refused> {
    let Zone::Named(name) = zone else { return Ok(()) };
    if wall::is_known(name) {
        return Ok(());
    }
    let remedy = match wall::like(name) {
        Some(like) => format!("did you mean {like}?"),
        None => "an IANA name, such as Europe/Berlin, or asset for each host's own".into(),
    };
    Err(Refused::invalid(field, name, "there is no such time zone").remedy(remedy))
}

fn check_time(field: &str, local: DateTime) -> Result<(), Refused> {
    if YEARS.contains(&local.year()) {
        return Ok(());
    }
    let (first, last) = (YEARS.start(), YEARS.end());
    Err(Refused::invalid(field, local, "nothing is scheduled in that year")
        .remedy(format!("a year from {first} to {last}")))
}

fn check_rule(repeat: &Repeat) -> Result<(), Refused> {
    let refused = |title: String| Refused::invalid("schedule.repeat.rule", &repeat.rule, title);
    let rule: Rule = repeat.rule.parse().map_err(|error: RuleError| {
        refused(format!("the rule cannot be used: {}: {}", error.part, error.why)).remedy(error.remedy)
    })?;
    if let (Zone::Asset, End::Until(until @ Until::Utc(_))) = (&repeat.zone, rule.end) {
        return Err(refused("each host goes by its own clock, the rule's end by UTC".into())
            .remedy(format!("leave out the Z: UNTIL={}", until.to_string().trim_end_matches('Z'))));
    }
    let whole = Rule { end: End::Never, ..rule.clone() };
    let Some(first) = occurrences(repeat, &whole, Millis(i64::MIN)).next() else {
        return Err(refused("no day fits the rule".into())
            .remedy("compare its parts with each other: 31 February never comes"));
    };
    if !is_before(rule.end, &first) {
        return Err(refused("the rule ends before its first occurrence".into()).remedy(format!(
            "it would be on {}: let UNTIL be later",
            first.local.strftime("%Y-%m-%d at %H:%M")
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
