//! The rule by which a schedule's days repeat: what is taken of RFC 5545's RRULE, as a type. The time of day
//! is not its business, nor is whose clock shows it: both stand beside it, in [`Repeat`](super::Repeat).

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;

use crate::outcome::words;

/// Longest text of a rule, in bytes.
pub const MAX_RULE: usize = 1000;

/// As text: `FREQ=DAILY|WEEKLY|MONTHLY`, then any of `INTERVAL BYMONTH BYMONTHDAY BYDAY BYSETPOS WKST` and
/// `COUNT` or `UNTIL`, with RFC 5545's meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub frequency: Frequency,
    /// Every so many days, weeks or months; 1 or more.
    pub interval: u32,
    /// 1 to 12; all when empty.
    pub months: Vec<i8>,
    /// 1 to 31, or -1 (the last) to -31; not with [`Frequency::Weekly`].
    pub month_days: Vec<i8>,
    pub days: Vec<Day>,
    /// Which of the days that are left in a day, week or month: 1 the first, -1 the last. All when empty.
    pub positions: Vec<i16>,
    /// Where a week begins; it tells which weeks are skipped by an interval.
    pub week_start: Weekday,
    pub end: End,
}

words! {
    Frequency {
        Daily = "DAILY",
        Weekly = "WEEKLY",
        Monthly = "MONTHLY",
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// Which one of its month, with [`Frequency::Monthly`]: 1 to 5, or -1 (the last) to -5; 0 for each.
    pub nth: i8,
    pub weekday: Weekday,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Never,
    /// After so many occurrences, 1 or more; those count that the clock on the wall shows, from the start on.
    Count(u32),
    /// What is later is none; what is at that moment is one still.
    Until(Until),
}

/// RFC 5545 wants UTC beside a zone; a clock on the wall is taken as well, and a date, to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    Utc(jiff::Timestamp),
    Local(DateTime),
    Date(Date),
}

impl Until {
    /// The last moment on the clock on the wall; `None` where an instant says it.
    pub fn local(self) -> Option<DateTime> {
        match self {
            Self::Utc(_) => None,
            Self::Local(local) => Some(local),
            Self::Date(date) => Some(date.to_datetime(Time::MAX)),
        }
    }
}

/// What of a rule's text is not taken, why, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {why}; {remedy}")]
pub struct RuleError {
    pub part: String,
    pub why: String,
    pub remedy: String,
}

pub(super) const WEEKDAYS: [(&str, Weekday); 7] = [
    ("MO", Weekday::Monday),
    ("TU", Weekday::Tuesday),
    ("WE", Weekday::Wednesday),
    ("TH", Weekday::Thursday),
    ("FR", Weekday::Friday),
    ("SA", Weekday::Saturday),
    ("SU", Weekday::Sunday),
];

impl Rule {
    pub fn new(frequency: Frequency) -> Self {
        Self {
            frequency,
            interval: 1,
            months: Vec::new(),
            month_days: Vec::new(),
            days: Vec::new(),
            positions: Vec::new(),
            week_start: Weekday::Monday,
            end: End::Never,
        }
    }

    /// What the rule leaves to its start said out loud: the day of the week, or of the month.
    pub fn starting(mut self, start: Date) -> Self {
        if self.days.is_empty() && self.month_days.is_empty() {
            match self.frequency {
                Frequency::Daily => {}
                Frequency::Weekly => self.days.push(Day { nth: 0, weekday: start.weekday() }),
                Frequency::Monthly => self.month_days.push(start.day()),
            }
        }
        self
    }
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > MAX_RULE {
            let why = format!("a rule has at most {MAX_RULE} bytes");
            return Err(error(&format!("{} bytes", text.len()), why, "write it shorter"));
        }
        let text = text.trim().to_ascii_uppercase();
        let parts = parts(text.strip_prefix("RRULE:").unwrap_or(&text))?;
        let mut rule = Self::new(frequency(&parts)?);
        for part in &parts {
            rule.take(part)?;
        }
        rule.fits_together()?;
        Ok(rule)
    }
}

/// `NAME=VALUE`
struct Part<'t> {
    name: &'t str,
    value: &'t str,
}

fn parts(text: &str) -> Result<Vec<Part<'_>>, RuleError> {
    let mut parts: Vec<Part> = Vec::new();
    for part in text.split(';') {
        let Some((name, value)) = part.split_once('=') else {
            return Err(error(
                &format!("{part:?}"),
                "a rule is NAME=VALUE;NAME=VALUE",
                "such as FREQ=MONTHLY;BYDAY=2TU",
            ));
        };
        let part = Part { name, value };
        if parts.iter().any(|other| other.name == name) {
            return Err(part.wrong("it is there twice", "leave one"));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn frequency(parts: &[Part]) -> Result<Frequency, RuleError> {
    const REMEDY: &str = "write FREQ=DAILY, WEEKLY or MONTHLY (once a year: FREQ=MONTHLY;INTERVAL=12)";
    match parts.iter().find(|part| part.name == "FREQ") {
        None => Err(error("FREQ", "it is missing", REMEDY)),
        Some(part) => {
            part.value.parse().map_err(|_| part.wrong("a schedule is daily, weekly or monthly", REMEDY))
        }
    }
}

impl Rule {
    fn take(&mut self, part: &Part) -> Result<(), RuleError> {
        match part.name {
            "FREQ" => {}
            "INTERVAL" => self.interval = part.number(&(1..=u32::MAX))?,
            "BYMONTH" => self.months = part.numbers(&(1..=12))?,
            "BYMONTHDAY" => self.month_days = part.numbers(&(-31..=31))?,
            "BYDAY" => self.days = part.days()?,
            "BYSETPOS" => self.positions = part.numbers(&(-366..=366))?,
            "WKST" => self.week_start = part.weekday(part.value)?,
            "COUNT" => self.end = self.only_end(part, End::Count(part.number(&(1..=u32::MAX))?))?,
            "UNTIL" => self.end = self.only_end(part, End::Until(part.until()?))?,
            "BYHOUR" | "BYMINUTE" | "BYSECOND" => {
                return Err(part.wrong("the time of day is that of the start", "leave it out"));
            }
            _ => {
                let taken = "FREQ INTERVAL BYMONTH BYMONTHDAY BYDAY BYSETPOS WKST, and COUNT or UNTIL";
                return Err(part.wrong("not a part that is taken", format!("use {taken}")));
            }
        }
        Ok(())
    }

    fn only_end(&self, part: &Part, end: End) -> Result<End, RuleError> {
        match self.end {
            End::Never => Ok(end),
            End::Count(_) | End::Until(_) => {
                Err(part.wrong("a rule has one end", "leave COUNT or UNTIL out (RFC 5545)"))
            }
        }
    }

    fn fits_together(&self) -> Result<(), RuleError> {
        let nth = self.days.iter().find(|day| day.nth != 0);
        match nth {
            Some(day) if self.frequency != Frequency::Monthly => {
                return Err(error(
                    &format!("BYDAY={day}"),
                    "only a month has a 1st or a last one of a weekday",
                    format!("write FREQ=MONTHLY, or BYDAY={}", Day { nth: 0, ..*day }),
                ));
            }
            _ => {}
        }
        if self.frequency == Frequency::Weekly && !self.month_days.is_empty() {
            let part = format!("BYMONTHDAY={}", list(&self.month_days));
            return Err(error(&part, "a week has no days of the month", "write FREQ=MONTHLY or FREQ=DAILY"));
        }
        let chooses = !self.days.is_empty() || !self.month_days.is_empty() || !self.months.is_empty();
        if !self.positions.is_empty() && !chooses {
            let part = format!("BYSETPOS={}", list(&self.positions));
            return Err(error(&part, "there is nothing to choose from", "add BYDAY or BYMONTHDAY"));
        }
        Ok(())
    }
}

impl Part<'_> {
    fn wrong(&self, why: impl Into<String>, remedy: impl Into<String>) -> RuleError {
        error(&format!("{}={}", self.name, self.value), why, remedy)
    }

    fn number<T: FromStr + PartialOrd + fmt::Display>(
        &self,
        within: &std::ops::RangeInclusive<T>,
    ) -> Result<T, RuleError> {
        self.value
            .parse()
            .ok()
            .filter(|number| within.contains(number))
            .ok_or_else(|| self.wrong("not such a number", format!("{} to {}", within.start(), within.end())))
    }

    /// In order, each once, none of them 0.
    fn numbers<T: FromStr + Ord + Default + fmt::Display>(
        &self,
        within: &std::ops::RangeInclusive<T>,
    ) -> Result<Vec<T>, RuleError> {
        let zero = T::default();
        let mut numbers = Vec::new();
        for text in self.value.split(',') {
            let number = Part { name: self.name, value: text }.number(within);
            let number = number.ok().filter(|number| *number != zero).ok_or_else(|| {
                let or_zero = if within.contains(&zero) { ", not 0" } else { "" };
                let why = format!("{text:?} is not such a number");
                self.wrong(why, format!("{} to {}{or_zero}", within.start(), within.end()))
            })?;
            numbers.push(number);
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    fn days(&self) -> Result<Vec<Day>, RuleError> {
        let mut days = Vec::new();
        for text in self.value.split(',') {
            let start = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
            let (nth, name) = text.split_at(start);
            let weekday = self.weekday(name)?;
            let nth = match nth {
                "" => 0,
                nth => match nth.parse() {
                    Ok(nth @ (1..=5 | -5..=-1)) => nth,
                    _ => {
                        let remedy = format!("1{name} to 5{name}, or -1{name} for the last");
                        return Err(self.wrong(format!("no month has a {text}"), remedy));
                    }
                },
            };
            let day = Day { nth, weekday };
            if !days.contains(&day) {
                days.push(day);
            }
        }
        Ok(days)
    }

    fn weekday(&self, name: &str) -> Result<Weekday, RuleError> {
        let found = WEEKDAYS.iter().find(|(word, _)| *word == name);
        found.map(|(_, weekday)| *weekday).ok_or_else(|| {
            self.wrong(format!("{name:?} is no day of the week"), "MO, TU, WE, TH, FR, SA or SU")
        })
    }

    fn until(&self) -> Result<Until, RuleError> {
        let (text, utc) = match self.value.strip_suffix('Z') {
            Some(text) => (text, true),
            None => (self.value, false),
        };
        let until = match (text.len(), utc) {
            // Digits where they belong: what parses the rest is more generous.
            _ if !text
                .bytes()
                .enumerate()
                .all(|(at, c)| if at == 8 { c == b'T' } else { c.is_ascii_digit() }) =>
            {
                None
            }
            (8, false) => Date::strptime("%Y%m%d", text).ok().map(Until::Date),
            (15, false) => DateTime::strptime("%Y%m%dT%H%M%S", text).ok().map(Until::Local),
            (15, true) => DateTime::strptime("%Y%m%dT%H%M%S", text)
                .and_then(|time| Offset::UTC.to_timestamp(time))
                .ok()
                .map(Until::Utc),
            _ => None,
        };
        until.ok_or_else(|| {
            self.wrong("no such time", "20261231T020000, 20261231T010000Z (UTC) or 20261231 (to its end)")
        })
    }
}

fn error(part: &str, why: impl Into<String>, remedy: impl Into<String>) -> RuleError {
    RuleError { part: part.into(), why: why.into(), remedy: remedy.into() }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FREQ={}", self.frequency)?;
        if self.interval != 1 {
            write!(f, ";INTERVAL={}", self.interval)?;
        }
        let lists = [
            ("BYMONTH", list(&self.months)),
            ("BYMONTHDAY", list(&self.month_days)),
            ("BYDAY", list(&self.days)),
            ("BYSETPOS", list(&self.positions)),
        ];
        for (name, items) in lists.iter().filter(|(_, items)| !items.is_empty()) {
            write!(f, ";{name}={items}")?;
        }
        if self.week_start != Weekday::Monday {
            write!(f, ";WKST={}", Day { nth: 0, weekday: self.week_start })?;
        }
        match self.end {
            End::Never => Ok(()),
            End::Count(count) => write!(f, ";COUNT={count}"),
            End::Until(until) => write!(f, ";UNTIL={until}"),
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nth != 0 {
            write!(f, "{}", self.nth)?;
        }
        let name = WEEKDAYS.iter().find(|(_, weekday)| *weekday == self.weekday);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utc(at) => write!(f, "{}", at.strftime("%Y%m%dT%H%M%SZ")),
            Self::Local(local) => write!(f, "{}", local.strftime("%Y%m%dT%H%M%S")),
            Self::Date(date) => write!(f, "{}", date.strftime("%Y%m%d")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Rule>().expect_err(text).to_string()
    }

    #[test]
    fn a_rule_is_its_text_again_in_one_order() {
        for (text, again) in [
            ("FREQ=DAILY", "FREQ=DAILY"),
            ("COUNT=3;FREQ=DAILY;INTERVAL=1", "FREQ=DAILY;COUNT=3"),
            ("rrule:freq=weekly;wkst=su;byday=tu,th,TU", "FREQ=WEEKLY;BYDAY=TU,TH;WKST=SU"),
            ("FREQ=MONTHLY;BYDAY=+2TU,-1FR,MO", "FREQ=MONTHLY;BYDAY=2TU,-1FR,MO"),
            ("FREQ=MONTHLY;BYMONTHDAY=31,-1,31;BYMONTH=2,1", "FREQ=MONTHLY;BYMONTH=1,2;BYMONTHDAY=-1,31"),
            ("FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1,1", "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1,1"),
            ("FREQ=DAILY;UNTIL=20261231", "FREQ=DAILY;UNTIL=20261231"),
            ("FREQ=DAILY;UNTIL=20261231T020000", "FREQ=DAILY;UNTIL=20261231T020000"),
            ("FREQ=DAILY;UNTIL=20261231T020000Z", "FREQ=DAILY;UNTIL=20261231T020000Z"),
            ("FREQ=DAILY;INTERVAL=4294967295", "FREQ=DAILY;INTERVAL=4294967295"),
        ] {
            assert_eq!(text.parse::<Rule>().expect(text).to_string(), again);
        }
    }

    #[test]
    fn what_is_not_taken_is_named_with_what_to_write_instead() {
        for (text, said) in [
            ("", "NAME=VALUE"),
            ("FREQ=DAILY;", "NAME=VALUE"),
            ("INTERVAL=2", "FREQ: it is missing"),
            ("FREQ=YEARLY", "FREQ=YEARLY: a schedule is daily, weekly or monthly; write FREQ="),
            ("FREQ=HOURLY", "FREQ=HOURLY"),
            ("FREQ=DAILY;BYHOUR=3", "BYHOUR=3: the time of day is that of the start; leave it out"),
            ("FREQ=DAILY;BYWEEKNO=3", "BYWEEKNO=3: not a part that is taken; use FREQ INTERVAL"),
            ("FREQ=DAILY;COUNT=1;COUNT=2", "COUNT=2: it is there twice"),
            ("FREQ=DAILY;COUNT=1;UNTIL=20300101", "UNTIL=20300101: a rule has one end"),
            ("FREQ=DAILY;COUNT=0", "COUNT=0: not such a number; 1 to 4294967295"),
            ("FREQ=DAILY;INTERVAL=99999999999", "INTERVAL=99999999999: not such a number"),
            ("FREQ=DAILY;BYMONTH=13", "BYMONTH=13: \"13\" is not such a number; 1 to 12"),
            ("FREQ=MONTHLY;BYMONTHDAY=1,0", "\"0\" is not such a number; -31 to 31, not 0"),
            ("FREQ=MONTHLY;BYDAY=6MO", "no month has a 6MO; 1MO to 5MO, or -1MO for the last"),
            ("FREQ=MONTHLY;BYDAY=XX", "\"XX\" is no day of the week"),
            ("FREQ=MONTHLY;BYDAY=-MO", "no month has a -MO"),
            ("FREQ=WEEKLY;BYDAY=2TU", "BYDAY=2TU: only a month has a 1st"),
            ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY=3: a week has no days of the month"),
            ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS=1: there is nothing to choose from"),
            ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL=TOMORROW: no such time; 20261231T020000"),
            ("FREQ=DAILY;UNTIL=20260230", "UNTIL=20260230: no such time"),
            ("FREQ=DAILY;UNTIL=20260101T25", "no such time"),
            ("FREQ=DAILY;UNTIL=20261231Z", "no such time"),
        ] {
            let refusal = refused(text);
            assert!(refusal.contains(said), "{text:?}: {refusal}");
        }
        assert!(refused(&format!("FREQ=DAILY;BYMONTH=1{}", ",1".repeat(MAX_RULE))).contains("at most 1000"));
    }
}
