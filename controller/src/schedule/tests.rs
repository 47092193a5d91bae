use aright_shared::api::Missed;
use aright_shared::problem::Problem;

use super::*;

fn local(text: &str) -> DateTime {
    text.parse().expect("a time")
}

fn zone(name: &str) -> Zone {
    name.parse().expect("a zone")
}

fn once(at: &str, name: &str) -> Schedule {
    Schedule::Once(Once { at: local(at), zone: zone(name) })
}

fn repeat(start: &str, rule: &str, name: &str) -> Schedule {
    let (start, zone) = (local(start), zone(name));
    Schedule::Repeat(Repeat { start, rule: rule.into(), zone, missed: Missed::RunOnce })
}

fn millis(text: &str) -> Millis {
    Millis(text.parse::<jiff::Timestamp>().expect("an instant").as_millisecond())
}

fn refused(schedule: &Schedule) -> Problem {
    check(schedule).expect_err("refused").problem().clone()
}

/// Field, value and remedy.
fn said(problem: &Problem) -> [String; 3] {
    [&problem.field, &problem.value, &problem.remedy].map(|text| text.clone().unwrap_or_default())
}

const BEGINNING: Millis = Millis(i64::MIN);
const END: Millis = Millis(i64::MAX);

/// The local times of the first occurrences, without their seconds.
fn first(schedule: &Schedule, count: usize) -> Vec<String> {
    let all = upcoming(schedule, BEGINNING, count);
    all.iter().map(|one| one.local.strftime("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn now_has_no_occurrence_and_once_has_one() {
    assert!(check(&Schedule::Now).is_ok());
    assert_eq!(next(&Schedule::Now, BEGINNING), None);
    let once = once("2026-12-01T02:00", "Europe/Berlin");
    assert!(check(&once).is_ok());
    let at = millis("2026-12-01T01:00:00Z");
    let one = Occurrence { local: local("2026-12-01T02:00"), at, latest: at };
    assert_eq!(upcoming(&once, BEGINNING, 5), [one]);
    assert_eq!(next(&once, at.plus(-1)), Some(one));
    assert_eq!(next(&once, at), None);
    assert_eq!(upcoming(&once, BEGINNING, 0), []);
}

#[test]
fn the_clock_on_the_wall_keeps_its_hour() {
    let daily = repeat("2026-10-24T02:30", "FREQ=DAILY;COUNT=3", "Europe/Berlin");
    let at: Vec<_> = upcoming(&daily, BEGINNING, 9).iter().map(|one| one.at.to_string()).collect();
    // 02:30 comes twice on the 25th: the first counts.
    assert_eq!(at, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn a_time_that_is_skipped_is_read_with_the_offset_before_and_one_shown_twice_is_the_first() {
    let gap = local("2026-03-29T02:30");
    assert_eq!(instant(gap, "Europe/Berlin"), millis("2026-03-29T01:30:00Z"));
    assert_eq!(instant(local("2026-10-25T02:30"), "Europe/Berlin"), millis("2026-10-25T00:30:00Z"));
    // Half an hour only.
    assert_eq!(instant(local("2026-10-04T02:15"), "Australia/Lord_Howe"), millis("2026-10-03T15:45:00Z"));
    assert_eq!(instant(gap, "Nowhere/At_All"), millis("2026-03-29T02:30:00Z"));
}

#[test]
fn an_instant_on_which_two_days_fall_is_one_occurrence() {
    // There was no 30 December 2011 in Apia.
    let daily = repeat("2011-12-29T08:00", "FREQ=DAILY;COUNT=4", "Pacific/Apia");
    assert_eq!(first(&daily, 9), ["2011-12-29 08:00", "2011-12-30 08:00", "2012-01-01 08:00"]);
}

#[test]
fn each_hosts_own_clock_spans_all_zones_on_earth() {
    let schedule = repeat("2026-12-01T02:00", "FREQ=WEEKLY", "asset");
    let one = next(&schedule, millis("2026-11-30T11:59:59Z")).expect("one");
    assert_eq!(one.local, local("2026-12-01T02:00"));
    assert_eq!((one.at, one.latest), (millis("2026-11-30T12:00:00Z"), millis("2026-12-01T14:00:00Z")));
    assert_eq!(next(&schedule, one.at).expect("another").local, local("2026-12-08T02:00"));
}

#[test]
fn only_what_fits_is_an_occurrence() {
    let rule = "FREQ=MONTHLY;BYDAY=2TU;COUNT=2";
    assert_eq!(first(&repeat("2026-12-01T02:00", rule, "UTC"), 9), ["2026-12-08 02:00", "2027-01-12 02:00"]);
}

#[test]
fn leap_days_last_days_and_positions() {
    let days = |start: &str, rule: &str| first(&repeat(start, rule, "UTC"), 3);
    assert_eq!(
        days("2024-02-29T00:00", "FREQ=MONTHLY;INTERVAL=12"),
        ["2024-02-29 00:00", "2028-02-29 00:00", "2032-02-29 00:00"]
    );
    assert_eq!(
        days("2027-01-31T00:00", "FREQ=MONTHLY"),
        ["2027-01-31 00:00", "2027-03-31 00:00", "2027-05-31 00:00"]
    );
    assert_eq!(
        days("2027-01-31T00:00", "FREQ=MONTHLY;BYMONTHDAY=-1"),
        ["2027-01-31 00:00", "2027-02-28 00:00", "2027-03-31 00:00"]
    );
    // The last working day.
    assert_eq!(
        days("2027-01-01T00:00", "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1"),
        ["2027-01-29 00:00", "2027-02-26 00:00", "2027-03-31 00:00"]
    );
    // RFC 5545's own: which weeks are skipped depends on where they begin.
    let rule = "FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=";
    let since = |week_start: &str| days("1997-08-05T09:00", &format!("{rule}{week_start}"));
    assert_eq!(since("MO"), ["1997-08-05 09:00", "1997-08-10 09:00", "1997-08-19 09:00"]);
    assert_eq!(since("SU"), ["1997-08-05 09:00", "1997-08-17 09:00", "1997-08-19 09:00"]);
}

#[test]
fn a_rule_ends_at_its_until_whoever_says_it() {
    let days = |until: &str| {
        let rule = format!("FREQ=DAILY;UNTIL={until}");
        first(&repeat("2026-12-01T23:00", &rule, "America/New_York"), 9).len()
    };
    assert_eq!(days("20261203T230000"), 3);
    assert_eq!(days("20261203T225959"), 2);
    assert_eq!(days("20261203"), 3);
    // 23:00 in New York.
    assert_eq!(days("20261204T040000Z"), 3);
    assert_eq!(days("20261204T035959Z"), 2);
}

#[test]
fn twenty_years_do_not_count() {
    let daily = repeat("2006-12-01T02:00", "FREQ=DAILY;COUNT=7400", "Europe/Berlin");
    let far = millis("2026-12-01T12:00:00Z");
    assert_eq!(next(&daily, far).expect("one").local, local("2026-12-02T02:00"));
    assert_eq!(upcoming(&daily, far, 1000).len(), 7400 - 7306);
    let weekly = repeat("2006-12-01T02:00", "FREQ=WEEKLY;INTERVAL=3", "Europe/Berlin");
    assert_eq!(next(&weekly, far).expect("one").local, local("2026-12-04T02:00"));
}

#[test]
fn hostile_rules_end() {
    for (start, rule) in [
        ("2026-01-01T00:00", "FREQ=MONTHLY;BYMONTHDAY=31;BYMONTH=2"),
        ("2026-01-01T00:00", "FREQ=DAILY;BYMONTHDAY=30;BYMONTH=2"),
        ("2026-01-01T00:00", "FREQ=DAILY;BYDAY=MO;BYSETPOS=2"),
        ("2026-01-01T00:00", "FREQ=DAILY;INTERVAL=7;BYDAY=MO"),
        ("2026-01-01T00:00", "FREQ=WEEKLY;INTERVAL=4294967295;BYDAY=MO"),
        ("1970-01-01T00:00", "FREQ=MONTHLY;BYDAY=5MO;BYMONTHDAY=1;COUNT=4294967295"),
    ] {
        let schedule = repeat(start, rule, "Europe/Berlin");
        assert_eq!(next(&schedule, BEGINNING), None, "{rule}");
        let problem = refused(&schedule);
        assert_eq!(problem.title, "no day fits the rule", "{rule}");
        assert_eq!(said(&problem)[0], "schedule.repeat.rule");
    }
    for frequency in ["DAILY", "WEEKLY", "MONTHLY"] {
        let rule = format!("FREQ={frequency};INTERVAL=4294967295");
        let schedule = repeat("2026-01-01T00:00", &rule, "UTC");
        assert!(check(&schedule).is_ok());
        assert_eq!(first(&schedule, 9), ["2026-01-01 00:00"]);
        let rule = format!("FREQ={frequency};COUNT=4294967295");
        let schedule = repeat("1970-01-01T00:00", &rule, "UTC");
        assert!(check(&schedule).is_ok());
        assert_eq!(next(&schedule, END), None);
        assert!(next(&schedule, millis("2090-01-01T00:00:00Z")).is_some());
    }
}

#[test]
fn nothing_panics_at_the_ends_of_time() {
    for start in [DateTime::MIN, DateTime::MAX, local("2099-12-31T23:59")] {
        for rule in ["FREQ=DAILY", "FREQ=WEEKLY;WKST=SU", "FREQ=MONTHLY;COUNT=3", "FREQ=DAILY;UNTIL=99991231"]
        {
            for name in ["UTC", "asset", "Pacific/Kiritimati", "America/New_York"] {
                let mut schedule = repeat("2026-01-01T00:00", rule, name);
                if let Schedule::Repeat(repeat) = &mut schedule {
                    repeat.start = start;
                }
                for after in [BEGINNING, END, Millis(0), millis("9999-12-30T00:00:00Z")] {
                    let _ = upcoming(&schedule, after, 3);
                }
                let _ = check(&schedule);
                assert!(instant(start, name) <= END);
            }
        }
    }
}

#[test]
fn a_zone_that_is_none_is_refused_with_the_one_that_is_near() {
    let problem = refused(&once("2026-12-01T02:00", "Europe/Berln"));
    assert_eq!(said(&problem), ["schedule.once.zone", "Europe/Berln", "did you mean Europe/Berlin?"]);
    let problem = refused(&repeat("2026-12-01T02:00", "FREQ=DAILY", "kathmandu"));
    assert_eq!(said(&problem), ["schedule.repeat.zone", "kathmandu", "did you mean Asia/Kathmandu?"]);
    let problem = refused(&once("2026-12-01T02:00", "xyzzy"));
    assert!(said(&problem)[2].contains("an IANA name"));
    assert!(check(&once("2026-12-01T02:00", "asset")).is_ok());
}

#[test]
fn a_rule_that_cannot_be_used_is_refused_with_what_to_write_instead() {
    let refusal = |rule: &str, zone: &str| refused(&repeat("2026-12-01T02:00", rule, zone));
    let problem = refusal("FREQ=YEARLY", "UTC");
    assert_eq!(problem.title, "the rule cannot be used: FREQ=YEARLY: a schedule is daily, weekly or monthly");
    assert_eq!(said(&problem)[1], "FREQ=YEARLY");
    assert!(said(&problem)[2].starts_with("write FREQ=DAILY, WEEKLY or MONTHLY"));

    let problem = refusal("FREQ=DAILY;UNTIL=20261201T015959", "UTC");
    assert_eq!(problem.title, "the rule ends before its first occurrence");
    assert_eq!(said(&problem)[2], "it would be on 2026-12-01 at 02:00: let UNTIL be later");
    assert!(check(&repeat("2026-12-01T02:00", "FREQ=DAILY;UNTIL=20261201", "UTC")).is_ok());

    let problem = refusal("FREQ=DAILY;UNTIL=20270101T000000Z", "asset");
    assert_eq!(said(&problem)[2], "leave out the Z: UNTIL=20270101T000000");
    let problem = refused(&repeat("1969-12-31T23:59", "FREQ=DAILY", "UTC"));
    assert_eq!(said(&problem), ["schedule.repeat.start", "1969-12-31T23:59:00", "a year from 1970 to 2099"]);
}
