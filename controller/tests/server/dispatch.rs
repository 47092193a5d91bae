//! From due to completed: one task at a time, at most once, honest ends.

use std::time::{Duration, Instant};

use aright_shared::api::{Job, NewJob, Page, Run, RunState, Task, TaskDetail};
use aright_shared::digest::Digest;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{TaskOrder, TaskState};
use aright_shared::time::{HOUR, SECOND};
use aright_shared::trust::TrustDocument;

use crate::jobs::{at_once, create};
use crate::scripts::{approved, job_of};
use crate::world::{Agent, World, problem, task_report};

pub async fn started(world: &World) -> (Agent, Job) {
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let job = create(world, &at_once()).await.expect("saved");
    (agent, job)
}

async fn run(world: &World, job: &Job) -> Run {
    world.operator.get(&format!("/api/v1/runs/{}", job.runs[0].id)).await.expect("shown")
}

/// Watches until it is as wanted.
pub async fn wait(world: &World, job: &Job, wanted: impl Fn(&Run) -> bool) -> Run {
    let until = Instant::now() + Duration::from_secs(20);
    let mut seen = run(world, job).await;
    while !wanted(&seen) {
        assert!(Instant::now() < until, "still {seen:?}");
        let path = format!("/api/v1/runs/{}?wait_s=2&revision={}", seen.id, seen.revision);
        seen = world.operator.get(&path).await.expect("shown");
    }
    seen
}

pub async fn tasks(world: &World) -> Vec<Task> {
    let page: Page<Task> = world.operator.get("/api/v1/tasks").await.expect("listed");
    page.items
}

#[tokio::test]
async fn a_run_is_worked_off_one_task_at_a_time_and_completes_with_counts() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (delivery, order) = agent.task().await;
    assert_eq!((&delivery.task, &order.asset), (&order.task, &agent.asset));
    assert_eq!(order.params["ARIGHT_SET"], "365");
    assert_eq!(order.targets.len(), 1);
    assert_eq!(order.script, Digest::of(delivery.script.as_bytes()));
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty(), "one at a time");
    agent.running(&order).await.expect("acknowledged");
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty(), "one at a time");
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let (_, second) = agent.task().await;
    assert_eq!(second.targets.len(), 2, "both instances in one order");
    agent.running(&second).await.expect("acknowledged");
    agent.result(&task_report(&second.task, Outcome::RanNotFixed, HostChange::None)).await.expect("stored");
    let ended = wait(&world, &job, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.tasks), (RunState::Completed, 2));
    assert_eq!((ended.outcomes[&Outcome::Fixed], ended.outcomes[&Outcome::RanNotFixed]), (1, 1));
    let job: Job = world.operator.get(&format!("/api/v1/jobs/{}", job.id)).await.expect("shown");
    assert_eq!(job.state.as_str(), "ended");
    let shown: TaskDetail =
        world.operator.get(&format!("/api/v1/tasks/{}", order.task)).await.expect("shown");
    assert!(shown.order.is_some() && shown.report.is_some());
    assert_eq!(shown.task.script.as_str(), "max-days-fix");
}

#[tokio::test]
async fn running_is_acknowledged_once_and_only_to_its_own_order_and_asset() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, lost) = agent.task().await;
    // It was lost on the way: the lease runs out and it is offered again, valid anew.
    let (_, order) = agent.task().await;
    assert_eq!((&lost.task, &lost.nonce), (&order.task, &order.nonce), "one task, one nonce");
    assert!(order.not_after > lost.not_after);
    let forged = TaskOrder { nonce: "other".into(), ..order.clone() };
    assert_eq!(problem(agent.running(&forged).await).status, 409, "another order's nonce");
    let mut other = world.enroll("web02").await;
    assert_eq!(problem(other.running(&order).await).status, 404, "another asset's");
    assert_eq!(other.check_in(0).await.expect("orders").tasks.len(), 0);
    agent.running(&lost).await.expect("whichever copy arrived");
    wait(&world, &job, |run| run.states.get(&TaskState::Running) == Some(&1)).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty(), "never delivered again");
    // The acknowledgement was lost, or the host was set back: it may not start, and that is said.
    let again = problem(agent.running(&order).await);
    assert_eq!((again.status, again.kind.as_str()), (409, "not-to-run"));
    let run = wait(&world, &job, |run| run.outcomes.get(&Outcome::Interrupted) == Some(&1)).await;
    assert_eq!(run.states.get(&TaskState::Running), None);
    assert_eq!(problem(agent.running(&order).await).status, 409);
    let (_, next) = agent.task().await;
    assert_ne!((&next.task, &next.nonce), (&order.task, &order.nonce));
}

#[tokio::test]
async fn a_result_is_stored_once_however_often_it_is_sent() {
    let world = World::start().await;
    let (mut agent, _) = started(&world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    let report = task_report(&order.task, Outcome::Fixed, HostChange::Kept);
    agent.result(&report).await.expect("stored");
    agent.result(&report).await.expect("acknowledged again");
    agent
        .result(&task_report(&order.task, Outcome::ScriptFailed, HostChange::None))
        .await
        .expect("acknowledged");
    let shown: TaskDetail =
        world.operator.get(&format!("/api/v1/tasks/{}", order.task)).await.expect("shown");
    assert_eq!(shown.report, Some(report));
    let mut other = task_report(&order.task, Outcome::Refused, HostChange::None);
    assert_eq!(problem(agent.result(&other).await).field.as_deref(), Some("refusal"));
    other.refusal = Some(Refusal::BadSignature);
    let stranger = world.enroll("web02").await;
    assert_eq!(problem(stranger.result(&other).await).status, 404, "another asset's");
}

#[tokio::test]
async fn everything_survives_a_restart_and_the_next_check_in_finds_its_work() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    let world = world.restart().await;
    let identity = agent.host.identity(&agent.reply.certificate);
    agent.client = crate::world::client(&world.agents_url(), world.authority(), Some(identity));
    let states: Vec<_> = tasks(&world).await.iter().map(|task| task.state).collect();
    assert_eq!(states, [TaskState::Running, TaskState::Queued]);
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let (_, second) = agent.task().await;
    agent.running(&second).await.expect("acknowledged");
    agent.result(&task_report(&second.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &job, |run| run.state.is_final()).await;
    assert_eq!(ended.outcomes[&Outcome::Fixed], 2);
}

#[tokio::test]
async fn a_spoilt_task_holds_up_nobody_else() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let short = NewJob { expiry_s: Some(1), ..at_once() };
    let job = create(&world, &short).await.expect("saved");
    wait(&world, &job, |run| run.tasks > 0).await;
    let database = rusqlite::Connection::open(world.folder.path().join("data/aright.db")).expect("opens");
    database.pragma_update(None, "foreign_keys", false).expect("off");
    database.execute("UPDATE tasks SET asset = 'spoilt'", []).expect("spoilt");
    world.pass(2 * SECOND);

    let next = create(&world, &at_once()).await.expect("saved");
    wait(&world, &next, |run| run.tasks > 0).await;
}

#[tokio::test]
async fn a_host_that_does_not_come_ends_undelivered_and_a_silent_one_interrupted_until_it_speaks() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    // Its timeout, the time to confirm and a margin.
    world.pass((60 + 300 + 110) * SECOND);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(run(&world, &job).await.states.get(&TaskState::Running), Some(&1));
    world.pass(11 * SECOND);
    wait(&world, &job, |run| run.outcomes.get(&Outcome::Interrupted) == Some(&1)).await;
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    wait(&world, &job, |run| run.outcomes.get(&Outcome::Fixed) == Some(&1)).await;
    let mut late = world.enroll("web02").await;
    late.see_failures();
    late.report_all().await;
    let only = aright_shared::api::PostureFilter { hostname: vec!["web02".into()], ..Default::default() };
    let short = NewJob { expiry_s: Some(1), filter: Some(only), ..at_once() };
    let job = create(&world, &short).await.expect("saved");
    let ended = wait(&world, &job, |run| run.state.is_final()).await;
    assert_eq!(ended.outcomes[&Outcome::Undelivered], 2);
}

#[tokio::test]
async fn cancelling_ends_what_has_not_begun_and_lets_the_rest_end_by_itself() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    let cancelled: Job = world
        .operator
        .post(&format!("/api/v1/jobs/{}/cancel", job.id), &serde_json::json!({}))
        .await
        .expect("done");
    assert_eq!(cancelled.runs[0].outcomes[&Outcome::Cancelled], 1);
    assert_eq!(cancelled.runs[0].state, RunState::Executing);
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = wait(&world, &job, |run| run.state.is_final()).await;
    assert_eq!((ended.state, ended.outcomes[&Outcome::Fixed]), (RunState::Cancelled, 1));
}

#[tokio::test]
async fn a_delivered_task_that_is_cancelled_is_not_to_run() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, order) = agent.task().await;
    let _: Job = world
        .operator
        .post(&format!("/api/v1/jobs/{}/cancel", job.id), &serde_json::json!({}))
        .await
        .expect("done");
    assert_eq!(problem(agent.running(&order).await).status, 409);
    assert_eq!(run(&world, &job).await.state, RunState::Cancelled);
}

#[tokio::test]
async fn a_custom_script_comes_with_its_approval_on_every_asset_of_the_job() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    let script = approved(&world).await;
    create(&world, &job_of(&agent.asset)).await.expect("saved");
    let (delivery, order) = agent.task().await;
    let document = TrustDocument::pin(&agent.reply.trust, agent.reply.root, agent.reply.root.fingerprint());
    let envelope = delivery.approval.expect("an approval");
    let approval = document.expect("trusted").approval(&envelope).expect("believed");
    assert_eq!((approval.script, order.script), (script.script.digest, script.script.digest));
    assert_eq!(order.approval, Some(envelope.digest().expect("a digest")));
    assert_eq!((delivery.script, order.params["ARIGHT_WORD"].as_str()), (script.bytes, "hello"));
    assert!(order.targets.is_empty());
}

#[tokio::test]
async fn a_run_is_pending_for_its_hold_time_and_then_begins_by_itself() {
    let world = World::start_as(false).await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let job = create(&world, &NewJob { hold_s: None, ..at_once() }).await.expect("saved");
    world.pass(14 * 60 * SECOND + 50 * SECOND);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(run(&world, &job).await.state, RunState::Pending);
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty());
    world.pass(10 * SECOND);
    wait(&world, &job, |run| run.state == RunState::Executing).await;
    agent.task().await;
}

#[tokio::test]
async fn an_approval_that_ends_before_its_task_is_delivered_refuses_it() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    approved(&world).await;
    let job = create(&world, &job_of(&agent.asset)).await.expect("saved");
    wait(&world, &job, |run| run.state == RunState::Executing).await;
    world.pass(2 * HOUR);
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty());
    wait(&world, &job, |run| run.outcomes.get(&Outcome::Refused) == Some(&1)).await;
    assert_eq!(tasks(&world).await[0].refusal, Some(Refusal::NotApproved));
}

#[tokio::test]
async fn a_disabled_agent_gets_no_task_until_it_is_enabled() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    wait(&world, &job, |run| run.state == RunState::Executing).await;
    let mut told = agent.told(0);
    told.disabled = Some("by hand".into());
    let orders: aright_shared::wire::Orders =
        agent.client.post("/agent/v1/check-in", &told).await.expect("orders");
    assert!(orders.tasks.is_empty());
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
}
