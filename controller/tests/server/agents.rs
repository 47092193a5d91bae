//! The agents' port: enrolment, time, check-in, renewal, and who is not let in.

use std::time::{Duration, Instant};

use aright_shared::api::{Asset, EnrollKey, NewEnrollKey, Page};
use aright_shared::digest::Digest;
use aright_shared::envelope::PublicKey;
use aright_shared::id::EnrollKeyId;
use aright_shared::posture::{Reading, Value};
use aright_shared::time::{DAY, HOUR};
use aright_shared::trust::TrustDocument;
use aright_shared::wire::{
    EnrollReply, EnrollRequest, Orders, RenewReply, RenewRequest, TimeReply, TimeRequest, observations_digest,
};
use rcgen::KeyPair;

use crate::world::{Host, World, client, names_all, problem};

#[tokio::test]
async fn an_agent_enrols_and_gets_what_it_pins() {
    let world = World::start().await;
    let key = world.enroll_key(NewEnrollKey { tags: vec!["lab".into()], ..NewEnrollKey::default() }).await;
    let host = Host::new("web01");
    let reply: EnrollReply =
        world.stranger().post("/agent/v1/enroll", &host.request(&key.secret)).await.expect("enrols");
    let document = TrustDocument::pin(&reply.trust, reply.root, key.trust).expect("the pinned root");
    assert_eq!(document.version, 1);
    assert_eq!(reply.task_key, PublicKey::from(&world.server.app.trust().task_key));
    let asset: Asset = world.operator.get(&format!("/api/v1/assets/{}", reply.asset)).await.expect("shown");
    assert_eq!((asset.facts.hostname.as_str(), asset.tags.as_slice()), ("web01", &["lab".to_owned()][..]));
    assert!(asset.eligible && asset.reasons.is_empty());
    world.server.stop().await.expect("stops");
}

#[tokio::test]
async fn unknown_used_up_and_expired_keys_are_refused_and_leave_nothing() {
    let world = World::start().await;
    let enroll = async |host: &Host, secret: &str| {
        problem(world.stranger().post::<_, EnrollReply>("/agent/v1/enroll", &host.request(secret)).await)
    };
    let unknown = enroll(&Host::new("a"), "aek_wrong-secret").await;
    assert_eq!((unknown.status, unknown.kind.as_str()), (403, "enroll-key-unknown"));
    assert!(!format!("{unknown:?}").contains("wrong-secret"), "a secret is not repeated");
    let once = world.enroll_key(NewEnrollKey::default()).await;
    let first = Host::new("b");
    world
        .stranger()
        .post::<_, EnrollReply>("/agent/v1/enroll", &first.request(&once.secret))
        .await
        .expect("enrols");
    let used_up = enroll(&Host::new("c"), &once.secret).await;
    assert_eq!(used_up.kind, "enroll-key-used-up");
    let short = world.enroll_key(NewEnrollKey { valid_s: Some(1), ..NewEnrollKey::default() }).await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let expired = enroll(&Host::new("d"), &short.secret).await;
    assert_eq!(expired.kind, "enroll-key-expired");
    [&unknown, &used_up, &expired].into_iter().for_each(names_all);
    let assets: Page<Asset> = world.operator.get("/api/v1/assets").await.expect("listed");
    assert_eq!(assets.items.len(), 1);
}

#[tokio::test]
async fn a_revoked_key_serves_nobody_and_whoever_came_by_it_stays() {
    let world = World::start().await;
    let key = world.enroll_key(NewEnrollKey { max_uses: Some(2), ..NewEnrollKey::default() }).await;
    let enroll = async |host: &Host| {
        world.stranger().post::<_, EnrollReply>("/agent/v1/enroll", &host.request(&key.secret)).await
    };
    enroll(&Host::new("web1")).await.expect("enrols");
    let path = format!("/api/v1/enroll-keys/{}/revoke", key.key.id);
    for _ in 0..2 {
        let ended: EnrollKey = world.operator.post(&path, &()).await.expect("revoked");
        assert_eq!(ended.uses, 1);
    }
    assert_eq!(problem(enroll(&Host::new("web2")).await).kind, "enroll-key-expired");
    let assets: Page<Asset> = world.operator.get("/api/v1/assets").await.expect("listed");
    assert_eq!(assets.items.len(), 1);
    let unknown = format!("/api/v1/enroll-keys/{}/revoke", EnrollKeyId::new());
    names_all(&problem(world.operator.post::<_, EnrollKey>(&unknown, &()).await));
}

#[tokio::test]
async fn a_host_that_pins_another_trust_root_spends_no_key() {
    let world = World::start().await;
    let key = world.enroll_key(NewEnrollKey::default()).await;
    let host = Host::new("web1");
    let pinning = |root: Digest| EnrollRequest { trust_fingerprint: Some(root), ..host.request(&key.secret) };
    let another = pinning(Digest::of(b"another"));
    let refused = problem(world.stranger().post::<_, EnrollReply>("/agent/v1/enroll", &another).await);
    assert_eq!(refused.kind, "another-trust-root");
    names_all(&refused);
    let enrolled = world.stranger().post::<_, EnrollReply>("/agent/v1/enroll", &pinning(key.trust)).await;
    enrolled.expect("the key can still be used");
}

#[tokio::test]
async fn a_lost_reply_can_be_asked_for_again_but_a_known_machine_with_another_key_is_refused() {
    let world = World::start().await;
    let key = world.enroll_key(NewEnrollKey::default()).await;
    let mut host = Host::new("web01");
    let enroll = async |host: &Host, secret: &str| {
        world.stranger().post::<_, EnrollReply>("/agent/v1/enroll", &host.request(secret)).await
    };
    let first = enroll(&host, &key.secret).await.expect("enrols");
    let again = enroll(&host, &key.secret).await.expect("the same again");
    assert_eq!(first.asset, again.asset);
    host.key = KeyPair::generate().expect("another key");
    let more = world.enroll_key(NewEnrollKey::default()).await;
    let refused = problem(enroll(&host, &more.secret).await);
    assert_eq!(refused.kind, "machine-known");
    assert!(refused.remedy.expect("a remedy").contains(&format!("aright asset revoke {}", first.asset)));
    let _: Asset =
        world.operator.post(&format!("/api/v1/assets/{}/revoke", first.asset), &()).await.expect("revoked");
    let anew = enroll(&host, &more.secret).await.expect("enrols anew");
    assert_ne!(anew.asset, first.asset);
}

#[tokio::test]
async fn a_certificate_is_demanded_by_all_but_enroll_and_time() {
    let world = World::start().await;
    let time: TimeReply =
        world.stranger().post("/agent/v1/time", &TimeRequest { t1: 42 }).await.expect("time for strangers");
    assert!(time.t1 == 42 && time.t2 <= time.t3 && time.t2 > 1_700_000_000_000_000);
    let refused = problem(world.stranger().post::<_, serde_json::Value>("/agent/v1/check-in", &()).await);
    assert_eq!((refused.status, refused.kind.as_str()), (401, "certificate-required"));
    names_all(&refused);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_by_name() {
    let (world, other) = tokio::join!(World::start(), World::start());
    let foreign = other.enroll("web01").await;
    let identity = foreign.host.identity(&foreign.reply.certificate);
    let mut agent = world.enroll("web02").await;
    agent.client = client(&world.agents_url(), world.authority(), Some(identity));
    let refused = problem(agent.check_in(0).await);
    assert_eq!(refused.kind, "certificate-unknown");
    names_all(&refused);
}

#[tokio::test]
async fn a_held_check_in_is_answered_at_once_by_evaluate_and_by_revocation() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    let path = format!("/api/v1/assets/{}", agent.asset);
    let started = Instant::now();
    let (orders, ()) = tokio::join!(agent.check_in(20), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.operator.post::<_, ()>(&format!("{path}/evaluate"), &()).await.expect("asked");
    });
    assert!(orders.expect("orders").evaluate);
    let (orders, ()) = tokio::join!(agent.check_in(20), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let asset: Asset = world.operator.post(&format!("{path}/revoke"), &()).await.expect("revoked");
        assert_eq!(asset.reasons, ["revoked"]);
    });
    let refused = problem(orders);
    assert_eq!((refused.status, refused.kind.as_str()), (403, "revoked"));
    names_all(&refused);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(problem(agent.check_in(0).await).kind, "revoked");
}

#[tokio::test]
async fn a_check_in_with_nothing_to_say_asks_no_database() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.check_in(0).await.expect("the first looks for work once");
    // What was seen is written in the background: not now, so that it is not taken for their doing.
    let _at_rest = world.server.app.background.lock().await;
    let before = world.server.app.store.statements();
    for _ in 0..50 {
        agent.check_in(0).await.expect("orders");
    }
    assert_eq!(world.server.app.store.statements() - before, 0);
}

#[tokio::test]
async fn a_falling_counter_quarantines_and_survives_a_restart() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.counter = 10;
    agent.check_in(0).await.expect("orders");
    agent.counter = 3;
    agent.check_in(0).await.expect("it is told nothing");
    let world = world.restart().await;
    let asset: Asset = world.operator.get(&format!("/api/v1/assets/{}", agent.asset)).await.expect("shown");
    assert!(!asset.eligible);
    assert!(asset.reasons[0].contains("from 11 to 4"), "{:?}", asset.reasons);
}

#[tokio::test]
async fn renewal_gives_a_certificate_that_serves() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    let renew = RenewRequest { csr: agent.host.csr() };
    let renewed: RenewReply = agent.client.post("/agent/v1/renew", &renew).await.expect("renewed");
    let identity = agent.host.identity(&renewed.certificate);
    agent.client = client(&world.agents_url(), world.authority(), Some(identity));
    agent.check_in(0).await.expect("orders");
    let rubbish = RenewRequest { csr: "rubbish".into() };
    let refused = problem(agent.client.post::<_, RenewReply>("/agent/v1/renew", &rubbish).await);
    assert_eq!(refused.field.as_deref(), Some("csr"));
    names_all(&refused);
}

#[tokio::test]
async fn an_expired_certificate_serves_for_renewal_alone_and_for_a_year() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    world.pass(14 * DAY + HOUR);
    let expired = problem(agent.check_in(0).await);
    assert_eq!(expired.kind, "certificate-expired");
    names_all(&expired);
    let renew = RenewRequest { csr: agent.host.csr() };
    let renewed: RenewReply = agent.client.post("/agent/v1/renew", &renew).await.expect("renewed");
    agent.client =
        client(&world.agents_url(), world.authority(), Some(agent.host.identity(&renewed.certificate)));
    agent.check_in(0).await.expect("orders");
    world.pass(380 * DAY);
    let over = problem(agent.client.post::<_, RenewReply>("/agent/v1/renew", &renew).await);
    assert_eq!(over.kind, "certificate-expired");
}

#[tokio::test]
async fn what_is_reported_while_a_check_in_is_held_is_not_out_of_step_with_it() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let mut told = agent.told(20);
    told.observations = Some(observations_digest(agent.seen.values()));
    agent.see("max-days", "default", Reading::Value(Value::Int(7)));
    let held = agent.client.post::<_, Orders>("/agent/v1/check-in", &told);
    let (orders, ()) = tokio::join!(held, async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        agent.report_all().await;
        let evaluate = format!("/api/v1/assets/{}/evaluate", agent.asset);
        world.operator.post::<_, ()>(&evaluate, &()).await.expect("asked");
    });
    let orders = orders.expect("orders");
    assert!(orders.evaluate && !orders.full_report);
}
