//! The days of a rule, as RFC 5545 has them: period by period (a day, a week, a month) those that fit all its
//! parts, and of these its positions. What the interval skips, and what is over before `from`, is never looked at,
//! so that a rule of twenty years ago costs no more than one of today; and the search ends where a year ends, so
//! that neither does one that never fits.

use aright_shared::api::{Day, Frequency, Rule};
use jiff::civil::Date;
use jiff::{Span, Unit};

/// In order, from `start` to the end of `last_year`; the rule's end is not heeded. Some days of the period in which
/// `from` lies may be before it.
pub(super) fn days(rule: Rule, start: Date, from: Date, last_year: i16) -> impl Iterator<Item = Date> {
    let rule = rule.starting(start);
    let first = Period::of(start, &rule);
    let passed = first.until(from.max(start)) / i64::from(rule.interval);
    (passed..)
        .map_while(move |number| first.plus(number.checked_mul(i64::from(rule.interval))?))
        .take_while(move |period| period.begin.year() <= last_year)
        .flat_map(move |period| chosen(&rule, period))
        .filter(move |day| (start..).contains(day) && day.year() <= last_year)
}

#[derive(Clone, Copy)]
struct Period {
    frequency: Frequency,
    begin: Date,
}

impl Period {
    fn of(day: Date, rule: &Rule) -> Self {
        let begin = match rule.frequency {
            Frequency::Daily => day,
            Frequency::Weekly => day.saturating_sub(Span::new().days(day.weekday().since(rule.week_start))),
            Frequency::Monthly => day.first_of_month(),
        };
        Self { frequency: rule.frequency, begin }
    }

    /// How many whole periods lie between it and a later day.
    fn until(self, day: Date) -> i64 {
        let unit = match self.frequency {
            Frequency::Daily => Unit::Day,
            Frequency::Weekly => Unit::Week,
            Frequency::Monthly => Unit::Month,
        };
        self.begin.until((unit, day)).map_or(0, |span| match self.frequency {
            Frequency::Daily => i64::from(span.get_days()),
            Frequency::Weekly => i64::from(span.get_weeks()),
            Frequency::Monthly => i64::from(span.get_months()),
        })
    }

    /// `None` beyond the last day there is.
    fn plus(self, periods: i64) -> Option<Self> {
        let span = match self.frequency {
            Frequency::Daily => Span::new().try_days(periods),
            Frequency::Weekly => Span::new().try_weeks(periods),
            Frequency::Monthly => Span::new().try_months(periods),
        };
        Some(Self { begin: self.begin.checked_add(span.ok()?).ok()?, ..self })
    }

    fn days(self) -> impl Iterator<Item = Date> {
        let many = match self.frequency {
            Frequency::Daily => 1,
            Frequency::Weekly => 7,
            Frequency::Monthly => self.begin.days_in_month(),
        };
        (0..many).filter_map(move |day| self.begin.checked_add(Span::new().days(day)).ok())
    }
}

fn chosen(rule: &Rule, period: Period) -> Vec<Date> {
    let fitting: Vec<Date> = period.days().filter(|day| fits(rule, *day)).collect();
    if rule.positions.is_empty() {
        return fitting;
    }
    let index = |position: i16| {
        let back = usize::from(position.unsigned_abs());
        if position > 0 { back.checked_sub(1) } else { fitting.len().checked_sub(back) }
    };
    let mut days: Vec<Date> =
        rule.positions.iter().filter_map(|position| fitting.get(index(*position)?).copied()).collect();
    days.sort_unstable();
    days.dedup();
    days
}

fn fits(rule: &Rule, day: Date) -> bool {
    let in_month = || rule.months.is_empty() || rule.months.contains(&day.month());
    let on_day = || {
        let days = &rule.month_days;
        days.is_empty() || days.contains(&day.day()) || days.contains(&from_end(day))
    };
    let on_weekday = || rule.days.is_empty() || rule.days.iter().any(|wanted| is_weekday(day, *wanted));
    in_month() && on_day() && on_weekday()
}

fn is_weekday(day: Date, wanted: Day) -> bool {
    wanted.weekday == day.weekday()
        && match wanted.nth {
            0 => true,
            nth @ 1.. => (day.day() - 1) / 7 == nth - 1,
            nth => (from_end(day) + 1) / 7 == nth + 1,
        }
}

/// -1 for the last of its month.
fn from_end(day: Date) -> i8 {
    day.day() - day.days_in_month() - 1
}
