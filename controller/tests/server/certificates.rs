//! The controller's own certificates, over a year and more: by a clock that is set.

use std::time::Duration;

use aright_shared::api::Health;
use aright_shared::client::{Client, Pinned, tls_config};
use aright_shared::time::{DAY, MINUTE};
use aright_shared::wire::{RenewReply, RenewRequest, TimeReply, TimeRequest};

use crate::world::{World, client};

/// For how many days from now the intermediate lasts.
fn issued_until(world: &World) -> i64 {
    world.server.app.authority().expires().since(world.server.app.now()) / DAY
}

async fn until(world: &World, what: &str, is_so: impl Fn(&World) -> bool) {
    for _ in 0..100 {
        if is_so(world) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{what}: not within 10 s");
}

#[tokio::test]
async fn with_the_root_key_at_hand_the_intermediate_renews_itself_and_agents_stay() {
    let mut world = World::start().await;
    let mut agent = world.enroll("web1").await;
    agent.check_in(0).await.expect("in");
    // Past the end of the first intermediate and of everything that it issued.
    for _ in 0..3 {
        world.pass(125 * DAY);
        until(&world, "a renewal", |world| issued_until(world) > 120).await;
    }
    assert!(serves(&world).await, "375 days on");
    // Its own certificate is over, and renews.
    let renew = RenewRequest { csr: agent.host.csr() };
    let renewed: RenewReply = agent.client.post("/agent/v1/renew", &renew).await.expect("renewed");
    let identity = agent.host.identity(&renewed.certificate);
    agent.client = client(&world.agents_url(), world.authority(), Some(identity));
    agent.check_in(0).await.expect("in");
    world.log_in_again().await;
    let health: Health = world.operator.get("/api/v1/health").await.expect("well");
    assert!(!health.problems.iter().any(|problem| problem.contains("intermediate")), "{health:?}");
}

#[tokio::test]
async fn without_it_the_end_is_told_of_and_what_is_made_by_hand_is_taken_up_while_it_serves() {
    let world = World::start().await;
    let data = world.folder.path().join("data");
    let root_key = world.folder.path().join("authority-root.key");
    std::fs::rename(data.join("offline/authority-root.key"), &root_key).expect("moved away");
    let problems = async || -> Vec<String> {
        let health: Health = world.operator.get("/api/v1/health").await.expect("answers");
        health.problems
    };
    world.pass(270 * DAY);
    assert_eq!(problems().await, Vec::<String>::new(), "95 days before");
    world.pass(10 * DAY);
    let told = problems().await;
    assert!(told.len() == 1 && told[0].contains("authority renew --root-key"), "{told:?}");

    let now = world.server.app.now();
    aright_controller::authority::renew(&world.server.app.data, &root_key, now).expect("renewed");
    world.pass(2 * MINUTE);
    until(&world, "the new one in force", |world| issued_until(world) > 360).await;
    assert_eq!(problems().await, Vec::<String>::new());
    world.pass(200 * DAY);
    // Past the end of the first one.
    assert!(serves(&world).await, "the port shows a certificate of the new one");
}

/// Whether somebody who knows the time would connect now.
async fn serves(world: &World) -> bool {
    let now = world.server.app.now();
    let pinned = Pinned { authority: world.authority(), not_before: Box::new(move || Some(now)) };
    let tls = tls_config(pinned, None).expect("tls");
    let stranger = Client::new(&world.agents_url(), tls, Duration::from_secs(20)).expect("a client");
    stranger.post::<_, TimeReply>("/agent/v1/time", &TimeRequest { t1: 0 }).await.is_ok()
}
