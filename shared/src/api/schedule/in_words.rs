//! A schedule as people say it: `every month on the 2nd Tuesday at 02:00 Europe/Berlin, 12 times`.
//! What has no short words is told by its rule.

use std::fmt;

use jiff::civil::{DateTime, Weekday};

use super::{Day, End, Frequency, Once, Repeat, Rule, Schedule, Until, Zone};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now => f.write_str("now"),
            Self::Once(once) => once.fmt(f),
            Self::Repeat(repeat) => repeat.fmt(f),
        }
    }
}

impl fmt::Display for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "on {} at {}", self.at.date(), clock(self.at, &self.zone))
    }
}

impl fmt::Display for Repeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = clock(self.start, &self.zone);
        let Ok(rule) = self.rule.parse::<Rule>() else {
            return write!(f, "{} at {clock}", self.rule);
        };
        match days(&rule.clone().starting(self.start.date())) {
            Some(days) => write!(f, "{days} at {clock}{}", end(rule.end)),
            None => write!(f, "{rule} at {clock}"),
        }
    }
}

/// `02:00 Europe/Berlin`
fn clock(local: DateTime, zone: &Zone) -> String {
    let time = local.strftime(if local.second() == 0 { "%H:%M" } else { "%H:%M:%S" });
    match zone {
        Zone::Named(zone) => format!("{time} {zone}"),
        Zone::Asset => format!("{time} on each host's own clock"),
    }
}

fn days(rule: &Rule) -> Option<String> {
    if !rule.positions.is_empty() {
        return None;
    }
    let on = match (rule.frequency, rule.days.as_slice(), rule.month_days.as_slice()) {
        (Frequency::Daily, [], []) => String::new(),
        (Frequency::Weekly, days, []) => {
            format!(" on {}", and(days.iter().map(|day| weekday(day.weekday).to_owned())))
        }
        (Frequency::Monthly, days, []) => format!(" on {}", and(days.iter().map(nth_weekday))),
        (Frequency::Monthly, [], days) => format!(" on the {}", and(days.iter().map(|day| month_day(*day)))),
        _ => return None,
    };
    let unit = match rule.frequency {
        Frequency::Daily => "day",
        Frequency::Weekly => "week",
        Frequency::Monthly => "month",
    };
    let every = match rule.interval {
        1 => format!("every {unit}"),
        interval => format!("every {interval} {unit}s"),
    };
    let months = and(rule.months.iter().filter_map(|month| {
        let month = usize::try_from(*month).ok()?.checked_sub(1)?;
        MONTHS.get(month).map(ToString::to_string)
    }));
    let months = if months.is_empty() { months } else { format!(" in {months}") };
    Some(format!("{every}{on}{months}"))
}

fn end(end: End) -> String {
    match end {
        End::Never => String::new(),
        End::Count(1) => ", once".into(),
        End::Count(count) => format!(", {count} times"),
        End::Until(Until::Date(date)) => format!(", until {date}"),
        End::Until(Until::Local(local)) => format!(", until {}", local.strftime("%Y-%m-%d %H:%M:%S")),
        End::Until(Until::Utc(at)) => format!(", until {}", at.strftime("%Y-%m-%d %H:%M:%S UTC")),
    }
}

fn nth_weekday(day: &Day) -> String {
    match day.nth {
        0 => format!("every {}", weekday(day.weekday)),
        nth => format!("the {} {}", ordinal(nth), weekday(day.weekday)),
    }
}

fn month_day(day: i8) -> String {
    if day < 0 { format!("{} day", ordinal(day)) } else { ordinal(day) }
}

/// `1st`, `2nd`; `last`, `2nd last`
fn ordinal(number: i8) -> String {
    let ending = match (number.unsigned_abs() % 10, number.unsigned_abs()) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    match number {
        -1 => "last".into(),
        ..0 => format!("{}{ending} last", number.unsigned_abs()),
        _ => format!("{number}{ending}"),
    }
}

fn and(items: impl Iterator<Item = String>) -> String {
    let mut items: Vec<_> = items.collect();
    match items.pop() {
        None => String::new(),
        Some(last) if items.is_empty() => last,
        Some(last) => format!("{} and {last}", items.join(", ")),
    }
}

fn weekday(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Tuesday, 2026-12-01, 02:00 in Berlin.
    fn said(rule: &str) -> String {
        let start = "2026-12-01T02:00".parse().expect("a time");
        let zone = Zone::Named("Europe/Berlin".into());
        Schedule::Repeat(Repeat { start, rule: rule.into(), zone, missed: Default::default() }).to_string()
    }

    #[test]
    fn usual_rules_are_said_in_words_and_others_by_themselves() {
        for (rule, words) in [
            ("FREQ=DAILY", "every day at 02:00 Europe/Berlin"),
            ("FREQ=DAILY;INTERVAL=2;COUNT=1", "every 2 days at 02:00 Europe/Berlin, once"),
            ("FREQ=DAILY;BYMONTH=1,3", "every day in January and March at 02:00 Europe/Berlin"),
            ("FREQ=WEEKLY", "every week on Tuesday at 02:00 Europe/Berlin"),
            (
                "FREQ=WEEKLY;BYDAY=TU,TH,SA",
                "every week on Tuesday, Thursday and Saturday at 02:00 Europe/Berlin",
            ),
            (
                "FREQ=MONTHLY;BYDAY=2TU;COUNT=12",
                "every month on the 2nd Tuesday at 02:00 Europe/Berlin, 12 times",
            ),
            (
                "FREQ=MONTHLY;BYDAY=-1FR,MO",
                "every month on the last Friday and every Monday at 02:00 Europe/Berlin",
            ),
            ("FREQ=MONTHLY", "every month on the 1st at 02:00 Europe/Berlin"),
            (
                "FREQ=MONTHLY;BYMONTHDAY=31,-1,-3",
                "every month on the 3rd last day, last day and 31st at 02:00 Europe/Berlin",
            ),
            (
                "FREQ=MONTHLY;BYMONTHDAY=12,13,22",
                "every month on the 12th, 13th and 22nd at 02:00 Europe/Berlin",
            ),
            ("FREQ=DAILY;UNTIL=20261231", "every day at 02:00 Europe/Berlin, until 2026-12-31"),
            (
                "FREQ=DAILY;UNTIL=20261231T010000Z",
                "every day at 02:00 Europe/Berlin, until 2026-12-31 01:00:00 UTC",
            ),
            (
                "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;COUNT=2",
                "FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1;COUNT=2 at 02:00 Europe/Berlin",
            ),
            ("FREQ=DAILY;BYDAY=MO", "FREQ=DAILY;BYDAY=MO at 02:00 Europe/Berlin"),
            (
                "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
                "FREQ=MONTHLY;BYMONTHDAY=13;BYDAY=FR at 02:00 Europe/Berlin",
            ),
            ("as you like", "as you like at 02:00 Europe/Berlin"),
        ] {
            assert_eq!(said(rule), words);
        }
    }

    #[test]
    fn now_and_once_and_each_hosts_clock() {
        assert_eq!(Schedule::Now.to_string(), "now");
        let at = "2026-12-01T02:00:05".parse().expect("a time");
        assert_eq!(
            Schedule::Once(Once { at, zone: Zone::Asset }).to_string(),
            "on 2026-12-01 at 02:00:05 on each host's own clock"
        );
    }
}
