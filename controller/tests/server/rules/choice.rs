//! What can be chosen: only what failed, on eligible hosts, at most 100 controls.

use aright_shared::api::{Asset, Job, NewJob, Posture, PostureFilter, Reach, Selection};
use aright_shared::id::PostureId;
use aright_shared::posture::{ErrorCode, Reading, Spot, Value, Verdict};

use super::{Rule, failing, job, text};
use crate::posture::postures;
use crate::world::{CONTENT, World};

async fn all(world: &World) -> Vec<Posture> {
    postures(world, &PostureFilter::default()).await
}

fn by_id(postures: impl IntoIterator<Item = PostureId>) -> NewJob {
    NewJob { filter: None, postures: postures.into_iter().collect(), ..job() }
}

#[tokio::test]
async fn only_what_failed_can_be_remediated() {
    let rule = Rule::start("only what failed", CONTENT).await;
    let mut agent = failing(&rule, "web1", &[]).await;
    agent.see("no-script", "default", text("x"));
    agent.see("banner", "two", Reading::Error { code: ErrorCode::Parse, detail: "spoilt".into() });
    agent.report_all().await;
    let all = all(&rule.world).await;
    let of = |status| all.iter().filter(move |one| one.status == status).map(|one| one.id.clone());
    rule.saved("failed", &by_id(of(Verdict::Fail))).await;
    let passed = rule.refused("passing", &by_id(of(Verdict::Pass))).await;
    assert_eq!(passed.items[0]["status"], "pass");
    let erring = rule.refused("erring", &by_id(of(Verdict::Error))).await;
    assert_eq!(erring.items[0]["status"], "error");
    let mixed =
        rule.refused("one passing among failed ones", &by_id(all.iter().map(|one| one.id.clone()))).await;
    assert_eq!(mixed.items.len(), 2, "only those that may not be chosen are listed");
    rule.refused("unknown", &by_id([PostureId::new()])).await;
    rule.refused("nothing", &by_id([])).await;
    let passing = PostureFilter { status: vec![Verdict::Pass], ..PostureFilter::default() };
    rule.refused("a filter for passing ones", &NewJob { filter: Some(passing), ..job() }).await;
    rule.end();
}

#[tokio::test]
async fn only_on_eligible_hosts() {
    let rule = Rule::start("eligible hosts", CONTENT).await;
    let good = failing(&rule, "good", &[]).await;
    let revoked = failing(&rule, "revoked", &[]).await;
    let path = format!("/api/v1/assets/{}/revoke", revoked.asset);
    rule.world.operator.post::<_, Asset>(&path, &()).await.expect("revoked");
    let mut disabled = failing(&rule, "disabled", &[]).await;
    let mut told = disabled.told(0);
    told.disabled = Some("by hand".into());
    disabled.client.post::<_, aright_shared::wire::Orders>("/agent/v1/check-in", &told).await.expect("told");
    let mut old = failing(&rule, "old", &[]).await;
    let mut told = old.told(0);
    told.agent_version = "new".into();
    old.client.post::<_, aright_shared::wire::Orders>("/agent/v1/check-in", &told).await.expect("told");
    let mut clone = failing(&rule, "clone", &[]).await;
    clone.check_in(0).await.expect("orders");
    clone.check_in(0).await.expect("orders");
    clone.counter = 0;
    let _ = clone.check_in(0).await;

    let hosts = [(&revoked, "revoked"), (&disabled, "disabled"), (&old, "version"), (&clone, "quarantined")];
    for (host, reason) in hosts {
        let hosts = PostureFilter {
            asset: vec![host.asset.clone()],
            status: vec![Verdict::Fail],
            ..PostureFilter::default()
        };
        let refused = rule.refused(reason, &NewJob { filter: Some(hosts), ..job() }).await;
        let why = refused.items[0]["not_eligible"][0].as_str().expect("a reason");
        assert!(why.contains(reason), "{reason}: {why}");
    }
    let all = PostureFilter { status: vec![Verdict::Fail], ..PostureFilter::default() };
    let refused = rule.refused("all that fail", &NewJob { filter: Some(all), ..job() }).await;
    let revoked = |item: &serde_json::Value| item["not_eligible"][0] == "revoked";
    assert!(!refused.items.iter().any(revoked), "a revoked host is history: {:?}", refused.items);
    let singly = NewJob { include_assets: vec![disabled.asset.clone()], ..job() };
    rule.refused("added singly", &singly).await;
    let saved = rule.saved("a filter without status leaves them out", &job()).await;
    assert_eq!((saved.assets, saved.postures), (1, 3));
    let reach = rule.reach(&job()).await;
    let reached: Vec<_> =
        reach.hosts.iter().filter(|host| host.why_not.is_none()).map(|host| &host.asset).collect();
    assert_eq!(reached, [&good.asset]);
    rule.end();
}

/// So many controls on three technologies, each failing unless it is `x`, with so many scripts for each.
pub fn many(controls: usize, scripts: usize) -> String {
    let start = CONTENT.find("---").expect("a first document");
    let mut content = CONTENT[..start].to_owned();
    for technology in ["debian-11", "debian-13"] {
        content.push_str("---\n");
        content.push_str(
            &CONTENT[..start].replace("debian-12", technology).replace("title: Debian 12", "title: D"),
        );
    }
    let names: Vec<_> = (0..controls).map(|n| format!("c{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        content.push_str(&format!(
            "---\naright: 1\nkind: control\nkey: {name}\nnumber: {}\nstatement: S\ncategory: {{name: C}}\n\
             criticality: minimal\ndata_type: string\ntechnologies:\n  - ids: [debian-11, debian-12, debian-13]\n    \
             check: {{probe: config_value, with: {{files: [/etc/x], syntax: key_space, key: X}}}}\n    \
             expect: {{operator: eq, value: x}}\n",
            n + 1
        ));
        for s in 0..scripts {
            content.push_str(&format!(
                "---\naright: 1\nkind: script\nkey: {name}-fix-{s}\norigin: library\ntitle: F\n\
                 fixes: [{{control: {name}, technologies: [debian-11, debian-12, debian-13], policies: any}}]\n\
                 risk: safe\ninterpreter: sh\ntouches: [/etc/{name}]\nbody: \"true\"\n"
            ));
        }
    }
    let list: Vec<_> = names.iter().map(|name| format!("{{control: {name}}}")).collect();
    content.push_str(&format!(
        "---\naright: 1\nkind: policy\nkey: base\nnumber: 1\ntitle: B\nversion: 1\n\
         technologies: [debian-11, debian-12, debian-13]\nsections: [{{title: A, controls: [{}]}}]\n",
        list.join(", ")
    ));
    content
}

/// A host of which every one of so many controls fails, on each of these technologies.
pub async fn failing_all(rule: &Rule, controls: usize, technologies: &[&str]) {
    let mut agent = rule.world.enroll("web1").await;
    for n in 0..controls {
        for technology in technologies {
            let spot = Spot {
                control: format!("c{n}").parse().expect("a key"),
                technology: technology.parse().expect("a key"),
                instance: "default".into(),
            };
            agent.see_at(spot, text("y"));
        }
    }
    agent.report_all().await;
}

#[tokio::test]
async fn a_hundred_controls_however_many_postures() {
    let rule = Rule::start("100 controls", &many(100, 1)).await;
    failing_all(&rule, 100, &["debian-11", "debian-12", "debian-13"]).await;
    let job_of_all = rule.saved("100, on three technologies each counted once", &job()).await;
    assert_eq!((job_of_all.controls, job_of_all.postures), (100, 300));
    rule.end();
    let rule = Rule::start("101 controls", &many(101, 1)).await;
    failing_all(&rule, 101, &["debian-12"]).await;
    let refused = rule.refused("101", &job()).await;
    assert_eq!(refused.value.as_deref(), Some("101 controls"));
    rule.end();
}

#[tokio::test]
async fn a_selection_is_frozen_when_saved_or_looked_up_at_each_run() {
    let rule = Rule::of("frozen or each run", World::start().await);
    let mut agent = rule.world.enroll("web1").await;
    agent.see("max-days", "default", Reading::Value(Value::Int(99_999)));
    agent.report_all().await;
    let later = |selection| NewJob { selection, hold_s: Some(900), ..job() };
    let frozen = rule.saved("frozen", &later(Selection::Frozen)).await;
    let looked_up = rule.saved("each run", &later(Selection::EachRun)).await;
    agent.see_failures();
    agent.report_all().await;
    assert_eq!(ahead(&rule, &frozen).await.postures, 1);
    let wide = ahead(&rule, &looked_up).await;
    assert_eq!((wide.postures, wide.scripts.len()), (3, 2), "what fails now, and the scripts for it");
    let by_id = by_id([all(&rule.world).await[0].id.clone()]);
    rule.refused("named ones at each run", &NewJob { selection: Selection::EachRun, ..by_id }).await;
    rule.end();
}

/// What a saved job would do now.
pub async fn ahead(rule: &Rule, job: &Job) -> Reach {
    rule.world.operator.get(&format!("/api/v1/jobs/{}/reach", job.id)).await.expect("reached")
}
