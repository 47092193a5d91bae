//! From reports to postures: digests, what changes, policies judged anew.

use aright_shared::api::{Page, Posture, PostureDetail, query_pairs};
use aright_shared::posture::{ErrorCode, Observation, Reading, Value, Verdict};
use aright_shared::wire::ReportReply;

use crate::world::{CONTENT, World, names_all, problem, spot};

pub async fn postures(world: &World, filter: &aright_shared::api::PostureFilter) -> Vec<Posture> {
    let pairs = query_pairs(filter);
    let query: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let page: Page<Posture> =
        world.operator.get(&format!("/api/v1/postures?{}", query.join("&"))).await.expect("listed");
    page.items
}

pub async fn verdicts(world: &World) -> Vec<(String, String, Verdict)> {
    let mut all: Vec<_> = postures(world, &Default::default())
        .await
        .into_iter()
        .map(|posture| {
            let place = format!("{}/{}", posture.spot.control, posture.spot.instance);
            (posture.policy.to_string(), place, posture.status)
        })
        .collect();
    all.sort();
    all
}

pub fn row(policy: &str, place: &str, verdict: Verdict) -> (String, String, Verdict) {
    (policy.into(), place.into(), verdict)
}

#[tokio::test]
async fn a_report_is_judged_by_every_policy_that_is_for_the_asset() {
    let world = World::start().await;
    let (mut plain, mut tagged) =
        (world.enroll("plain").await, world.enroll_tagged("tagged", &["strict"]).await);
    plain.see("max-days", "default", Reading::Value(Value::Int(180)));
    plain.report_all().await;
    assert_eq!(verdicts(&world).await, [row("base", "max-days/default", Verdict::Pass)]);
    tagged.see("max-days", "default", Reading::Value(Value::Int(180)));
    tagged.see("no-script", "default", Reading::Error { code: ErrorCode::AccessDenied, detail: "x".into() });
    tagged.report_all().await;
    assert_eq!(
        verdicts(&world).await,
        [
            row("base", "max-days/default", Verdict::Pass),
            row("base", "max-days/default", Verdict::Pass),
            row("base", "no-script/default", Verdict::Error),
            row("strict", "max-days/default", Verdict::Fail),
        ]
    );
    let wanted = aright_shared::api::PostureFilter {
        status: vec![Verdict::Fail],
        hostname: vec!["tagged".into()],
        ..Default::default()
    };
    let failed = postures(&world, &wanted).await.pop().expect("one");
    assert!(failed.remediable && failed.fix_available && failed.first_failed.is_some());
    assert_eq!(failed.set, Some(Value::Int(90)));
    let shown: PostureDetail =
        world.operator.get(&format!("/api/v1/postures/{}", failed.id)).await.expect("shown");
    assert_eq!((shown.evidence.len(), shown.scripts.len()), (1, 1));
    assert_eq!(shown.remediation_text, "Set it.");
}

#[tokio::test]
async fn a_change_is_reported_alone_and_what_is_gone_goes() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    agent.see("banner", "one", Reading::Value(Value::Text("yes".into())));
    agent.seen.remove(&spot("banner", "two"));
    let mut change = agent.report_of(vec![agent.seen[&spot("banner", "one")].clone()], false);
    change.gone.push(spot("banner", "two"));
    assert!(agent.report(&change).await.expect("taken").in_step);
    assert_eq!(
        verdicts(&world).await,
        [row("base", "banner/one", Verdict::Pass), row("base", "max-days/default", Verdict::Fail)]
    );
}

#[tokio::test]
async fn a_digest_out_of_step_stores_nothing_and_asks_for_everything() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let before = verdicts(&world).await;
    let known = aright_shared::wire::observations_digest(agent.seen.values());
    // The agent learns two things and one report is lost.
    agent.see("banner", "one", Reading::Value(Value::Text("yes".into())));
    agent.see("max-days", "default", Reading::Value(Value::Int(7)));
    let half = agent.report_of(vec![agent.seen[&spot("max-days", "default")].clone()], false);
    assert!(!agent.report(&half).await.expect("answered").in_step);
    assert_eq!(verdicts(&world).await, before, "nothing half stored");
    let mut told = agent.told(0);
    told.observations = Some(known);
    let orders: aright_shared::wire::Orders =
        agent.client.post("/agent/v1/check-in", &told).await.expect("orders");
    assert!(!orders.full_report, "in step with what was stored");
    let mut told = agent.told(20);
    told.observations = Some(half.digest);
    let orders: aright_shared::wire::Orders =
        agent.client.post("/agent/v1/check-in", &told).await.expect("orders");
    assert!(orders.full_report, "and at once, although it may be held");
    agent.report_all().await;
    assert_ne!(verdicts(&world).await, before);
}

#[tokio::test]
async fn a_truncated_a_shortened_and_a_doubled_report_are_refused_and_leave_nothing() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    let whole: Vec<Observation> = agent.seen.values().cloned().collect();
    let shortened = problem(agent.report(&agent.report_of(whole[1..].to_vec(), true)).await);
    assert_eq!(shortened.field.as_deref(), Some("digest"));
    let mut doubled = whole.clone();
    doubled.push(whole[0].clone());
    let doubled = problem(agent.report(&agent.report_of(doubled, true)).await);
    assert_eq!(doubled.field.as_deref(), Some("observations"));
    let mut long = whole.clone();
    long[0].evidence[0].text = "x".repeat(9000);
    let long = problem(agent.report(&agent.report_of(long, true)).await);
    assert_eq!(long.field.as_deref(), Some("observations.evidence"));
    let cut = serde_json::json!({"full": true, "digest": agent.report_of(vec![], true).digest});
    let cut = problem(agent.client.post::<_, ReportReply>("/agent/v1/report", &cut).await);
    assert_eq!(cut.field.as_deref(), Some("at"));
    [&shortened, &doubled, &long, &cut].into_iter().for_each(names_all);
    assert!(verdicts(&world).await.is_empty());
}

#[tokio::test]
async fn a_changed_policy_is_judged_anew_without_asking_the_host() {
    let world = World::start().await;
    let mut agent = world.enroll_tagged("web01", &["strict"]).await;
    agent.see("max-days", "default", Reading::Value(Value::Int(80)));
    agent.report_all().await;
    assert_eq!(verdicts(&world).await[1].2, Verdict::Pass);
    let stricter = CONTENT.replace("operator: le, value: 90}, set: 90", "operator: le, value: 60}, set: 60");
    let world = world.restart_with(&stricter).await;
    assert_eq!(
        verdicts(&world).await,
        [row("base", "max-days/default", Verdict::Pass), row("strict", "max-days/default", Verdict::Fail)]
    );
    let start = CONTENT.find("aright: 1\nkind: policy\nkey: strict").expect("the policy");
    let end = CONTENT.find("aright: 1\nkind: policy\nkey: contrary").expect("the next");
    let without = format!("{}{}", &CONTENT[..start], &CONTENT[end..]);
    let world = world.restart_with(&without).await;
    assert_eq!(verdicts(&world).await, [row("base", "max-days/default", Verdict::Pass)]);
}
