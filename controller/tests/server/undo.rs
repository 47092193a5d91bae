//! What was kept is taken back: asked for by an operator, withdrawn again, told by the host itself.

use aright_shared::api::{Run, Task, TaskDetail};
use aright_shared::client::ClientError;
use aright_shared::id::TaskId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{TaskKind, TaskState};
use aright_shared::time::{DAY, MINUTE};
use aright_shared::wire::Undone;

use crate::dispatch::started;
use crate::world::{Agent, World, names_all, problem, task_report};

/// A first task that keeps its change, and a second that waits.
async fn kept(world: &World) -> (Agent, TaskId) {
    let (mut agent, _) = started(world).await;
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("acknowledged");
    agent.result(&task_report(&order.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    (agent, order.task)
}

async fn undo(world: &World, task: &TaskId) -> Result<Task, ClientError> {
    world.operator.post(&format!("/api/v1/tasks/{task}/undo"), &()).await
}

async fn cancel(world: &World, task: &TaskId) -> Result<Task, ClientError> {
    world.operator.post(&format!("/api/v1/tasks/{task}/cancel"), &()).await
}

async fn shown(world: &World, task: &TaskId) -> Task {
    let detail: TaskDetail = world.operator.get(&format!("/api/v1/tasks/{task}")).await.expect("shown");
    detail.task
}

async fn revision(world: &World, task: &Task) -> u64 {
    let run = task.run.as_ref().expect("of a run");
    let run: Run = world.operator.get(&format!("/api/v1/runs/{run}")).await.expect("shown");
    run.revision
}

/// Who and what, as the audit log has it, of one action.
fn audited(world: &World, action: &str) -> Vec<(String, String, String)> {
    let database = rusqlite::Connection::open(world.folder.path().join("data/aright.db")).expect("opens");
    let mut question = database
        .prepare("SELECT who, subject, detail FROM audit WHERE action = $1 ORDER BY id")
        .expect("prepared");
    let rows =
        question.query_map([action], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("asked");
    rows.collect::<Result<_, _>>().expect("read")
}

#[tokio::test]
async fn an_undo_that_waits_can_be_withdrawn_and_one_that_runs_goes_to_its_end() {
    let world = World::start().await;
    let (mut agent, fix) = kept(&world).await;

    let first = undo(&world, &fix).await.expect("queued");
    let withdrawn = cancel(&world, &first.id).await.expect("withdrawn");
    assert_eq!((withdrawn.state, withdrawn.outcome), (TaskState::Ended, Some(Outcome::Cancelled)));
    assert_eq!(withdrawn.detail, "cancelled by admin before it began");
    assert_eq!(shown(&world, &fix).await.change, Some(HostChange::Kept));
    let again = problem(cancel(&world, &first.id).await);
    assert_eq!((again.status, again.kind.as_str()), (409, "task-ended"));
    names_all(&again);

    let second = undo(&world, &fix).await.expect("a withdrawn one stands in nobody's way");
    let (_, order) = agent.task().await;
    assert_eq!((order.kind, &order.task), (TaskKind::Undo, &second.id));
    agent.running(&order).await.expect("acknowledged");
    let runs = problem(cancel(&world, &second.id).await);
    assert_eq!((runs.status, runs.kind.as_str()), (409, "undo-runs"));
    names_all(&runs);
    assert!(agent.check_in(0).await.expect("orders").cancel.is_empty());
    let before = revision(&world, &shown(&world, &fix).await).await;
    agent.result(&task_report(&order.task, Outcome::Ran, HostChange::Undone)).await.expect("stored");
    let fix = shown(&world, &fix).await;
    assert_eq!(fix.change, Some(HostChange::Undone));
    assert!(revision(&world, &fix).await > before, "who watches the run is not told");
}

#[tokio::test]
async fn an_undo_on_the_host_itself_is_noted_once_and_audited() {
    let world = World::start().await;
    let (agent, fix) = kept(&world).await;
    let (path, told) = (
        format!("/agent/v1/tasks/{fix}/undone"),
        Undone { change: HostChange::UndoConflict, detail: "/etc/x: changed by somebody else".into() },
    );
    let before = revision(&world, &shown(&world, &fix).await).await;
    for _ in 0..2 {
        agent.client.post::<_, ()>(&path, &told).await.expect("acknowledged however often");
    }
    let task = shown(&world, &fix).await;
    assert_eq!((task.outcome, task.change), (Some(Outcome::Fixed), Some(HostChange::UndoConflict)));
    assert!(revision(&world, &task).await > before);
    let detail = "undo_conflict: /etc/x: changed by somebody else".to_owned();
    let expected = vec![(agent.asset.to_string(), fix.to_string(), detail)];
    assert_eq!(audited(&world, "task.undone_locally"), expected);
    assert_eq!(problem(undo(&world, &fix).await).kind, "nothing-to-undo");

    let other = world.enroll("web02").await;
    assert_eq!(problem(other.client.post::<_, ()>(&path, &told).await).status, 404, "another's task");
    let odd = Undone { change: HostChange::Kept, detail: String::new() };
    names_all(&problem(agent.client.post::<_, ()>(&path, &odd).await));
}

#[tokio::test]
async fn what_has_no_result_cannot_have_been_undone() {
    let world = World::start().await;
    let (mut agent, _) = started(&world).await;
    let (_, order) = agent.task().await;
    let told = Undone { change: HostChange::Undone, detail: String::new() };
    let path = format!("/agent/v1/tasks/{}/undone", order.task);
    assert_eq!(problem(agent.client.post::<_, ()>(&path, &told).await).kind, "not-ended");
}

#[tokio::test]
async fn one_person_may_ask_for_thirty_undos_a_minute() {
    let world = World::start().await;
    let (_, fix) = kept(&world).await;
    for _ in 0..30 {
        let asked = undo(&world, &fix).await.expect("queued");
        cancel(&world, &asked.id).await.expect("withdrawn");
    }
    match undo(&world, &fix).await.expect_err("too many") {
        ClientError::Busy { after_s, .. } => assert!((1..=60).contains(&after_s), "{after_s}"),
        other => panic!("{other}"),
    }
    let undos = audited(&world, "task.undo");
    assert_eq!(undos.len(), 30, "one was stored all the same");
    assert!(undos.iter().all(|(who, subject, _)| who == "admin" && *subject == fix.to_string()), "{undos:?}");
    world.pass(MINUTE);
    undo(&world, &fix).await.expect("after a while");
}

#[tokio::test]
async fn one_that_nobody_came_for_says_what_to_ask_for_again() {
    let world = World::start().await;
    let (agent, fix) = kept(&world).await;
    let asked = undo(&world, &fix).await.expect("queued");
    drop(agent);
    world.pass(8 * DAY);
    // Its session has ended with the days.
    let world = world.restart().await;
    for _ in 0..100 {
        let task = shown(&world, &asked.id).await;
        if task.state == TaskState::Ended {
            assert_eq!(task.outcome, Some(Outcome::Undelivered));
            assert!(task.detail.ends_with("look at its agent, then ask for the undo again"), "{task:?}");
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it waits for ever");
}
