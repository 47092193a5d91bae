//! Custom policies: imported, judged by at once, replaced, removed, and what is refused.

use aright_shared::api::{
    Health, Job, NewJob, Page, Policy, PolicyDetail, PostureDetail, PostureFilter, RunState,
};
use aright_shared::client::ClientError;
use aright_shared::content::policy;
use aright_shared::content::script::Origin;
use aright_shared::outcome::Outcome;
use aright_shared::posture::{Reading, Value, Verdict};
use serde_json::{Value as Json, json};

use crate::posture::{postures, row, verdicts};
use crate::tags::tag;
use crate::world::{Agent, CONTENT, World, names_all, problem};

const MINE: &str = "\
aright: 1
kind: policy
key: mine
title: Mine
version: 1
technologies: [debian-12]
sections:
  - title: All
    controls:
      - {control: max-days, expect: {operator: le, value: 100}, set: 100}
      - {control: banner, criticality: urgent}
";

pub fn mine() -> Json {
    serde_json::to_value(policy::Policy::from_yaml(MINE).expect("a policy")).expect("json")
}

/// The policy with some of its fields others.
fn with(changes: Json) -> Json {
    let mut document = mine();
    for (key, value) in changes.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document
}

pub async fn import(world: &World, document: &Json) -> Result<PolicyDetail, ClientError> {
    world.operator.post("/api/v1/policies", document).await
}

async fn remove(world: &World, key: &str) -> Result<(), ClientError> {
    world.operator.delete(&format!("/api/v1/policies/{key}")).await
}

async fn listed(world: &World) -> Vec<Policy> {
    world.operator.get::<Page<Policy>>("/api/v1/policies").await.expect("listed").items
}

async fn keys(world: &World) -> Vec<(String, u32, Origin)> {
    listed(world).await.into_iter().map(|one| (one.key.to_string(), one.version, one.origin)).collect()
}

/// A host that has told that passwords expire after so many days.
async fn host(world: &World, name: &str, days: i64) -> Agent {
    let mut agent = world.enroll(name).await;
    agent.see("max-days", "default", Reading::Value(Value::Int(days)));
    agent.report_all().await;
    agent
}

async fn days_by_mine(world: &World) -> Vec<Verdict> {
    let filter = PostureFilter { policy: vec!["mine".parse().expect("a key")], ..PostureFilter::default() };
    let mut found = postures(world, &filter).await;
    found.sort_by(|one, other| one.hostname.cmp(&other.hostname));
    found.into_iter().map(|posture| posture.status).collect()
}

#[tokio::test]
async fn an_imported_policy_is_judged_at_once_replaced_by_a_higher_version_and_removed_with_its_postures() {
    let world = World::start().await;
    // More than are judged in one transaction.
    let mut agents = Vec::new();
    for n in 0..34 {
        agents.push(host(&world, &format!("h{n:02}"), 80 + n).await);
    }
    let stored = import(&world, &mine()).await.expect("imported");
    let PolicyDetail { policy, document } = &stored;
    assert_eq!((policy.number, policy.version, policy.origin), (100_000, 1, Origin::Custom));
    assert_eq!((policy.author.as_deref(), policy.controls), (Some("admin"), 2));
    assert_eq!(document.number, 100_000);
    let passing = |verdicts: &[Verdict]| verdicts.iter().filter(|one| **one == Verdict::Pass).count();
    let found = days_by_mine(&world).await;
    assert_eq!((found.len(), passing(&found)), (34, 21), "80 to 100 days pass");
    let stricter = json!([{"title": "All", "controls": [
        {"control": "max-days", "expect": {"operator": "le", "value": 90}, "set": 90}]}]);
    let second = import(&world, &with(json!({"version": 2, "sections": stricter}))).await.expect("replaced");
    assert_eq!((second.policy.number, second.policy.version), (100_000, 2));
    let found = days_by_mine(&world).await;
    assert_eq!((found.len(), passing(&found)), (34, 11), "80 to 90 days pass");
    // What comes later is judged by it too.
    agents[0].see("max-days", "default", Reading::Value(Value::Int(91)));
    agents[0].report_all().await;
    assert_eq!(days_by_mine(&world).await[0], Verdict::Fail);
    let world = world.restart().await;
    assert_eq!(passing(&days_by_mine(&world).await), 10);
    let library = (row("base", "max-days/default", Verdict::Pass), 34);
    remove(&world, "mine").await.expect("removed");
    let left = verdicts(&world).await;
    assert_eq!((left.len(), left.iter().all(|one| *one == library.0)), (library.1, true));
    assert_eq!(keys(&world).await.len(), 3);
}

#[tokio::test]
async fn the_same_again_changes_nothing_and_other_content_needs_a_higher_version() {
    let world = World::start().await;
    host(&world, "web01", 80).await;
    let first = import(&world, &mine()).await.expect("imported");
    let at_rest = world.server.app.background.lock().await;
    let before = world.server.app.store.statements();
    assert_eq!(import(&world, &mine()).await.expect("the same"), first);
    assert_eq!(import(&world, &with(json!({"number": 7}))).await.expect("numbers below are not ours"), first);
    assert!(world.server.app.store.statements() - before < 20, "nothing was judged");
    drop(at_rest);
    for version in [1, 0, 2] {
        let other = import(&world, &with(json!({"version": version, "title": "Other"}))).await;
        match version {
            2 => assert_eq!(other.expect("higher").policy.title, "Other"),
            _ => {
                let refused = problem(other);
                assert_eq!(refused.field.as_deref(), Some("version"));
                assert_eq!(refused.value, Some(version.to_string()));
                names_all(&refused);
            }
        }
    }
    let lower = problem(import(&world, &mine()).await);
    assert_eq!((lower.status, lower.kind.as_str()), (409, "version-not-higher"));
    assert!(lower.remedy.expect("a remedy").contains("version: 3"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_by_field_value_and_remedy_and_leaves_nothing() {
    let world = World::start().await;
    host(&world, "web01", 80).await;
    let (before, stored) = (verdicts(&world).await, keys(&world).await);
    let controls = |controls: Json| with(json!({"sections": [{"title": "All", "controls": controls}]}));
    let control = |key: &str, more: Json| {
        let mut one = json!({"control": key});
        one.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        controls(json!([one]))
    };
    let large: Vec<Json> = (0..4000).map(|n| json!({"control": format!("{n:0>90}")})).collect();
    let mut titleless = mine();
    titleless.as_object_mut().expect("an object").remove("title");
    // What is sent, the field that is named, and words of value or detail.
    let cases = [
        (with(json!({"key": "base"})), "key", "base"),
        (with(json!({"key": "Mine"})), "key", "Mine"),
        (with(json!({"number": 2})), "number", "2"),
        (with(json!({"number": 1_000_000_000})), "number", "1000000000"),
        (with(json!({"aright": 2})), "aright", "2"),
        (with(json!({"kind": "control"})), "kind", "control"),
        (with(json!({"colour": "red"})), "colour", "red"),
        (titleless, "title", "missing"),
        (with(json!({"title": ""})), "title", "one line"),
        (with(json!({"version": -1})), "version", "-1"),
        (with(json!({"technologies": ["beos"]})), "technologies", "beos"),
        (with(json!({"technologies": []})), "technologies", "at least one"),
        (with(json!({"sections": []})), "sections", "at least one control"),
        (with(json!({"assign": {"include": {"any": [" x"]}}})), "assign.include", "\" x\""),
        (controls(json!(large)), "policy", "bytes"),
        (control("unknown", json!({})), "sections.controls", "unknown"),
        (control("banner", json!({"criticality": "high"})), "sections[0].controls[0].criticality", "high"),
        (control("max-days", json!({"expect": {"operator": "le", "value": 90}})), "sections.controls", "365"),
        (
            control("max-days", json!({"set": 400})),
            "sections.controls",
            "Some(\"{\"control\":\"max-days\",\"set\":400}\")",
        ),
        (control("max-days", json!({"expect": {"operator": "re", "value": "("}})), "sections.controls", "re"),
        (controls(json!([{"control": "banner"}, {"control": "banner"}])), "sections", "banner"),
        (json!("text"), "aright", "null"),
    ];
    for (document, field, word) in &cases {
        let refused = problem(import(&world, document).await);
        assert_eq!(refused.field.as_deref(), Some(*field), "{refused:?}");
        let said = format!("{:?} {:?} {:?}", refused.value, refused.detail, refused.remedy);
        assert!(said.replace('\\', "").contains(word), "{word} in {said}");
        names_all(&refused);
    }
    assert_eq!((verdicts(&world).await, keys(&world).await), (before, stored));
    import(&world, &with(json!({"number": 100_007}))).await.expect("a number of its own");
    let taken = problem(import(&world, &with(json!({"key": "other", "number": 100_007}))).await);
    assert_eq!((taken.field.as_deref(), taken.value.as_deref()), (Some("number"), Some("100007")));
    let next = import(&world, &with(json!({"key": "other"}))).await.expect("the next number");
    assert_eq!(next.policy.number, 100_008);
    let library = problem(remove(&world, "base").await);
    let unknown = problem(remove(&world, "nobody").await);
    let hidden = problem(world.operator.get::<PolicyDetail>("/api/v1/policies/nobody").await);
    assert_eq!((library.status, unknown.status, hidden.status), (409, 404, 404));
    [&taken, &library, &unknown, &hidden].into_iter().for_each(names_all);
    assert_eq!(keys(&world).await.len(), 5);
}

#[tokio::test]
async fn a_policy_by_tags_holds_where_they_are() {
    let world = World::start().await;
    let (web, lab) = (host(&world, "web", 80).await, host(&world, "weblab", 120).await);
    let assign = json!({"include": {"any": ["web"]}, "exclude": {"all": ["web", "lab"]}});
    import(&world, &with(json!({"assign": assign}))).await.expect("imported");
    assert!(days_by_mine(&world).await.is_empty());
    tag(&world, &web.asset, "web").await.expect("tagged");
    tag(&world, &lab.asset, "web").await.expect("tagged");
    assert_eq!(days_by_mine(&world).await, [Verdict::Pass, Verdict::Fail]);
    tag(&world, &lab.asset, "lab").await.expect("tagged");
    assert_eq!(days_by_mine(&world).await, [Verdict::Pass]);
}

#[tokio::test]
async fn library_scripts_for_any_policy_are_offered_and_write_its_value_those_for_others_are_not() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    import(&world, &mine()).await.expect("imported");
    let filter = PostureFilter { policy: vec!["mine".parse().expect("a key")], ..PostureFilter::default() };
    let found = postures(&world, &filter).await;
    assert_eq!(found.len(), 3);
    for posture in &found {
        let detail: PostureDetail =
            world.operator.get(&format!("/api/v1/postures/{}", posture.id)).await.expect("shown");
        let offered: Vec<_> = detail.scripts.iter().map(|key| key.as_str()).collect();
        match posture.spot.control.as_str() {
            "max-days" => {
                assert_eq!((posture.set.clone(), offered), (Some(Value::Int(100)), vec!["max-days-fix"]))
            }
            _ => assert!(offered.is_empty() && !posture.fix_available, "{detail:?}"),
        }
    }
    let new = NewJob { name: "mine".into(), filter: Some(filter), hold_s: Some(0), ..NewJob::default() };
    let job: Job = world.operator.post("/api/v1/jobs", &new).await.expect("saved");
    let scripts: Vec<_> = job.scripts.iter().map(|script| script.key.as_str()).collect();
    assert_eq!(scripts, ["max-days-fix"]);
    let (_, order) = agent.task().await;
    assert_eq!(order.params["ARIGHT_SET"], "100");
    assert_eq!(order.targets.len(), 1);
}

#[tokio::test]
async fn a_policy_that_a_job_counts_on_stays_until_the_job_has_ended() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    import(&world, &mine()).await.expect("imported");
    let filter = PostureFilter { policy: vec!["mine".parse().expect("a key")], ..PostureFilter::default() };
    let new =
        NewJob { name: "counts on it".into(), filter: Some(filter), hold_s: Some(900), ..NewJob::default() };
    let job: Job = world.operator.post("/api/v1/jobs", &new).await.expect("saved");
    let refused = problem(remove(&world, "mine").await);
    assert_eq!((refused.status, refused.kind.as_str()), (409, "policy-in-use"));
    assert_eq!(refused.items, [json!({"job": job.id, "name": "counts on it"})]);
    assert!(refused.detail.as_deref().expect("names it").contains("counts on it"));
    names_all(&refused);
    assert_eq!(days_by_mine(&world).await.len(), 3);
    let cancel = format!("/api/v1/jobs/{}/cancel", job.id);
    let job: Job = world.operator.post(&cancel, &json!({})).await.expect("cancelled");
    assert_eq!((job.runs[0].state, job.runs[0].outcomes.get(&Outcome::Fixed)), (RunState::Cancelled, None));
    remove(&world, "mine").await.expect("removed");
    assert!(days_by_mine(&world).await.is_empty());
}

#[tokio::test]
async fn an_upgrade_that_takes_its_key_or_its_controls_sets_a_policy_aside_and_says_so() {
    let world = World::start().await;
    host(&world, "web01", 80).await;
    import(&world, &mine()).await.expect("imported");
    let other =
        with(json!({"key": "other", "sections": [{"title": "All", "controls": [{"control": "banner"}]}]}));
    import(&world, &other).await.expect("imported");
    let taken = CONTENT.replace("key: contrary", "key: mine");
    let world = world.restart_with(&taken).await;
    let keys_now = keys(&world).await;
    let of_mine: Vec<_> = keys_now.iter().filter(|(key, ..)| key == "mine").map(|one| one.2).collect();
    assert_eq!(of_mine, [Origin::Library, Origin::Custom]);
    assert!(days_by_mine(&world).await.is_empty(), "the library's is for hosts tagged contrary");
    let health: Health = world.operator.get("/api/v1/health").await.expect("well");
    assert!(health.ok && health.problems.len() == 1, "{health:?}");
    assert!(
        health.problems[0].contains("custom policy mine")
            && health.problems[0].contains("aright policy remove mine")
    );
    let shown: PolicyDetail = world.operator.get("/api/v1/policies/mine").await.expect("shown");
    assert_eq!(shown.policy.origin, Origin::Library);
    let refused = problem(import(&world, &with(json!({"version": 2}))).await);
    assert_eq!(refused.kind, "key-taken");
    // The upgrade is taken back: it is in force again.
    let world = world.restart().await;
    assert_eq!(days_by_mine(&world).await, [Verdict::Pass]);
    let world = world.restart_with(&taken).await;
    remove(&world, "mine").await.expect("the custom one");
    assert!(listed(&world).await.iter().all(|one| one.set_aside.is_none()));
    let without =
        taken.replace("key: banner\n", "key: banned\n").replace("control: banner", "control: banned");
    let world = world.restart_with(&without).await;
    let aside = listed(&world).await.into_iter().find(|one| one.key.as_str() == "other").expect("kept");
    assert!(aside.set_aside.expect("says why").contains("banner"));
    let health: Health = world.operator.get("/api/v1/health").await.expect("well");
    assert!(health.problems[0].contains("other") && health.problems[0].contains("banner"), "{health:?}");
}

#[tokio::test]
async fn a_judging_that_was_cut_short_begins_again_at_the_next_change_and_at_the_next_start() {
    let world = World::start().await;
    host(&world, "web01", 80).await;
    let cut_short = async |world: &World| {
        // As it is left when the controller dies between a commit and the end of the judging.
        let unsettle = |tx: &aright_controller::store::Tx<'_>| {
            aright_controller::store::content::unsettle_policy(tx, &"mine".parse().expect("a key"))?;
            for (place, _) in aright_controller::store::postures::of_asset(tx, &only_asset(tx)?)? {
                aright_controller::store::postures::delete(tx, &place)?;
            }
            Ok::<_, aright_controller::store::StoreError>(())
        };
        world.server.app.store.write(unsettle).await.expect("written");
    };
    import(&world, &mine()).await.expect("imported");
    cut_short(&world).await;
    assert!(days_by_mine(&world).await.is_empty());
    import(&world, &mine()).await.expect("the same again");
    assert_eq!(days_by_mine(&world).await, [Verdict::Pass]);
    cut_short(&world).await;
    let world = world.restart().await;
    assert_eq!(days_by_mine(&world).await, [Verdict::Pass]);
}

fn only_asset(
    tx: &aright_controller::store::Tx<'_>,
) -> Result<aright_shared::id::AssetId, aright_controller::store::StoreError> {
    Ok(aright_controller::store::assets::ids(tx)?.pop().expect("one"))
}
