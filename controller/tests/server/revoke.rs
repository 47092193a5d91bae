//! The end of a host's trust: by an operator, by itself; nothing reaches it afterwards.

use std::time::Duration;

use aright_shared::api::{Asset, AuditEntry, NewJob, Page, PostureFilter, RunState};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskState;
use aright_shared::time::{DAY, HOUR};
use aright_shared::wire::{Orders, RenewReply, RenewRequest};

use crate::dispatch::{started, tasks, wait};
use crate::jobs::{at_once, create};
use crate::world::{Agent, World, names_all, problem, task_report};

async fn revoke(world: &World, agent: &Agent, reason: &str) {
    let path = format!("/api/v1/assets/{}/revoke", agent.asset);
    let body = serde_json::json!({ "reason": reason });
    let asset: Asset = world.operator.post(&path, &body).await.expect("revoked");
    assert_eq!((asset.eligible, asset.reasons.as_slice()), (false, &["revoked".to_owned()][..]));
}

async fn lines(world: &World) -> Vec<(String, String, String)> {
    let page: Page<AuditEntry> =
        world.operator.get("/api/v1/audit?action=asset.revoke").await.expect("listed");
    page.items.into_iter().map(|line| (line.who, line.subject, line.detail)).collect()
}

#[tokio::test]
async fn a_held_check_in_is_refused_at_once_and_for_good() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    agent.check_in(0).await.expect("orders");
    let told = agent.told(40);
    let held = agent.client.post::<_, Orders>("/agent/v1/check-in", &told);
    let held = tokio::time::timeout(Duration::from_secs(20), held);
    let (refused, ()) = tokio::join!(held, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        revoke(&world, &agent, "the laptop was lost").await;
    });
    let refused = problem(refused.expect("at once"));
    assert_eq!((refused.status, refused.kind.as_str()), (403, "revoked"));
    names_all(&refused);
    assert!(refused.remedy.expect("a remedy").contains("aright-agent enroll --again"));
    assert_eq!(
        lines(&world).await,
        [("admin".to_owned(), agent.asset.to_string(), "the laptop was lost".to_owned())]
    );
    let world = world.restart().await;
    agent.client = world.agent(agent.host, &agent.reply).client;
    let renew = RenewRequest { csr: String::new() };
    let still = problem(agent.client.post::<_, RenewReply>("/agent/v1/renew", &renew).await);
    assert_eq!(still.kind, "revoked", "also after a restart");
}

#[tokio::test]
async fn what_waits_for_a_revoked_host_ends_and_what_was_queued_behind_its_back_is_not_delivered() {
    let world = World::start().await;
    let (mut agent, job) = started(&world).await;
    let (_, first) = agent.task().await;
    agent.running(&first).await.expect("acknowledged");
    agent.result(&task_report(&first.task, Outcome::Fixed, HostChange::Kept)).await.expect("stored");
    revoke(&world, &agent, "").await;
    let run = wait(&world, &job, |run| run.state.is_final()).await;
    assert_eq!(run.state, RunState::Completed);
    let mut ends: Vec<_> = tasks(&world).await.into_iter().map(|task| task.outcome).collect();
    ends.sort();
    assert_eq!(ends, [Some(Outcome::Fixed), Some(Outcome::Cancelled)]);

    // Whatever the order of check-ins, runs and revocation: what memory says may be older than the store.
    let live = world.server.app.presence.agent(&agent.asset).expect("is there");
    live.state().revoked = false;
    let its = PostureFilter { asset: vec![agent.asset.clone()], ..PostureFilter::default() };
    create(&world, &NewJob { filter: Some(its), ..at_once() }).await.expect("saved");
    until_queued(&world).await;
    live.state().work = true;
    assert!(agent.check_in(2).await.expect("orders").tasks.is_empty());
}

async fn until_queued(world: &World) {
    for _ in 0..200 {
        if tasks(world).await.iter().any(|task| task.state == TaskState::Queued) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no task was queued: {:#?}", tasks(world).await);
}

#[tokio::test]
async fn a_host_leaves_once_with_a_certificate_that_ended_too() {
    let world = World::start().await;
    let agent = world.enroll("web01").await;
    world.pass(14 * DAY + HOUR);
    agent.client.post::<_, ()>("/agent/v1/leave", &()).await.expect("left");
    let again = problem(agent.client.post::<_, ()>("/agent/v1/leave", &()).await);
    assert_eq!(again.kind, "revoked");
    let mut world = world;
    world.log_in_again().await;
    let asset = agent.asset.to_string();
    assert_eq!(lines(&world).await, [(asset.clone(), asset, "the host left by itself".to_owned())]);
    let stranger = problem(world.stranger().post::<_, ()>("/agent/v1/leave", &()).await);
    assert_eq!((stranger.status, stranger.kind.as_str()), (401, "certificate-required"));
}
