//! What was looked up may be another when it is written, what has ended may be told late: nothing of it goes
//! wrong.

use std::sync::mpsc;
use std::time::Duration;

use aright_shared::api::{Job, JobState, NewJob, Once, Repeat, Run, RunState, Schedule, Stop, Zone};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::time::{HOUR, MINUTE, Millis, SECOND};

use crate::jobs::create;
use crate::rollout::{hosts, job, offered, one_each, rollout, started, wait};
use crate::world::{World, names_all, problem, task_report};

/// Holds up the store's writer until it is let go.
async fn hold(world: &World) -> mpsc::Sender<()> {
    let (let_go, may_go) = mpsc::channel::<()>();
    let (held, is_held) = tokio::sync::oneshot::channel::<()>();
    let store = world.server.app.store.clone();
    tokio::spawn(async move {
        store
            .write(move |_| {
                let _ = held.send(());
                let _ = may_go.recv();
                Ok::<_, aright_controller::store::StoreError>(())
            })
            .await
    });
    is_held.await.expect("held");
    let_go
}

fn utc(at: Millis) -> jiff::civil::DateTime {
    let at = jiff::Timestamp::from_millisecond(at.0).expect("a time");
    at.to_zoned(jiff::tz::TimeZone::UTC).datetime()
}

fn daily(at: Millis) -> Schedule {
    Schedule::Repeat(Repeat {
        start: utc(at),
        rule: "FREQ=DAILY".into(),
        zone: Zone::default(),
        missed: Default::default(),
    })
}

/// A wish that waits behind a busy writer while the job comes due, and is done before what follows from that.
async fn wish<T: Send + 'static>(
    world: &World,
    wish: impl Future<Output = T> + Send + 'static,
    millis: i64,
) -> T {
    let let_go = hold(world).await;
    let wish = tokio::spawn(wish);
    // Into the queue, then the dispatcher's look, then its write behind it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    world.pass(millis);
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(let_go);
    wish.await.expect("answered")
}

#[tokio::test]
async fn an_edit_or_a_stop_that_comes_before_a_run_begins_is_heeded() {
    let world = World::start().await;
    hosts(&world, 1).await;
    let held = NewJob { hold_s: Some(60), ..one_each(Default::default()) };
    let saved = create(&world, &held).await.expect("saved");
    let (client, path) = (world.operator.clone(), format!("/api/v1/jobs/{}", saved.id));
    let longer = NewJob { hold_s: Some(900), ..held.clone() };
    let edited = wish(&world, async move { client.put::<_, Job>(&path, &longer).await }, 61 * SECOND).await;
    let due = edited.expect("edited").runs[0].due;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = job(&world, &saved.id).await;
    assert_eq!((after.runs[0].state, after.runs[0].due), (RunState::Pending, due), "it waits anew");
    let other = create(&world, &held).await.expect("saved");
    let client = world.operator.clone();
    let stop = async move { client.post::<_, Stop>("/api/v1/stop", &serde_json::json!({})).await };
    wish(&world, stop, 61 * SECOND).await.expect("stopped");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(job(&world, &other.id).await.runs[0].state, RunState::Pending);
}

#[tokio::test]
async fn a_schedule_that_was_ended_makes_no_run_any_more() {
    let world = World::start().await;
    hosts(&world, 1).await;
    let start = world.server.app.now().plus(10 * MINUTE);
    let new = NewJob { schedule: daily(start), hold_s: Some(60), ..one_each(Default::default()) };
    let saved = create(&world, &new).await.expect("saved");
    let (client, path) = (world.operator.clone(), format!("/api/v1/jobs/{}/cancel", saved.id));
    let cancel = async move { client.post::<_, Job>(&path, &()).await };
    let ended = wish(&world, cancel, 9 * MINUTE + SECOND).await.expect("cancelled");
    assert_eq!(ended.state, JobState::Ended);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let after = job(&world, &saved.id).await;
    assert_eq!((after.state, after.runs.len(), after.next.len()), (JobState::Ended, 0, 0));
}

#[tokio::test]
async fn an_edit_after_the_occurrence_and_before_it_was_held_keeps_the_run() {
    let world = World::start().await;
    hosts(&world, 1).await;
    let soon = world.server.app.now().plus(5 * MINUTE);
    let once = Schedule::Once(Once { at: utc(soon), zone: Zone::default() });
    for schedule in [daily(soon), once] {
        let new = NewJob { schedule, hold_s: Some(900), ..one_each(Default::default()) };
        let saved = create(&world, &new).await.expect("saved");
        world.pass(6 * MINUTE);
        let renamed = NewJob { name: "renamed".into(), ..new };
        let after: Job =
            world.operator.put(&format!("/api/v1/jobs/{}", saved.id), &renamed).await.expect("edited");
        let [run] = after.runs.as_slice() else { panic!("{after:?}") };
        assert_eq!((&run.id, run.state), (&saved.runs[0].id, RunState::Pending));
        assert_eq!(run.due.since(run.saved), 15 * MINUTE);
        assert_eq!(after.next, saved.next);
        world.pass(-6 * MINUTE);
    }
}

#[tokio::test]
async fn a_run_by_hand_takes_no_occurrence_away() {
    let world = World::start().await;
    hosts(&world, 1).await;
    let start = world.server.app.now().plus(HOUR);
    let new = NewJob { schedule: daily(start), hold_s: Some(60), ..one_each(Default::default()) };
    let saved = create(&world, &new).await.expect("saved");
    let path = format!("/api/v1/jobs/{}/runs", saved.id);
    let long = serde_json::json!({"hold_s": 3 * 3600});
    let by_hand: Run = world.operator.post(&path, &long).await.expect("once more");
    world.pass(HOUR - 30 * SECOND);
    for _ in 0..200 {
        if job(&world, &saved.id).await.runs.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = job(&world, &saved.id).await;
    let scheduled = after.runs.iter().find(|run| run.id != by_hand.id).expect("the occurrence has its run");
    assert_eq!((scheduled.due, scheduled.asked_by.as_deref()), (saved.next[0], None));
}

#[tokio::test]
async fn what_was_never_delivered_has_no_result() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(rollout(1, 0, 0))).await;
    let (_, order) = hosts[0].task().await;
    let waiting: aright_shared::api::Page<aright_shared::api::Task> =
        world.operator.get(&format!("/api/v1/tasks?run={run}&state=queued")).await.expect("listed");
    let report = task_report(&waiting.items[0].id, Outcome::Fixed, HostChange::Kept);
    let refused = problem(hosts[1].result(&report).await);
    assert_eq!(refused.kind, "not-delivered");
    names_all(&refused);
    hosts[0].running(&order).await.expect("acknowledged");
    assert!(offered(&mut hosts[1]).await.is_none(), "it is no canary that ended well");
}

#[tokio::test]
async fn while_all_is_stopped_no_time_to_wait_for_hosts_runs_out() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 1).await;
    let short = NewJob { expiry_s: Some(60), ..one_each(Default::default()) };
    let run = started(&world, &short).await;
    let pending = create(&world, &NewJob { hold_s: Some(60), ..short }).await.expect("saved");
    world.operator.post::<_, Stop>("/api/v1/stop", &serde_json::json!({})).await.expect("stopped");
    world.pass(10 * MINUTE);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    wait(&world, &run, |run| run.state == RunState::Executing && run.outcomes.is_empty()).await;
    world.operator.delete::<Stop>("/api/v1/stop").await.expect("released");
    let (_, order) = hosts[0].task().await;
    crate::rollout::ends(&hosts[0], &order, Outcome::RanNotFixed).await;
    // The one that was pending begins late, and has its time to wait all the same.
    let (_, order) = hosts[0].task().await;
    assert_eq!(order.run.as_ref(), Some(&pending.runs[0].id));
}

#[tokio::test]
async fn what_ends_for_want_of_time_is_no_failure_that_halts() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 3).await;
    let run = started(&world, &NewJob { expiry_s: Some(60), ..one_each(rollout(1, 0, 1)) }).await;
    let (_, order) = hosts[0].task().await;
    hosts[0].running(&order).await.expect("acknowledged");
    hosts[1].check_in(0).await.expect("orders");
    world.pass(61 * SECOND);
    wait(&world, &run, |run| run.outcomes.get(&Outcome::Undelivered) == Some(&2)).await;
    hosts[0].result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.detail.as_str()), (RunState::Expired, ""));
    let tasks: aright_shared::api::Page<aright_shared::api::Task> =
        world.operator.get(&format!("/api/v1/tasks?run={run}&outcome=undelivered")).await.expect("listed");
    let why: Vec<_> = tasks.items.iter().map(|task| task.detail.as_str()).collect();
    assert!(why.iter().any(|why| why.contains("its turn did not come")), "{why:?}");
}
