//! Saving jobs: what may be chosen, which scripts that leads to, and that a refusal stores nothing.

use std::collections::BTreeMap;

use aright_shared::api::{CustomScript, Job, NewJob, Page, PostureFilter, Run, RunState};
use aright_shared::client::ClientError;
use aright_shared::posture::{Reading, Value, Verdict};
use aright_shared::time::SECOND;

use crate::posture::postures;
use crate::scripts::{approved, custom, upload};
use crate::world::{CONTENT, World, names_all, problem};

pub async fn create(world: &World, new: &NewJob) -> Result<Job, ClientError> {
    world.operator.post("/api/v1/jobs", new).await
}

/// A job over everything that is remediable, due at once.
pub fn at_once() -> NewJob {
    NewJob {
        name: "fix".into(),
        filter: Some(PostureFilter::default()),
        hold_s: Some(0),
        ..NewJob::default()
    }
}

async fn stored(world: &World) -> usize {
    let page: Page<Job> = world.operator.get("/api/v1/jobs").await.expect("listed");
    page.items.len()
}

#[tokio::test]
async fn a_job_holds_the_failed_postures_and_the_scripts_that_match_them() {
    let world = World::start().await;
    let mut agent = world.enroll_tagged("web01", &["strict"]).await;
    agent.see_failures();
    agent.see("no-script", "default", Reading::Value(Value::Text("y".into())));
    agent.report_all().await;
    let job = create(&world, &NewJob { hold_s: None, ..at_once() }).await.expect("saved");
    assert_eq!((job.controls, job.postures, job.assets), (3, 7, 1));
    let scripts: Vec<_> = job.scripts.iter().map(|script| script.key.as_str()).collect();
    assert_eq!(scripts, ["max-days-fix", "banner-fix"], "in order of control number");
    let run = &job.runs[0];
    assert_eq!((run.state, run.due.since(run.saved)), (RunState::Pending, 900 * SECOND));
    let only = NewJob { scripts: Some(vec!["banner-fix".parse().expect("a key")]), ..at_once() };
    assert_eq!(create(&world, &only).await.expect("saved").scripts.len(), 1);
}

#[tokio::test]
async fn passing_erring_unknown_and_ineligible_postures_are_refused_with_a_list() {
    let world = World::start().await;
    let (mut good, mut gone) = (world.enroll("good").await, world.enroll("gone").await);
    good.see_failures();
    good.see("no-script", "default", Reading::Value(Value::Text("x".into())));
    good.report_all().await;
    gone.see_failures();
    gone.report_all().await;
    let _: aright_shared::api::Asset =
        world.operator.post(&format!("/api/v1/assets/{}/revoke", gone.asset), &()).await.expect("revoked");
    let all = postures(&world, &PostureFilter::default()).await;
    let by_id =
        NewJob { filter: None, postures: all.iter().map(|one| one.id.clone()).collect(), ..at_once() };
    let refused = problem(create(&world, &by_id).await);
    assert_eq!((refused.status, refused.items.len()), (409, 4), "one passes, three are on a revoked host");
    let passing = PostureFilter { status: vec![Verdict::Pass], ..PostureFilter::default() };
    let passing = problem(create(&world, &NewJob { filter: Some(passing), ..at_once() }).await);
    assert_eq!(passing.items[0]["status"], "pass");
    let failing = PostureFilter { status: vec![Verdict::Fail], ..PostureFilter::default() };
    let failing = problem(create(&world, &NewJob { filter: Some(failing), ..at_once() }).await);
    assert_eq!((failing.items.len(), failing.items[0]["not_eligible"][0].as_str()), (3, Some("revoked")));
    let unknown = aright_shared::id::PostureId::new();
    let unknown =
        problem(create(&world, &NewJob { filter: None, postures: vec![unknown], ..at_once() }).await);
    assert_eq!(unknown.items.len(), 1);
    let nothing = problem(create(&world, &NewJob { filter: None, ..at_once() }).await);
    [&refused, &passing, &failing, &unknown, &nothing].into_iter().for_each(names_all);
    assert_eq!(stored(&world).await, 0);
    let job = create(&world, &at_once()).await.expect("the remediable ones");
    assert_eq!((job.postures, job.assets), (3, 1));
}

#[tokio::test]
async fn values_are_agreed_on_or_refused_naming_both_policies() {
    let world = World::start().await;
    let mut agent = world.enroll_tagged("agree", &["strict"]).await;
    agent.see("max-days", "default", Reading::Value(Value::Int(99_999)));
    agent.report_all().await;
    let job = create(&world, &NewJob { hold_s: None, ..at_once() }).await.expect("90 serves both");
    assert_eq!(job.postures, 2);
    let mut other = world.enroll_tagged("cannot", &["strict", "contrary"]).await;
    other.see("max-days", "default", Reading::Value(Value::Int(150)));
    other.report_all().await;
    let refused = problem(create(&world, &at_once()).await);
    assert_eq!(refused.kind, "no-value");
    let detail = refused.detail.as_deref().expect("says why");
    assert!(detail.contains("strict (90)") && detail.contains("contrary (200)"), "{detail}");
    names_all(&refused);
    let without = NewJob { exclude_assets: vec![other.asset.clone()], ..at_once() };
    assert_eq!(create(&world, &without).await.expect("exclusion beats everything").assets, 1);
}

#[tokio::test]
async fn custom_scripts_wait_for_approval_and_for_the_parameters_they_declare() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    upload(&world, custom().canonical()).await.expect("a draft");
    let with = |word: Option<&str>| NewJob {
        custom_scripts: vec![CustomScript {
            key: "my-fix".parse().expect("a key"),
            params: word.map(|word| ("ARIGHT_WORD".to_owned(), word.to_owned())).into_iter().collect(),
        }],
        ..at_once()
    };
    let draft = problem(create(&world, &with(Some("hello"))).await);
    assert_eq!(draft.kind, "not-approved");
    assert!(draft.remedy.as_deref().expect("says who").contains("admin"));
    approved(&world).await;
    let missing = problem(create(&world, &with(None)).await);
    assert_eq!(missing.value.as_deref(), Some("ARIGHT_WORD"));
    let outside = problem(create(&world, &with(Some("a; reboot"))).await);
    assert!(outside.detail.as_deref().expect("says why").contains("[a-z]+"));
    let mut odd = with(Some("hello"));
    odd.custom_scripts[0].params = BTreeMap::from([("OTHER".into(), "x".into())]);
    let odd = problem(create(&world, &odd).await);
    let library = NewJob {
        custom_scripts: vec![CustomScript {
            key: "banner-fix".parse().expect("a key"),
            params: BTreeMap::new(),
        }],
        ..at_once()
    };
    let library = problem(create(&world, &library).await);
    [&draft, &missing, &outside, &odd, &library].into_iter().for_each(names_all);
    assert_eq!(stored(&world).await, 0);
    let job = create(&world, &with(Some("hello"))).await.expect("saved");
    assert_eq!(job.scripts.len(), 3);
}

#[tokio::test]
async fn a_job_without_a_script_and_one_held_too_short_are_refused() {
    let world = World::start_as(false).await;
    let mut agent = world.enroll("web01").await;
    agent.see("no-script", "default", Reading::Value(Value::Text("y".into())));
    agent.report_all().await;
    let none = problem(create(&world, &NewJob { hold_s: None, ..at_once() }).await);
    assert_eq!(none.field.as_deref(), Some("scripts"));
    agent.see_failures();
    agent.report_all().await;
    let short = problem(create(&world, &NewJob { hold_s: Some(899), ..at_once() }).await);
    assert_eq!((short.field.as_deref(), short.value.as_deref()), (Some("hold_s"), Some("899")));
    let nameless =
        problem(create(&world, &NewJob { name: " ".into(), ..NewJob { hold_s: None, ..at_once() } }).await);
    [&none, &short, &nameless].into_iter().for_each(names_all);
    assert_eq!(stored(&world).await, 0);
    create(&world, &NewJob { hold_s: Some(900), ..at_once() }).await.expect("900 s is enough");
}

#[tokio::test]
async fn a_pending_run_can_be_cancelled_and_the_job_run_again() {
    let world = World::start().await;
    let mut agent = world.enroll("web01").await;
    agent.see_failures();
    agent.report_all().await;
    let job = create(&world, &NewJob { hold_s: Some(900), ..at_once() }).await.expect("saved");
    let again = format!("/api/v1/jobs/{}/runs", job.id);
    let under_way = problem(world.operator.post::<_, Run>(&again, &()).await);
    assert_eq!(under_way.kind, "run-under-way");
    let cancel = format!("/api/v1/jobs/{}/cancel", job.id);
    let cancelled: Job = world.operator.post(&cancel, &serde_json::json!({})).await.expect("cancelled");
    assert_eq!((cancelled.runs[0].state, cancelled.state.as_str()), (RunState::Cancelled, "ended"));
    let nothing = problem(world.operator.post::<_, Job>(&cancel, &serde_json::json!({})).await);
    assert_eq!(nothing.kind, "nothing-to-cancel");
    [&under_way, &nothing].into_iter().for_each(names_all);
    let run: Run = world.operator.post(&again, &serde_json::json!({"hold_s": 900})).await.expect("once more");
    assert_eq!(run.state, RunState::Pending);
}

/// Content with so many controls, each failing unless it is `x`, and so many scripts for each.
fn many(controls: usize, scripts: usize) -> String {
    let start = CONTENT.find("---").expect("a first document");
    let mut text = CONTENT[..start].to_owned();
    let names: Vec<_> = (0..controls).map(|n| format!("c{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        text.push_str(&format!(
            "---\naright: 1\nkind: control\nkey: {name}\nnumber: {}\nstatement: S\ncategory: {{name: C}}\n\
             criticality: minimal\ndata_type: string\ntechnologies:\n  - ids: [debian-12]\n    \
             check: {{probe: config_value, with: {{files: [/etc/x], syntax: key_space, key: X}}}}\n    \
             expect: {{operator: eq, value: x}}\n",
            n + 1
        ));
        for s in 0..scripts {
            text.push_str(&format!(
                "---\naright: 1\nkind: script\nkey: {name}-fix-{s}\norigin: library\ntitle: F\n\
                 fixes: [{{control: {name}, technologies: [debian-12], policies: any}}]\nrisk: safe\n\
                 interpreter: sh\ntouches: [/etc/{name}]\nbody: \"true\"\n"
            ));
        }
    }
    let list: Vec<_> = names.iter().map(|name| format!("{{control: {name}}}")).collect();
    text.push_str(&format!(
        "---\naright: 1\nkind: policy\nkey: base\nnumber: 1\ntitle: B\nversion: 1\n\
         technologies: [debian-12]\nsections: [{{title: A, controls: [{}]}}]\n",
        list.join(", ")
    ));
    text
}

#[tokio::test]
async fn a_hundred_controls_and_a_hundred_and_fifty_scripts_are_the_limit() {
    for (controls, scripts, field) in
        [(100, 1, None), (101, 1, Some("postures")), (75, 2, None), (76, 2, Some("scripts"))]
    {
        let world = World::start_with(&many(controls, scripts), true).await;
        let mut agent = world.enroll("web01").await;
        for n in 0..controls {
            agent.see(&format!("c{n}"), "default", Reading::Value(Value::Text("y".into())));
        }
        agent.report_all().await;
        let saved = create(&world, &NewJob { hold_s: Some(900), ..at_once() }).await;
        match field {
            None => assert_eq!(saved.expect("at the limit").controls as usize, controls),
            Some(field) => {
                let refused = problem(saved);
                assert_eq!(refused.field.as_deref(), Some(field));
                names_all(&refused);
                assert_eq!(stored(&world).await, 0);
            }
        }
        world.server.stop().await.expect("stops");
    }
}
