//! The claim `schedules`: our occurrences are those of an independent implementation, Python's dateutil and
//! zoneinfo, for thousands of rules at random and right beside changes of the clock.
//!
//! `ARIGHT_SEED` tries other rules than the usual ones.

mod case;
mod random;
mod reference;

use std::collections::{BTreeMap, BTreeSet};

use aright_controller::schedule::{Occurrence, check, next, upcoming};
use aright_shared::api::{Repeat, Rule, Schedule};
use jiff::tz;

use case::Case;
use random::Random;
use reference::{Answer, Reference};

const RULES: usize = 5000;
/// Compared after each instant.
const OCCURRENCES: usize = 12;
/// The last year that is compared.
const LAST_YEAR: i16 = 2060;

#[test]
fn occurrences_are_those_of_dateutil_and_zoneinfo() {
    let Some(python) = reference::python() else {
        return skip("no python3 with dateutil and zoneinfo's data (python3-dateutil, tzdata)");
    };
    let seed = std::env::var("ARIGHT_SEED").map_or(5, |text| text.parse().expect("ARIGHT_SEED is a number"));
    let mut random = Random::new(seed);
    let cases: Vec<_> = (0..RULES).map(|_| Case::new(&mut random)).collect();
    let answers = Reference { python, last_year: LAST_YEAR, count: OCCURRENCES }.ask(&cases);

    let mut seen = Seen::default();
    let differences: Vec<_> =
        cases.iter().zip(&answers).flat_map(|(case, answer)| compare(case, answer, &mut seen)).collect();
    tell(seed, &seen, differences.len());
    let some = differences.iter().take(10).cloned().collect::<Vec<_>>().join("\n");
    assert!(differences.is_empty(), "seed {seed}, {} differences:\n{some}", differences.len());
    assert!(seen.in_gaps > 100 && seen.in_overlaps > 100, "hardly any time is skipped or shown twice");
}

/// What was compared.
#[derive(Default)]
struct Seen {
    occurrences: usize,
    in_gaps: usize,
    in_overlaps: usize,
    zones: BTreeSet<&'static str>,
    /// Rules that dateutil had to be asked in other words, by reason.
    reworded: BTreeMap<String, usize>,
}

fn compare(case: &Case, answer: &Answer, seen: &mut Seen) -> Vec<String> {
    for note in &answer.notes {
        *seen.reworded.entry(note.clone()).or_default() += 1;
    }
    let schedule = Schedule::Repeat(case.repeat.clone());
    say_the_same(&schedule, case);
    let mut differences = Vec::new();
    for (after, theirs) in case.after.iter().zip(&answer.found) {
        let ours = upcoming(&schedule, *after, OCCURRENCES);
        let ours: Vec<_> = ours.iter().filter(|one| one.local.year() <= LAST_YEAR).map(told).collect();
        if ours != *theirs {
            let Repeat { start, rule, .. } = &case.repeat;
            let zone = case.zone;
            differences.push(format!(
                "{rule} from {start} in {zone}, after {after}:\n  ours   {ours:?}\n  theirs {theirs:?}"
            ));
        }
        seen.count(case.zone, &ours);
    }
    if let (Err(refused), true) = (check(&schedule), answer.found.iter().any(|found| !found.is_empty())) {
        differences.push(format!("{:?} has occurrences, but: {refused:?}", case.repeat));
    }
    differences
}

/// The rule as we write it means what it was parsed from; one occurrence is found as many are.
fn say_the_same(schedule: &Schedule, case: &Case) {
    let rule: Rule = case.repeat.rule.parse().expect("a rule");
    let ours = Schedule::Repeat(Repeat { rule: rule.to_string(), ..case.repeat.clone() });
    let first = next(schedule, case.after[0]);
    assert_eq!(upcoming(&ours, case.after[0], 1).first().copied(), first, "{ours:?}");
}

fn told(one: &Occurrence) -> (String, i64) {
    assert_eq!(one.at, one.latest);
    (one.local.strftime("%Y-%m-%dT%H:%M:%S").to_string(), one.at.0)
}

impl Seen {
    fn count(&mut self, zone: &'static str, found: &[(String, i64)]) {
        use tz::AmbiguousOffset::{Fold, Gap, Unambiguous};
        self.zones.insert(zone);
        self.occurrences += found.len();
        let zone = tz::db().get(zone).expect("a zone");
        for (local, _) in found {
            match zone.to_ambiguous_timestamp(local.parse().expect("a time")).offset() {
                Unambiguous { .. } => {}
                Gap { .. } => self.in_gaps += 1,
                Fold { .. } => self.in_overlaps += 1,
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "figures are printed")]
fn tell(seed: u64, seen: &Seen, differences: usize) {
    println!(
        "figure: schedules: {RULES} rules, {} occurrences, {} zones, {differences} differences",
        seen.occurrences,
        seen.zones.len(),
    );
    println!(
        "figure: schedules: seed {seed}, {} times skipped by the clock, {} shown twice",
        seen.in_gaps, seen.in_overlaps
    );
    for (reason, rules) in &seen.reworded {
        println!("figure: schedules: {rules} rules put otherwise: {reason}");
    }
}

/// As the crate of the other claims does.
#[expect(clippy::print_stdout, reason = "the line is how a test says it")]
fn skip(why: &str) {
    println!("skipped: {why}");
    if let Some(path) = std::env::var_os("ARIGHT_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| {
            std::io::Write::write_all(&mut file, format!("schedules: {why}\n").as_bytes())
        })
        .expect("the list of skips can be written");
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped where it is possible: {why}");
}
