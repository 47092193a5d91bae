//! When: pending for the hold time, then at its time; schedules as they are asked for.

use aright_shared::api::{Job, JobState, Missed, NewJob, Once, Repeat, Run, RunState, Schedule, Zone};
use aright_shared::time::{DAY, HOUR, MINUTE, Millis, SECOND};

use super::{Rule, failing, job};
use crate::world::{CONTENT, World, names_all, problem};

fn zone(name: &str) -> Zone {
    name.parse().expect("a zone")
}

fn local(at: Millis) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at.0).expect("a time");
    at.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

fn repeat(start: Millis, rule: &str, missed: Missed) -> Schedule {
    Schedule::Repeat(Repeat { start: local(start), rule: rule.into(), zone: zone("UTC"), missed })
}

fn once(at: Millis) -> Schedule {
    Schedule::Once(Once { at: local(at), zone: zone("UTC") })
}

async fn shown(rule: &Rule, job: &Job) -> Job {
    rule.world.operator.get(&format!("/api/v1/jobs/{}", job.id)).await.expect("shown")
}

/// Once it is so; the dispatcher looks every second.
async fn until(rule: &Rule, job: &Job, wanted: impl Fn(&Job) -> bool) -> Job {
    for _ in 0..200 {
        let job = shown(rule, job).await;
        if wanted(&job) {
            return job;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{}: it stays {:#?}", rule.name, shown(rule, job).await)
}

#[tokio::test]
async fn a_run_is_pending_for_fifteen_minutes_at_least() {
    let rule = Rule::start("hold time", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    let held = |seconds| NewJob { hold_s: Some(seconds), ..job() };
    rule.refused("14:59", &held(899)).await;
    let saved = rule.saved("15:00", &held(900)).await;
    assert_eq!(saved.runs[0].due.since(saved.runs[0].saved), 15 * MINUTE);
    rule.refused("31 days", &held(31 * 24 * 3600)).await;
    rule.refused("an expiry of 59 s", &NewJob { expiry_s: Some(59), ..job() }).await;
    rule.world.pass(14 * MINUTE);
    let path = format!("/api/v1/jobs/{}", saved.id);
    let edited: Job = rule.world.operator.put(&path, &held(900)).await.expect("edited");
    assert_eq!(edited.runs[0].id, saved.runs[0].id);
    assert_eq!(edited.runs[0].due.since(edited.runs[0].saved), 15 * MINUTE, "it waits anew");
    assert!(edited.runs[0].saved > saved.runs[0].saved);
    rule.edge("edited while pending");
    let cancelled: Job = rule.world.operator.post(&format!("{path}/cancel"), &()).await.expect("cancelled");
    assert_eq!(cancelled.runs[0].state, RunState::Cancelled);
    rule.edge("cancelled while pending");
    let ended = problem(rule.world.operator.put::<_, Job>(&path, &held(900)).await);
    names_all(&ended);
    rule.edge("an ended job is not edited");
    rule.end();
}

#[tokio::test]
async fn a_run_executes_at_its_time_and_never_before_it_was_held() {
    let rule = Rule::start("due, or saved and held", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    let now = rule.world.server.app.now();
    let far =
        rule.saved("once, in three hours", &NewJob { schedule: once(now.plus(3 * HOUR)), ..job() }).await;
    assert_eq!(far.runs[0].due.0 / SECOND, now.plus(3 * HOUR).0 / SECOND, "it exists, visibly");
    let near =
        rule.saved("once, in five minutes", &NewJob { schedule: once(now.plus(5 * MINUTE)), ..job() }).await;
    assert_eq!(near.runs[0].due.since(near.runs[0].saved), 15 * MINUTE);
    rule.refused("once, an hour ago", &NewJob { schedule: once(now.plus(-HOUR)), ..job() }).await;
    let nowhere = Schedule::Once(Once { at: local(now.plus(DAY)), zone: zone("Europe/Berln") });
    let refused = rule.refused("a zone that is not there", &NewJob { schedule: nowhere, ..job() }).await;
    assert!(refused.remedy.as_deref().expect("a remedy").contains("Europe/Berlin"), "says what was meant");
    rule.world.pass(15 * MINUTE + SECOND);
    until(&rule, &near, |job| job.runs[0].state == RunState::Executing).await;
    assert_eq!(shown(&rule, &far).await.runs[0].state, RunState::Pending);
    rule.end();
}

#[tokio::test]
async fn a_schedule_shows_its_next_five_and_makes_each_run_before_it_is_due() {
    let rule = Rule::start("schedules", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    let start = rule.world.server.app.now().plus(2 * HOUR);
    let daily = NewJob { schedule: repeat(start, "FREQ=DAILY;COUNT=7", Missed::RunOnce), ..job() };
    let saved = rule.saved("daily, seven times", &daily).await;
    assert_eq!((saved.next.len(), saved.runs.len()), (5, 0));
    assert!(saved.next.windows(2).all(|two| two[1].since(two[0]) == DAY));
    rule.world.pass(2 * HOUR - 16 * MINUTE);
    assert!(shown(&rule, &saved).await.runs.is_empty());
    rule.world.pass(MINUTE + 10 * SECOND);
    let pending = until(&rule, &saved, |job| job.runs.len() == 1).await;
    assert_eq!((pending.runs[0].state, pending.runs[0].due), (RunState::Pending, saved.next[0]));
    assert_eq!(pending.next[0], saved.next[1]);
    rule.edge("pending from due - hold on");
    for (edge, text) in [
        ("no rule", "every day"),
        ("every second", "FREQ=SECONDLY"),
        ("the 32nd", "FREQ=MONTHLY;BYMONTHDAY=32"),
        ("30 February", "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"),
        ("ended before it begins", "FREQ=DAILY;UNTIL=20200101T000000Z"),
    ] {
        let odd = NewJob { schedule: repeat(start, text, Missed::RunOnce), ..job() };
        rule.refused(edge, &odd).await;
    }
    rule.end();
}

#[tokio::test]
async fn missed_occurrences_run_once_or_are_skipped() {
    for (missed, runs) in [(Missed::RunOnce, 1), (Missed::Skip, 0)] {
        let mut rule = Rule::of("missed occurrences", World::start().await);
        failing(&rule, "web1", &[]).await;
        let start = rule.world.server.app.now().plus(2 * HOUR);
        let job = NewJob { hold_s: Some(900), schedule: repeat(start, "FREQ=DAILY", missed), ..job() };
        let saved = rule.saved("saved", &job).await;
        // The controller is away for three days: three occurrences.
        rule.world.pass(3 * DAY);
        rule.world.log_in_again().await;
        let next = |job: &Job| job.next.first().is_some_and(|next| *next == saved.next[3]);
        let after = until(&rule, &saved, next).await;
        assert_eq!(after.runs.len(), runs, "{missed}");
        if let [run] = after.runs.as_slice() {
            assert_eq!(run.due.since(run.saved), 15 * MINUTE, "it is held like any other");
            assert!(run.detail.contains("missed"), "{}", run.detail);
        }
        rule.edge(missed.as_str());
        rule.end();
    }
}

#[tokio::test]
async fn what_a_schedule_did_not_run_while_it_was_off_is_not_made_up_for() {
    let mut rule = Rule::start("activate, deactivate, edit, once more", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    let start = rule.world.server.app.now().plus(5 * MINUTE);
    let job = NewJob { schedule: repeat(start, "FREQ=DAILY", Missed::RunOnce), ..job() };
    let saved = rule.saved("saved", &job).await;
    assert_eq!(saved.runs.len(), 1, "within its hold time");
    let path = |verb: &str| format!("/api/v1/jobs/{}/{verb}", saved.id);
    let off: Job = rule.world.operator.post(&path("deactivate"), &()).await.expect("deactivated");
    assert_eq!((off.runs[0].state, off.next.len()), (RunState::Cancelled, 0));
    rule.world.pass(3 * DAY + HOUR);
    rule.world.log_in_again().await;
    let on: Job = rule.world.operator.post(&path("activate"), &()).await.expect("activated");
    assert_eq!((on.runs.len(), on.next.len(), on.next[0]), (1, 5, saved.next[3]));
    rule.edge("off for three days: nothing is made up for");
    let again: Run = rule.world.operator.post(&path("runs"), &()).await.expect("once more");
    assert_eq!((again.state, again.asked_by.as_deref()), (RunState::Pending, Some("admin")));
    rule.world.pass(10 * MINUTE);
    let path_of_job = format!("/api/v1/jobs/{}", saved.id);
    let edited: Job = rule.world.operator.put(&path_of_job, &job).await.expect("edited");
    let kept = edited.runs.iter().find(|run| run.id == again.id).expect("it is there");
    assert_eq!((kept.state, edited.next[0]), (RunState::Pending, on.next[0]));
    assert!(kept.due.since(again.due) >= 10 * MINUTE, "it waits anew");
    rule.edge("once more by hand, and an edit leaves that run be");
    let ended: Job = rule.world.operator.post(&path("cancel"), &()).await.expect("cancelled");
    assert_eq!((ended.state, ended.next.len()), (JobState::Ended, 0));
    rule.edge("cancelled: no further ones");
    rule.end();
}

#[tokio::test]
async fn a_job_ends_whatever_it_is() {
    let rule = Rule::start("ending a job", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    let cancel = async |job: &Job| -> Job {
        rule.world.operator.post(&format!("/api/v1/jobs/{}/cancel", job.id), &()).await.expect("cancelled")
    };
    let draft = rule.saved("a draft", &NewJob { draft: true, ..job() }).await;
    assert_eq!(cancel(&draft).await.state, JobState::Ended);
    let off = rule.saved("a deactivated one", &job()).await;
    let path = format!("/api/v1/jobs/{}/deactivate", off.id);
    rule.world.operator.post::<_, Job>(&path, &()).await.expect("deactivated");
    assert_eq!(cancel(&off).await.state, JobState::Ended);
    let twice =
        problem(rule.world.operator.post::<_, Job>(&format!("/api/v1/jobs/{}/cancel", off.id), &()).await);
    names_all(&twice);
    rule.edge("but once");
    rule.end();
}

#[tokio::test]
async fn each_host_goes_by_its_own_clock_where_the_job_says_so() {
    let rule = Rule::of("each host's own zone", World::start().await);
    let mut here = rule.world.enroll("here").await;
    here.host.facts.timezone = "Pacific/Kiritimati".into();
    let mut there = rule.world.enroll("there").await;
    there.host.facts.timezone = "America/New_York".into();
    for agent in [&mut here, &mut there] {
        agent.see_failures();
        agent.report_all().await;
    }
    // In an hour on the clocks of the first zone of the day; a long while later elsewhere.
    let first = rule.world.server.app.now().plus(14 * HOUR + HOUR);
    let schedule = Schedule::Once(Once { at: local(first), zone: Zone::Asset });
    let saved = rule.saved("saved", &NewJob { schedule, hold_s: Some(900), ..job() }).await;
    let due = saved.runs[0].due;
    assert_eq!(due.0 / SECOND, first.plus(-14 * HOUR).0 / SECOND, "when the first zone has come to it");
    rule.world.pass(HOUR + SECOND);
    until(&rule, &saved, |job| job.runs[0].state == RunState::Executing).await;
    let (_, order) = here.task().await;
    here.running(&order).await.expect("to run");
    assert!(there.check_in(0).await.expect("orders").tasks.is_empty(), "its clock is not there yet");
    // UTC+14 to New York: 18 or 19 hours.
    rule.world.pass(17 * HOUR);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert!(there.check_in(0).await.expect("orders").tasks.is_empty());
    rule.world.pass(2 * HOUR + SECOND);
    there.task().await;
    rule.edge("delivered when its own clock shows the time");
    rule.end();
}
