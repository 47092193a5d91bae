//! When a job runs, as options say it: `--at 2026-12-01T02:00 --every month --on 2tue --count 12`.

use std::num::NonZeroU32;
use std::str::FromStr;

use anyhow::{bail, ensure};
use aright_shared::api::{Day, End, Frequency, Missed, Once, Repeat, Rule, Schedule, Until, Zone};
use clap::Args;
use jiff::civil::{Date, DateTime, Weekday};

/// As soon as its hold time is over, unless these say when.
#[derive(Args, Debug, Default)]
pub struct When {
    /// Once, at that time on the clock on the wall; with --every from then on, always at that hour
    #[arg(long, value_name = "2026-12-01T02:00", value_parser = local, help_heading = "When")]
    at: Option<DateTime>,
    /// Again and again: day, week or month; every other week is 2weeks
    #[arg(long, value_name = "day|week|month", requires = "at", help_heading = "When")]
    every: Option<Every>,
    /// On which days, by commas. A week's: tue,thu. A month's: 1,15,31 or last-day, or by the weekday:
    /// 2tue, lastfri. Those of --at unless given; a month without a 31st is left out
    #[arg(long, value_name = "DAYS", value_delimiter = ',', requires = "every", help_heading = "When")]
    on: Vec<On>,
    /// Not after that day
    #[arg(
        long,
        value_name = "2027-12-31",
        requires = "every",
        conflicts_with = "count",
        help_heading = "When"
    )]
    until: Option<Date>,
    /// So many times
    #[arg(long, value_name = "N", requires = "every", help_heading = "When")]
    count: Option<NonZeroU32>,
    /// Whose clock: an IANA name such as Europe/Berlin, or asset for each host's own; UTC unless given
    #[arg(long, value_name = "ZONE", requires = "at", help_heading = "When")]
    zone: Option<Zone>,
    /// What becomes of a time at which the controller was down: run_once makes up for the last one, skip
    /// leaves it; run_once unless given
    #[arg(long, value_name = "run_once|skip", requires = "every", help_heading = "When")]
    missed: Option<Missed>,
}

impl When {
    /// Whether there is such a zone, and a day that fits, the controller says.
    pub fn schedule(self) -> anyhow::Result<Schedule> {
        let zone = self.zone.clone().unwrap_or_default();
        Ok(match (self.at, self.every) {
            (None, _) => Schedule::Now,
            (Some(at), None) => Schedule::Once(Once { at, zone }),
            (Some(start), Some(every)) => {
                let (rule, missed) = (self.rule(every)?.to_string(), self.missed.unwrap_or_default());
                Schedule::Repeat(Repeat { start, rule, zone, missed })
            }
        })
    }

    fn rule(&self, every: Every) -> anyhow::Result<Rule> {
        let mut rule = Rule { interval: every.interval, ..Rule::new(every.frequency) };
        for on in &self.on {
            match (every.frequency, on) {
                (Frequency::Daily, _) => bail!("--on goes with --every week or month"),
                (Frequency::Weekly, On::Weekday(day)) if day.nth == 0 => rule.days.push(*day),
                (Frequency::Weekly, _) => {
                    bail!("a week has days such as --on tue,thu; for others: --every month")
                }
                (Frequency::Monthly, On::Weekday(day)) => rule.days.push(*day),
                (Frequency::Monthly, On::MonthDay(day)) => rule.month_days.push(*day),
            }
        }
        // A rule would take only the days that are both.
        ensure!(
            rule.days.is_empty() || rule.month_days.is_empty(),
            "--on takes days by number or by weekday, not both: make two jobs"
        );
        rule.end = match (self.count, self.until) {
            (Some(count), _) => End::Count(count.get()),
            (None, Some(date)) => End::Until(Until::Date(date)),
            (None, None) => End::Never,
        };
        Ok(rule)
    }
}

/// `day`, `2weeks`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Every {
    interval: u32,
    frequency: Frequency,
}

impl FromStr for Every {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "day, week or month, or so many of them: 2weeks";
        let (number, unit) = split_number(text);
        let interval = if number.is_empty() { Ok(1) } else { number.parse() };
        let frequency = match unit.trim_start().trim_end_matches('s') {
            "day" => Frequency::Daily,
            "week" => Frequency::Weekly,
            "month" => Frequency::Monthly,
            _ => return Err(WRONG),
        };
        match interval {
            Ok(interval @ 1..) => Ok(Self { interval, frequency }),
            _ => Err(WRONG),
        }
    }
}

/// `tue`, `2tue`, `lastfri`; `31`, `last-day`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Weekday(Day),
    MonthDay(i8),
}

impl FromStr for On {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "days are tue, 2tue or lastfri; in a month also 1 to 31 or last-day";
        let text = text.trim().to_ascii_lowercase();
        let (nth, name) = match text.strip_prefix("last") {
            Some(name) => ("-1", name.trim_start_matches('-')),
            None => split_number(&text),
        };
        let number = match nth {
            "" => Some(0),
            nth => nth.parse().ok().filter(|nth| *nth != 0),
        };
        match (number, name, weekday(name)) {
            (Some(nth @ -1..=5), _, Some(weekday)) => Ok(Self::Weekday(Day { nth, weekday })),
            (Some(day @ 1..=31), "", _) | (Some(day @ -1), "day", _) => Ok(Self::MonthDay(day)),
            _ => Err(WRONG),
        }
    }
}

/// By its name or the first letters of it, three or more.
fn weekday(text: &str) -> Option<Weekday> {
    [
        ("monday", Weekday::Monday),
        ("tuesday", Weekday::Tuesday),
        ("wednesday", Weekday::Wednesday),
        ("thursday", Weekday::Thursday),
        ("friday", Weekday::Friday),
        ("saturday", Weekday::Saturday),
        ("sunday", Weekday::Sunday),
    ]
    .into_iter()
    .find_map(|(name, day)| (text.len() >= 3 && name.starts_with(text)).then_some(day))
}

fn split_number(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// A date and a time, without a zone: that has an option of its own.
fn local(text: &str) -> Result<DateTime, String> {
    const HOW: &str = "a date and a time: 2026-12-01T02:00; whose clock it is says --zone";
    text.parse().ok().filter(|_| text.contains(':')).ok_or_else(|| HOW.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser, Debug)]
    struct Line {
        #[command(flatten)]
        when: When,
    }

    fn said(options: &str) -> Result<Schedule, String> {
        let words = std::iter::once("job").chain(options.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        line.when.schedule().map_err(|error| error.to_string())
    }

    fn rule(options: &str) -> String {
        match said(&format!("--at 2026-12-01T02:00 {options}")).expect(options) {
            Schedule::Repeat(repeat) => {
                repeat.rule.parse::<Rule>().expect("it can be read");
                repeat.rule
            }
            other => panic!("{options}: {other:?}"),
        }
    }

    #[test]
    fn options_become_a_rule() {
        for (options, text) in [
            ("--every day", "FREQ=DAILY"),
            ("--every 3days --count 5", "FREQ=DAILY;INTERVAL=3;COUNT=5"),
            ("--every week", "FREQ=WEEKLY"),
            ("--every 2weeks --on tue,THU,sunday", "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,TH,SU"),
            ("--every month --on 31", "FREQ=MONTHLY;BYMONTHDAY=31"),
            ("--every month --on 1,15,last-day", "FREQ=MONTHLY;BYMONTHDAY=1,15,-1"),
            ("--every month --on 2tue,lastfri,last-sun", "FREQ=MONTHLY;BYDAY=2TU,-1FR,-1SU"),
            ("--every month --on mon", "FREQ=MONTHLY;BYDAY=MO"),
            ("--every month --until 2027-12-31", "FREQ=MONTHLY;UNTIL=20271231"),
        ] {
            assert_eq!(rule(options), text, "{options}");
        }
    }

    #[test]
    fn without_every_it_is_once_and_without_at_now() {
        assert_eq!(said(""), Ok(Schedule::Now));
        let at = "2026-12-01T02:00".parse().expect("a time");
        assert_eq!(
            said("--at 2026-12-01T02:00 --zone asset"),
            Ok(Schedule::Once(Once { at, zone: Zone::Asset }))
        );
        let repeat = said("--at 2026-12-01T02:00 --every day --zone Europe/Berlin --missed skip");
        let zone = Zone::Named("Europe/Berlin".into());
        let rule = "FREQ=DAILY".into();
        assert_eq!(repeat, Ok(Schedule::Repeat(Repeat { start: at, rule, zone, missed: Missed::Skip })));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_what_does() {
        for (options, words) in [
            ("--every day", "--at"),
            ("--zone UTC", "--at"),
            ("--at 2026-12-01T02:00 --on tue", "--every"),
            ("--at 2026-12-01T02:00 --until 2027-01-01", "--every"),
            ("--at 2026-12-01T02:00 --every day --until 2027-01-01 --count 3", "cannot be used with"),
            ("--at 2026-12-01T02:00 --every day --count 0", "--count"),
            ("--at 2026-12-01T02:00 --every day --on tue", "--every week or month"),
            ("--at 2026-12-01T02:00 --every week --on 2tue", "--on tue,thu; for others: --every month"),
            ("--at 2026-12-01T02:00 --every week --on 31", "--on tue,thu; for others: --every month"),
            ("--at 2026-12-01T02:00 --every month --on 13,fri", "by number or by weekday, not both"),
            ("--at 2026-12-01T02:00 --every month --on 32", "1 to 31 or last-day"),
            ("--at 2026-12-01T02:00 --every month --on 6tue", "tue, 2tue or lastfri"),
            ("--at 2026-12-01T02:00 --every month --on 0tue", "tue, 2tue or lastfri"),
            ("--at 2026-12-01T02:00 --every month --on last", "tue, 2tue or lastfri"),
            ("--at 2026-12-01T02:00 --every month --on t", "tue, 2tue or lastfri"),
            ("--at 2026-12-01T02:00 --every year", "day, week or month"),
            ("--at 2026-12-01T02:00 --every 0days", "day, week or month"),
            ("--at 2026-12-01 --every day", "a date and a time: 2026-12-01T02:00"),
            ("--at 2026-12-01T02:00Z", "a date and a time: 2026-12-01T02:00"),
            ("--at 2026-12-01T02:00 --zone Eu.rope", "an IANA name"),
            ("--at 2026-12-01T02:00 --every day --missed never", "run_once"),
        ] {
            let refusal = said(options).expect_err(options);
            assert!(refusal.contains(words), "{options}: {refusal}");
        }
    }
}
