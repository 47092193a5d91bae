//! A task that runs is asked to end: on the check-in that is held meanwhile, and with each later one.

use std::time::Duration;

use aright_shared::api::{Task, TaskDetail};
use aright_shared::client::ClientError;
use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{TaskOrder, TaskState};
use aright_shared::wire::Orders;
use tokio::task::JoinHandle;

use crate::dispatch::started;
use crate::world::{Agent, World, names_all, problem, task_report};

/// Longer than anything here takes, and far from it.
const HELD_S: u32 = 50;

async fn running(world: &World) -> (Agent, TaskOrder) {
    let (mut agent, _) = started(world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    (agent, order)
}

type Held = JoinHandle<Result<Orders, ClientError>>;

/// A check-in that stays open.
fn hold(agent: &mut Agent) -> Held {
    let (client, told) = (agent.client.clone(), agent.told(HELD_S));
    tokio::spawn(async move { client.post("/agent/v1/check-in", &told).await })
}

/// What it brings before its time is over.
async fn told(held: Held) -> Orders {
    let early = tokio::time::timeout(Duration::from_secs(u64::from(HELD_S) / 2), held).await;
    early.expect("not on the held one").expect("joins").expect("orders")
}

async fn cancel(world: &World, task: &TaskId) -> Result<Task, ClientError> {
    world.operator.post(&format!("/api/v1/tasks/{task}/cancel"), &()).await
}

#[tokio::test]
async fn a_running_task_is_cancelled_on_the_held_check_in_and_told_again_until_it_has_ended() {
    let world = World::start().await;
    let (mut agent, order) = running(&world).await;
    let wanted = std::slice::from_ref(&order.task);
    let held = hold(&mut agent);
    let asked = cancel(&world, &order.task).await.expect("asked");
    assert_eq!((asked.state, asked.cancel_by.as_deref()), (TaskState::Running, Some("admin")));
    assert_eq!(told(held).await.cancel, wanted);

    // It takes a while to end: meanwhile a check-in is held as ever, until somebody asks again.
    let mut held = hold(&mut agent);
    let at_once = tokio::time::timeout(Duration::from_millis(500), &mut held).await;
    assert!(at_once.is_err(), "answered at once, over and over: {at_once:?}");
    cancel(&world, &order.task).await.expect("asked again");
    assert_eq!(told(held).await.cancel, wanted);
    assert_eq!(agent.check_in(0).await.expect("orders").cancel, wanted);

    // It stands in the store.
    let world = world.restart().await;
    let (reply, counter) = (agent.reply.clone(), agent.counter);
    let mut agent = Agent { counter, ..world.agent(agent.host, &reply) };
    assert_eq!(told(hold(&mut agent)).await.cancel, wanted);

    agent.result(&task_report(&order.task, Outcome::Cancelled, HostChange::None)).await.expect("stored");
    let (_, next) = agent.task().await;
    assert_ne!(next.task, order.task);
    assert!(agent.check_in(0).await.expect("orders").cancel.is_empty());
    let ended: TaskDetail =
        world.operator.get(&format!("/api/v1/tasks/{}", order.task)).await.expect("shown");
    assert_eq!(
        (ended.task.outcome, ended.task.cancel_by.as_deref()),
        (Some(Outcome::Cancelled), Some("admin"))
    );
}

#[tokio::test]
async fn what_comes_too_late_changes_nothing_and_is_refused_after_the_end() {
    let world = World::start().await;
    let (mut agent, order) = running(&world).await;
    cancel(&world, &order.task).await.expect("asked");
    cancel(&world, &order.task).await.expect("asked again");
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    let ended = problem(cancel(&world, &order.task).await);
    assert_eq!((ended.status, ended.kind.as_str()), (409, "task-ended"));
    assert!(ended.remedy.as_deref().is_some_and(|words| words.contains("aright task undo")), "{ended:?}");
    names_all(&ended);
    assert!(agent.check_in(0).await.expect("orders").cancel.is_empty());
}

#[tokio::test]
async fn a_delivered_task_ends_at_once_and_is_not_begun() {
    let world = World::start().await;
    let (mut agent, _) = started(&world).await;
    let (_, order) = agent.task().await;
    let ended = cancel(&world, &order.task).await.expect("ended");
    assert_eq!((ended.state, ended.outcome), (TaskState::Ended, Some(Outcome::Cancelled)));
    assert_eq!(problem(agent.running(&order).await).kind, "not-to-run");
    agent.result(&task_report(&order.task, Outcome::Interrupted, HostChange::None)).await.expect("stored");
    let shown: TaskDetail =
        world.operator.get(&format!("/api/v1/tasks/{}", order.task)).await.expect("shown");
    assert_eq!(shown.task.outcome, Some(Outcome::Cancelled), "what the operator ended stays so");
    assert_eq!(problem(cancel(&world, &TaskId::new()).await).status, 404);
}
