//! The audit log: every change is in it, with who, what and when, and no secret is.

use aright_shared::api::{
    Asset, AuditEntry, EnrollKeyMade, Login, NewEnrollKey, Page, PolicyDetail, ScriptDetail, Session,
};
use aright_shared::content::policy::Policy;
use aright_shared::time::{Clock as _, DAY, WallClock};
use serde_json::json;

use crate::scripts::{approver_in, custom, seal, send_by, upload};
use crate::tags::tag;
use crate::world::{CONTENT, PASSWORD, World, client, names_all, problem};

const MINE: &str = "{aright: 1, kind: policy, key: mine, title: Mine, version: 1, technologies: [debian-12], \
     sections: [{title: All, controls: [{control: banner}]}]}";

async fn lines(world: &World, query: &str) -> Vec<AuditEntry> {
    let page: Page<AuditEntry> = world.operator.get(&format!("/api/v1/audit{query}")).await.expect("listed");
    page.items
}

/// Who, what and to whom, oldest first.
fn said(lines: &[AuditEntry]) -> Vec<(&str, &str, &str)> {
    lines.iter().rev().map(|line| (line.who.as_str(), line.action.as_str(), line.subject.as_str())).collect()
}

#[tokio::test]
async fn every_change_is_written_down_with_who_what_and_when_and_without_secrets() {
    let world = World::start().await;
    let began = WallClock.now();
    let key: EnrollKeyMade = world.enroll_key(NewEnrollKey::default()).await;
    let agent = world.enroll("web01").await;
    let by_id = agent.asset.as_str();
    tag(&world, &agent.asset, "web").await.expect("tagged");
    tag(&world, &agent.asset, "web").await.expect("the same again is no change");
    let path = format!("/api/v1/assets/{by_id}/tags/web");
    world.operator.delete::<Asset>(&path).await.expect("untagged");
    world.operator.delete::<Asset>(&path).await.expect("the same again is no change");
    let mine = Policy::from_yaml(MINE).expect("a policy");
    world.operator.post::<_, PolicyDetail>("/api/v1/policies", &mine).await.expect("imported");
    world.operator.post::<_, PolicyDetail>("/api/v1/policies", &mine).await.expect("the same again");
    world.operator.delete::<()>("/api/v1/policies/mine").await.expect("removed");
    let draft: ScriptDetail = upload(&world, custom().canonical()).await.expect("uploaded");
    let approver = approver_in(&world.folder.path().join("data"));
    let approval = seal(draft.script.digest, &approver, WallClock.now().plus(DAY));
    send_by(&world.operator, &approval).await.expect("approved");
    let revoke = format!("/api/v1/assets/{by_id}/revoke");
    world.operator.post::<_, Asset>(&revoke, &()).await.expect("revoked");
    let all = lines(&world, "").await;
    let keys: Vec<_> = all.iter().filter(|line| line.action == "enroll-key.create").collect();
    let enrolled = format!("enroll-key {}", keys[0].subject);
    assert_eq!(
        said(&all),
        [
            ("controller", "user.create", "admin"),
            ("admin", "session.create", "admin"),
            ("admin", "enroll-key.create", key.key.id.as_str()),
            ("admin", "enroll-key.create", keys[0].subject.as_str()),
            (enrolled.as_str(), "asset.enroll", by_id),
            ("admin", "asset.tag", by_id),
            ("admin", "asset.untag", by_id),
            ("admin", "policy.import", "mine"),
            ("admin", "policy.remove", "mine"),
            ("admin", "script.upload", "my-fix"),
            ("admin", "script.approve", "my-fix"),
            ("admin", "asset.revoke", by_id),
        ]
    );
    assert!(all.iter().take(10).all(|line| line.at >= began && line.at <= WallClock.now()));
    assert_eq!(all[6].detail, "web");
    assert!(all[4].detail.starts_with("version 1, number 100000, sha256:"), "{}", all[4].detail);
    let text = serde_json::to_string(&all).expect("json");
    assert!(!text.contains(PASSWORD) && !text.contains(&key.secret), "a secret is in the log");
}

#[tokio::test]
async fn policies_that_another_version_of_the_program_brings_changes_and_lacks_are_in_it() {
    let world = World::start().await;
    let mine = Policy::from_yaml(MINE).expect("a policy");
    world.operator.post::<_, PolicyDetail>("/api/v1/policies", &mine).await.expect("imported");
    let world = world.restart().await;
    assert_eq!(lines(&world, "?who=controller&action=policy").await, [], "the same program");
    let other = CONTENT.replace("key: contrary", "key: newer").replace("title: Base", "title: Changed");
    let world = world.restart_with(&other).await;
    let all = lines(&world, "?who=controller&action=policy.upgrade").await;
    let told: Vec<_> = all.iter().rev().map(|line| (line.subject.as_str(), line.detail.as_str())).collect();
    let with = "with this version of the program";
    assert_eq!(
        told,
        [
            ("base", format!("changed {with}").as_str()),
            ("contrary", format!("not in force any more {with}").as_str()),
            ("newer", format!("came {with}").as_str()),
        ]
    );
}

#[tokio::test]
async fn log_ins_log_outs_and_wrong_ones_are_in_it_but_not_what_may_be_a_password() {
    let world = World::start().await;
    let url = format!("https://{}", world.server.addresses.operators);
    let stranger = client(&url, world.authority(), None);
    for (user, password) in [("admin", "wrong"), ("my-pass-word", "admin")] {
        let wrong = Login { user: user.into(), password: password.into() };
        stranger.post::<_, serde_json::Value>("/api/v1/session", &wrong).await.expect_err("refused");
    }
    let right = Login { user: "admin".into(), password: PASSWORD.into() };
    let session: Session = stranger.post("/api/v1/session", &right).await.expect("logs in");
    stranger.with_token(session.token).delete::<()>("/api/v1/session").await.expect("logs out");
    let all = lines(&world, "?action=session").await;
    assert_eq!(
        said(&all)[1..],
        [
            ("controller", "session.refuse", "admin"),
            ("controller", "session.refuse", "no user of ours"),
            ("admin", "session.create", "admin"),
            ("admin", "session.delete", "admin"),
        ]
    );
    assert!(all[2].detail.contains("127.0.0.1"));
    let text = serde_json::to_string(&all).expect("json");
    assert!(!text.contains("my-pass-word") && !text.contains("wrong"));
}

#[tokio::test]
async fn it_is_read_newest_first_by_pages_and_filters_and_odd_questions_are_refused() {
    let world = World::start().await;
    let (one, two) = (world.enroll("one").await, world.enroll("two").await);
    for word in ["a", "b", "c"] {
        tag(&world, &one.asset, word).await.expect("tagged");
        tag(&world, &two.asset, word).await.expect("tagged");
    }
    let of_one = lines(&world, &format!("?action=asset.tag&subject={}", one.asset)).await;
    let tags: Vec<_> = of_one.iter().map(|line| line.detail.as_str()).collect();
    assert_eq!(tags, ["c", "b", "a"]);
    assert_eq!(lines(&world, "?who=nobody").await, []);
    let first: Page<AuditEntry> =
        world.operator.get("/api/v1/audit?action=asset&limit=5").await.expect("a page");
    let next = first.next.clone().expect("more");
    let rest = lines(&world, &format!("?action=asset&limit=5&cursor={next}")).await;
    assert_eq!((first.items.len(), rest.len()), (5, 3), "two enrolments, six tags");
    assert!(first.items.iter().all(|line| rest.iter().all(|older| older.id < line.id)));
    for query in ["?acton=x", "?cursor=x", "?limit=0"] {
        names_all(&problem(world.operator.get::<Page<AuditEntry>>(&format!("/api/v1/audit{query}")).await));
    }
    let path = format!("/api/v1/audit/{}", of_one[0].id);
    for refused in [
        problem(world.operator.delete::<()>("/api/v1/audit").await),
        problem(world.operator.delete::<()>(&path).await),
        problem(world.operator.put::<_, ()>(&path, &json!({"who": "nobody"})).await),
    ] {
        assert!(matches!(refused.status, 404 | 405), "{refused:?}");
    }
}
