//! How a run goes on and what stops it: canaries, so many at a time, a halt, a person's hand, the hosts that are not
//! there.

use std::time::{Duration, Instant};

use aright_controller::store::run_assets;
use aright_shared::api::{Job, JobState, NewJob, PostureFilter, Rollout, Run, RunState, Share, Stop, Task};
use aright_shared::client::ClientError;
use aright_shared::id::{JobId, RunId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{TaskOrder, TaskReport, TaskState};
use aright_shared::time::{MINUTE, SECOND};
use aright_shared::wire::Orders;
use serde_json::json;

use crate::jobs::{at_once, create};
use crate::world::{Agent, CONTENT, World, names_all, problem, task_report};

/// One fix a host.
pub fn one_each(rollout: Rollout) -> NewJob {
    let control = vec!["max-days".parse().expect("a key")];
    let filter = Some(PostureFilter { control, ..PostureFilter::default() });
    NewJob { filter, rollout, ..at_once() }
}

pub fn rollout(canary: u32, at_once: u32, halt_after: u32) -> Rollout {
    let share = |number| (number > 0).then_some(Share::Number(number));
    Rollout { canary: share(canary), at_once: share(at_once), halt_after: share(halt_after) }
}

/// So many hosts, in order of id, each with something to fix.
pub async fn hosts(world: &World, number: usize) -> Vec<Agent> {
    let mut hosts = Vec::new();
    for n in 0..number {
        let mut agent = world.enroll(&format!("web{n:02}")).await;
        agent.see_failures();
        agent.report_all().await;
        hosts.push(agent);
    }
    hosts
}

async fn see(world: &World, run: &RunId) -> Run {
    world.operator.get(&format!("/api/v1/runs/{run}")).await.expect("shown")
}

pub async fn wait(world: &World, run: &RunId, wanted: impl Fn(&Run) -> bool) -> Run {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = see(world, run).await;
        if wanted(&seen) {
            return seen;
        }
        assert!(Instant::now() < until, "still {seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Begun.
pub async fn started(world: &World, new: &NewJob) -> RunId {
    let job = create(world, new).await.expect("saved");
    let run = job.runs[0].id.clone();
    wait(world, &run, |run| run.state == RunState::Executing).await;
    run
}

async fn steer(world: &World, run: &RunId, how: &str) -> Result<Run, ClientError> {
    world.operator.post(&format!("/api/v1/runs/{run}/{how}"), &json!({})).await
}

pub async fn job(world: &World, job: &JobId) -> Job {
    world.operator.get(&format!("/api/v1/jobs/{job}")).await.expect("shown")
}

/// What it gets when it asks now.
pub async fn offered(agent: &mut Agent) -> Option<TaskOrder> {
    agent.check_in(0).await.expect("orders").tasks.pop().map(|delivery| {
        delivery.order.open(aright_shared::envelope::TASK, &[agent.reply.task_key], 1).expect("signed")
    })
}

async fn nobody_gets_anything(hosts: &mut [Agent]) {
    for agent in hosts {
        assert_eq!(offered(agent).await.map(|order| order.task), None, "{}", agent.host.facts.hostname);
    }
}

pub async fn ends(agent: &Agent, order: &TaskOrder, outcome: Outcome) {
    agent.running(order).await.expect("acknowledged");
    agent.result(&task_report(&order.task, outcome, HostChange::None)).await.expect("stored");
}

#[tokio::test]
async fn only_the_canaries_go_until_they_have_ended_well_and_one_that_refuses_is_replaced() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 4).await;
    let run = started(&world, &one_each(rollout(2, 0, 0))).await;
    let (_, first) = hosts[0].task().await;
    let (_, second) = hosts[1].task().await;
    nobody_gets_anything(&mut hosts[2..]).await;
    let refused = task_report(&first.task, Outcome::Refused, HostChange::None);
    let refused = TaskReport { refusal: Some(Refusal::ClockSkew), ..refused };
    hosts[0].result(&refused).await.expect("stored");
    let (_, third) = hosts[2].task().await;
    nobody_gets_anything(&mut hosts[3..]).await;
    ends(&hosts[1], &second, Outcome::Fixed).await;
    nobody_gets_anything(&mut hosts[3..]).await;
    ends(&hosts[2], &third, Outcome::Fixed).await;
    let (_, last) = hosts[3].task().await;
    // After the canaries a failure halts nothing.
    ends(&hosts[3], &last, Outcome::ScriptFailed).await;
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.assets.failed), (RunState::Completed, 1));
}

#[tokio::test]
async fn a_canary_that_fails_halts_the_run_and_nobody_else_gets_anything() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 3).await;
    let run = started(&world, &one_each(rollout(1, 0, 0))).await;
    let (_, order) = hosts[0].task().await;
    ends(&hosts[0], &order, Outcome::Regressed).await;
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.outcomes[&Outcome::Cancelled]), (RunState::Halted, 2));
    assert!(ended.detail.contains("canary"), "{}", ended.detail);
    nobody_gets_anything(&mut hosts[1..]).await;
}

#[tokio::test]
async fn so_many_are_at_work_at_a_time_and_the_next_one_follows_at_once() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 3).await;
    let run = started(&world, &one_each(rollout(0, 2, 0))).await;
    let (_, first) = hosts[2].task().await;
    let (_, second) = hosts[0].task().await;
    nobody_gets_anything(&mut hosts[1..2]).await;
    hosts[2].running(&first).await.expect("acknowledged");
    nobody_gets_anything(&mut hosts[1..2]).await;
    let next = hosts.remove(1);
    let waiting = tokio::spawn(async move {
        let mut next = next;
        (next.task().await.1, next)
    });
    ends(&hosts[0], &second, Outcome::Fixed).await;
    let (third, next) = waiting.await.expect("woken");
    let seen = see(&world, &run).await.assets;
    assert_eq!((seen.all, seen.begun, seen.ended), (3, 3, 1));
    ends(&next, &third, Outcome::Fixed).await;
    hosts[1].result(&task_report(&first.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.assets.ended), (RunState::Completed, 3));
}

#[tokio::test]
async fn a_host_that_took_its_turn_and_left_gives_it_up() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(rollout(0, 1, 0))).await;
    let (_, order) = hosts[0].task().await;
    // Its lease ends, and it is not there any more.
    world.pass(SECOND);
    nobody_gets_anything(&mut hosts[1..]).await;
    world.pass(2 * MINUTE);
    let (_, other) = hosts[1].task().await;
    assert_eq!(see(&world, &run).await.assets.begun, 1);
    // It was there all the time: the order that it has is good, and it counts again.
    hosts[0].running(&order).await.expect("acknowledged");
    assert_eq!(see(&world, &run).await.assets.begun, 2);
    ends(&hosts[1], &other, Outcome::Fixed).await;
    hosts[0].result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await.assets;
    assert_eq!((ended.begun, ended.ended), (2, 2));
}

#[tokio::test]
async fn a_host_that_cannot_take_its_turn_holds_up_nobody() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 3).await;
    let new = NewJob { hold_s: Some(1), ..one_each(rollout(0, 1, 0)) };
    let job = create(&world, &new).await.expect("saved");
    wait(&world, &job.runs[0].id, |run| run.state == RunState::Executing).await;
    // Of three that wait the first is there and runs nothing, the second was there a moment ago.
    let mut told = hosts[0].told(0);
    told.disabled = Some("by hand".into());
    let orders: Orders = hosts[0].client.post("/agent/v1/check-in", &told).await.expect("orders");
    assert!(orders.tasks.is_empty());
    assert_eq!(hosts[2].check_in(10).await.expect("orders").tasks.len(), 1);
}

#[tokio::test]
async fn a_turn_is_not_given_up_while_its_task_is_in_its_hosts_hands() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(rollout(0, 1, 0))).await;
    hosts[0].task().await;
    // The host came between the dispatcher's look and its step.
    let (of, asset) = (run.clone(), hosts[0].asset.clone());
    world.server.app.store.write(move |tx| run_assets::yield_turn(tx, &of, &asset)).await.expect("written");
    assert_eq!(see(&world, &run).await.assets.begun, 1);
    nobody_gets_anything(&mut hosts[1..]).await;
}

#[tokio::test]
async fn the_time_for_which_the_controller_was_away_is_no_silence_of_its_agents() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(rollout(0, 1, 1))).await;
    let (_, order) = hosts[0].task().await;
    hosts[0].running(&order).await.expect("acknowledged");
    // It is away for longer than the script can take and its agent may be silent.
    let world = world.restart_after((60 + 300 + 120 + 60) * SECOND, CONTENT).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(see(&world, &run).await.states.get(&TaskState::Running), Some(&1));
    // From now on it is.
    world.pass(121 * SECOND);
    let halted = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((halted.state, halted.outcomes[&Outcome::Interrupted]), (RunState::Halted, 1));
}

#[tokio::test]
async fn the_last_failure_allowed_halts_the_run() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 4).await;
    let run = started(&world, &one_each(rollout(0, 2, 2))).await;
    let (_, first) = hosts[0].task().await;
    let (_, second) = hosts[1].task().await;
    ends(&hosts[0], &first, Outcome::LostContact).await;
    let (_, third) = hosts[2].task().await;
    hosts[2].running(&third).await.expect("acknowledged");
    ends(&hosts[1], &second, Outcome::RanNotFixed).await;
    let halted = wait(&world, &run, |run| run.assets.failed == 2).await;
    assert_eq!((halted.state, halted.outcomes[&Outcome::Cancelled]), (RunState::Executing, 1));
    assert!(halted.detail.contains("2 of 4"), "{}", halted.detail);
    nobody_gets_anything(&mut hosts[3..]).await;
    // What ran ends as it does.
    hosts[2].result(&task_report(&third.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.outcomes[&Outcome::Fixed]), (RunState::Halted, 1));
}

#[tokio::test]
async fn nothing_begins_while_a_run_is_paused_and_all_goes_on_when_it_is_resumed() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(Rollout::default())).await;
    let (_, order) = hosts[0].task().await;
    let paused = steer(&world, &run, "pause").await.expect("paused");
    assert_eq!((paused.state, paused.detail.as_str()), (RunState::Paused, "paused by admin"));
    nobody_gets_anything(&mut hosts[1..]).await;
    ends(&hosts[0], &order, Outcome::Fixed).await;
    let again = problem(steer(&world, &run, "pause").await);
    assert_eq!((again.status, again.value.as_deref()), (409, Some("paused")));
    // Hosts that do not come have their time again.
    world.pass(30 * MINUTE);
    let resumed = steer(&world, &run, "resume").await.expect("resumed");
    assert!(resumed.expires.since(paused.expires) >= 30 * MINUTE);
    let twice = problem(steer(&world, &run, "resume").await);
    assert_eq!(twice.status, 409);
    [&again, &twice].into_iter().for_each(names_all);
    let (_, order) = hosts[1].task().await;
    ends(&hosts[1], &order, Outcome::Fixed).await;
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.detail.as_str()), (RunState::Completed, ""));
    let over = problem(steer(&world, &run, "cancel").await);
    assert_eq!(over.value.as_deref(), Some("completed"));
    names_all(&over);
}

#[tokio::test]
async fn a_run_that_was_halted_or_cancelled_keeps_its_reason() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(rollout(0, 0, 1))).await;
    let (_, first) = hosts[0].task().await;
    let (_, second) = hosts[1].task().await;
    hosts[1].running(&second).await.expect("acknowledged");
    steer(&world, &run, "pause").await.expect("paused");
    ends(&hosts[0], &first, Outcome::ScriptFailed).await;
    let resumed = steer(&world, &run, "resume").await.expect("resumed");
    assert!(resumed.detail.starts_with("halted: 1 of 2"), "{}", resumed.detail);
    let refused = problem(steer(&world, &run, "pause").await);
    assert_eq!(refused.status, 409);
    names_all(&refused);
    hosts[1].result(&task_report(&second.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.detail), (RunState::Halted, resumed.detail));
}

#[tokio::test]
async fn cancelling_a_run_ends_what_waits_and_its_job_and_no_other() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &one_each(Rollout::default())).await;
    let (_, order) = hosts[0].task().await;
    let cancelled = steer(&world, &run, "cancel").await.expect("cancelled");
    assert_eq!((cancelled.state, cancelled.outcomes[&Outcome::Cancelled]), (RunState::Cancelled, 2));
    assert_eq!(problem(hosts[0].running(&order).await).kind, "not-to-run");
    assert_eq!(job(&world, &cancelled.job).await.state, JobState::Ended);
    nobody_gets_anything(&mut hosts).await;
}

#[tokio::test]
async fn a_run_that_ends_while_another_one_is_cancelled_ends_its_job_too() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 1).await;
    let first = started(&world, &one_each(Rollout::default())).await;
    let second =
        create(&world, &NewJob { hold_s: Some(600), ..one_each(Rollout::default()) }).await.expect("saved");
    let (_, order) = hosts[0].task().await;
    // The dispatcher is slow.
    let slow = world.server.app.background.lock().await;
    ends(&hosts[0], &order, Outcome::Fixed).await;
    steer(&world, &second.runs[0].id, "cancel").await.expect("cancelled");
    drop(slow);
    let ended = wait(&world, &first, |run| run.state.is_final()).await;
    let until = Instant::now() + Duration::from_secs(5);
    while job(&world, &ended.job).await.state != JobState::Ended {
        assert!(Instant::now() < until, "the job of the completed run goes on for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn one_switch_stops_all_and_its_release_lets_all_go_on() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 3).await;
    let run = started(&world, &one_each(Rollout::default())).await;
    let (_, runs) = hosts[0].task().await;
    hosts[0].running(&runs).await.expect("acknowledged");
    let (_, delivered) = hosts[1].task().await;
    let stop: Stop =
        world.operator.post("/api/v1/stop", &json!({"reason": "a bad fix"})).await.expect("stopped");
    let stopped = stop.stopped.expect("is set");
    assert_eq!((stopped.by.as_str(), stopped.reason.as_str()), ("admin", "a bad fix"));
    let not_now = problem(hosts[1].running(&delivered).await);
    assert_eq!(not_now.kind, "not-to-run");
    names_all(&not_now);
    nobody_gets_anything(&mut hosts[1..]).await;
    let other = create(&world, &one_each(Rollout::default())).await.expect("saved");
    world.pass(2 * SECOND);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(see(&world, &other.runs[0].id).await.state, RunState::Pending, "no run begins");
    // It ran before.
    hosts[0].result(&task_report(&runs.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let long = "x".repeat(501);
    let refused: Result<Stop, _> = world.operator.post("/api/v1/stop", &json!({"reason": long})).await;
    names_all(&problem(refused));
    let gone: Stop = world.operator.delete("/api/v1/stop").await.expect("released");
    assert_eq!(gone, Stop::default());
    let (_, last) = hosts[2].task().await;
    ends(&hosts[2], &last, Outcome::Fixed).await;
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.outcomes[&Outcome::Fixed], ended.outcomes[&Outcome::Cancelled]), (2, 1));
}

#[tokio::test]
async fn hosts_that_do_not_come_end_undelivered_when_the_run_expires() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let run = started(&world, &NewJob { expiry_s: Some(60), ..one_each(Rollout::default()) }).await;
    let (_, order) = hosts[0].task().await;
    hosts[0].running(&order).await.expect("acknowledged");
    world.pass(61 * SECOND);
    let expired = wait(&world, &run, |run| run.outcomes.get(&Outcome::Undelivered) == Some(&1)).await;
    assert_eq!(expired.state, RunState::Executing, "what runs is waited for");
    nobody_gets_anything(&mut hosts[1..]).await;
    hosts[0].result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &run, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.assets.failed), (RunState::Expired, 1));
}

#[tokio::test]
async fn a_pending_run_that_is_edited_waits_anew_and_runs_what_the_job_is_then() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 2).await;
    let long = NewJob { hold_s: Some(600), ..one_each(Rollout::default()) };
    let saved = create(&world, &long).await.expect("saved");
    world.pass(5 * MINUTE);
    let only = vec![hosts[1].asset.clone()];
    let edited = NewJob { exclude_assets: only, name: "fewer".into(), ..long.clone() };
    let put = async |new: &NewJob| -> Result<Job, ClientError> {
        world.operator.put(&format!("/api/v1/jobs/{}", saved.id), new).await
    };
    let after = put(&edited).await.expect("edited");
    assert_eq!((after.name.as_str(), after.assets, after.runs.len()), ("fewer", 1, 1));
    assert_eq!(after.runs[0].id, saved.runs[0].id);
    assert!(after.runs[0].due.since(saved.runs[0].due) >= 5 * MINUTE);
    let refused = problem(put(&NewJob { name: String::new(), ..long.clone() }).await);
    let draft = problem(put(&NewJob { draft: true, ..long.clone() }).await);
    [&refused, &draft].into_iter().for_each(names_all);
    assert_eq!(job(&world, &saved.id).await, after, "a refused edit changes nothing");
    world.pass(10 * MINUTE);
    let run = &after.runs[0].id;
    wait(&world, run, |run| run.state == RunState::Executing).await;
    nobody_gets_anything(&mut hosts[1..]).await;
    let (_, order) = hosts[0].task().await;
    ends(&hosts[0], &order, Outcome::Fixed).await;
    wait(&world, run, |run| run.state == RunState::Completed).await;
    let ended = problem(put(&edited).await);
    assert_eq!(ended.kind, "job-ended");
    names_all(&ended);
}

#[tokio::test]
async fn a_job_that_is_deactivated_does_not_run_until_it_is_activated() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 1).await;
    let saved =
        create(&world, &NewJob { hold_s: Some(60), ..one_each(Rollout::default()) }).await.expect("saved");
    let turn = async |how: &str| -> Result<Job, ClientError> {
        world.operator.post(&format!("/api/v1/jobs/{}/{how}", saved.id), &json!({})).await
    };
    let off = turn("deactivate").await.expect("deactivated");
    assert_eq!((off.state, off.runs[0].state), (JobState::Inactive, RunState::Cancelled));
    let twice = problem(turn("deactivate").await);
    world.pass(2 * MINUTE);
    nobody_gets_anything(&mut hosts).await;
    let on = turn("activate").await.expect("activated");
    assert_eq!((on.state, on.runs.len(), on.runs[0].state), (JobState::Active, 2, RunState::Pending));
    let again = problem(turn("activate").await);
    [&twice, &again].into_iter().for_each(names_all);
    world.pass(61 * SECOND);
    let (_, order) = hosts[0].task().await;
    ends(&hosts[0], &order, Outcome::Fixed).await;
    wait(&world, &on.runs[0].id, |run| run.state == RunState::Completed).await;
    assert_eq!(job(&world, &saved.id).await.state, JobState::Ended);
}

#[tokio::test]
async fn two_runs_on_one_host_take_turns() {
    let world = World::start().await;
    let mut hosts = hosts(&world, 1).await;
    let first = started(&world, &at_once()).await;
    let second = started(&world, &at_once()).await;
    let mut order_of = Vec::new();
    for _ in 0..4 {
        let (_, order) = hosts[0].task().await;
        ends(&hosts[0], &order, Outcome::RanNotFixed).await;
        order_of.push(order.run.expect("of a run"));
    }
    assert_eq!(order_of, [first.clone(), second.clone(), first, second]);
    let page: aright_shared::api::Page<Task> = world.operator.get("/api/v1/tasks").await.expect("listed");
    assert!(page.items.iter().all(|task| task.outcome == Some(Outcome::RanNotFixed)));
}
