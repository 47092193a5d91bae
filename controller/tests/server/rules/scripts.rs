//! Which scripts: all and only the library's that match, at most 150, custom ones on every host.

use aright_shared::api::{CustomScript, Job, JobState, NewJob, PostureFilter, Skip};
use aright_shared::content::script;
use aright_shared::posture::{Reading, Value};

use super::choice::{failing_all, many};
use super::{Rule, failing, job};
use crate::scripts::{approve, approved, custom, upload};
use crate::world::{CONTENT, World, names_all, problem};

fn mine(word: &str) -> CustomScript {
    CustomScript {
        key: "my-fix".parse().expect("a key"),
        params: [("ARIGHT_WORD".to_owned(), word.to_owned())].into(),
    }
}

fn keys(job: &Job) -> Vec<&str> {
    job.scripts.iter().map(|script| script.key.as_str()).collect()
}

#[tokio::test]
async fn at_most_a_hundred_and_fifty() {
    let rule = Rule::start("150 scripts", &many(75, 2)).await;
    failing_all(&rule, 75, &["debian-12"]).await;
    rule.saved("150", &job()).await;
    approved(&rule.world).await;
    let more = NewJob { custom_scripts: vec![mine("hello")], ..job() };
    let refused = rule.refused("151, one of them custom", &more).await;
    assert_eq!(refused.value.as_deref(), Some("151"));
    let less = NewJob { exclude_scripts: vec!["c7-fix-1".parse().expect("a key")], ..more };
    rule.saved("150 after one was removed", &less).await;
    rule.end();
}

#[tokio::test]
async fn the_librarys_are_offered_by_control_technology_and_policy() {
    let rule = Rule::start("library scripts offered", CONTENT).await;
    failing(&rule, "web1", &["strict"]).await;
    assert_eq!(keys(&rule.saved("all that match", &job()).await), ["max-days-fix", "banner-fix"]);
    // `banner-fix` says `policies: [base]`; `strict` wants the same control.
    let strict = PostureFilter { policy: vec!["strict".parse().expect("a key")], ..PostureFilter::default() };
    let of_strict = NewJob { filter: Some(strict), ..job() };
    assert_eq!(keys(&rule.saved("not that of another policy", &of_strict).await), ["max-days-fix"]);
    let only = |key: &str| NewJob { scripts: Some(vec![key.parse().expect("a key")]), ..of_strict.clone() };
    let refused = rule.refused("one that is not offered", &only("banner-fix")).await;
    assert!(refused.remedy.as_deref().expect("a remedy").contains("max-days-fix"), "says which are");
    rule.refused("one that does not exist", &only("max-day-fix")).await;
    let none = NewJob { scripts: Some(Vec::new()), ..of_strict.clone() };
    rule.refused("none", &none).await;
    let without = NewJob { exclude_scripts: vec!["max-days-fix".parse().expect("a key")], ..job() };
    assert_eq!(keys(&rule.saved("one removed", &without).await), ["banner-fix"]);
    let odd = NewJob { exclude_scripts: vec!["max-day-fix".parse().expect("a key")], ..job() };
    rule.refused("a removed one that does not exist", &odd).await;
    rule.end();
}

#[tokio::test]
async fn of_several_values_one_must_serve_all() {
    let rule = Rule::start("one script, several values", CONTENT).await;
    failing(&rule, "agree", &["strict"]).await;
    let job_of_one = rule.saved("90 serves 1..365 and <= 90", &job()).await;
    let reach = super::choice::ahead(&rule, &job_of_one).await;
    assert_eq!(reach.hosts[0].scripts[0].params["ARIGHT_SET"], "90");
    let mut cannot = failing(&rule, "cannot", &["strict", "contrary"]).await;
    cannot.see("max-days", "default", Reading::Value(Value::Int(150)));
    cannot.report_all().await;
    let refused = rule.refused("two that cannot agree", &job()).await;
    let detail = refused.detail.as_deref().expect("says why");
    assert!(detail.contains("strict (90)") && detail.contains("contrary (200)"), "{detail}");
    let without = NewJob { exclude_assets: vec![cannot.asset.clone()], ..job() };
    rule.saved("without that host", &without).await;
    rule.end();
}

#[tokio::test]
async fn custom_ones_run_on_every_host_once_somebody_approved_them() {
    let rule = Rule::start("custom scripts", CONTENT).await;
    failing(&rule, "web1", &["strict"]).await;
    let other = rule.world.enroll_tagged("db1", &["db"]).await;
    let draft = upload(&rule.world, custom().canonical()).await.expect("a draft");
    let tags = Some(aright_shared::content::policy::Tags::Any(vec!["db".into()]));
    let with = NewJob { custom_scripts: vec![mine("hello")], include_tags: tags, ..job() };
    let refused = rule.refused("not approved", &with).await;
    assert!(refused.remedy.as_deref().expect("says who").contains("admin"));
    let kept = rule.saved("not approved, in a draft", &NewJob { draft: true, ..with.clone() }).await;
    assert_eq!((kept.state, kept.runs.len()), (JobState::Draft, 0));
    let path = format!("/api/v1/jobs/{}/activate", kept.id);
    let waits = problem(rule.world.operator.post::<_, Job>(&path, &()).await);
    names_all(&waits);
    assert!(waits.remedy.as_deref().expect("says who").contains("admin"));
    rule.edge("a draft waits for its approval");
    approve(&rule.world, draft.script.digest).await;
    let saved: Job = rule.world.operator.post(&path, &()).await.expect("saved");
    assert_eq!((saved.state, saved.runs.len(), saved.assets), (JobState::Active, 1, 2));
    rule.edge("and is saved with it");
    let reach = super::choice::ahead(&rule, &saved).await;
    for host in reach.hosts.iter().filter(|host| host.why_not.is_none()) {
        let runs: Vec<_> = host.scripts.iter().filter(|one| one.why_not.is_none()).collect();
        let ours = runs.iter().any(|one| one.script.as_str() == "my-fix");
        assert!(ours, "{} has it", host.hostname);
        assert_eq!(runs.len() == 1, host.asset == other.asset, "where nothing failed it is alone");
    }
    rule.edge("it runs on hosts of failed controls and of tags alike");
    let twice = NewJob { custom_scripts: vec![mine("hello"), mine("world")], ..job() };
    rule.refused("one script twice", &twice).await;
    let outside = NewJob { custom_scripts: vec![mine("a; reboot")], ..job() };
    rule.refused("a value outside its signed pattern", &outside).await;
    let missing = CustomScript { key: "my-fix".parse().expect("a key"), params: Default::default() };
    rule.refused("a value missing", &NewJob { custom_scripts: vec![missing], ..job() }).await;
    let library = CustomScript { key: "banner-fix".parse().expect("a key"), params: Default::default() };
    rule.refused("a library script as a custom one", &NewJob { custom_scripts: vec![library], ..job() })
        .await;
    rule.end();
}

#[tokio::test]
async fn they_are_for_controls_of_custom_and_library_policies_alike() {
    let rule = Rule::start("custom scripts and policies", CONTENT).await;
    failing(&rule, "web1", &[]).await;
    approved(&rule.world).await;
    crate::policies::import(&rule.world, &crate::policies::mine()).await.expect("imported");
    for (policy, library) in [("mine", vec!["max-days-fix"]), ("base", vec!["max-days-fix", "banner-fix"])] {
        let filter =
            PostureFilter { policy: vec![policy.parse().expect("a key")], ..PostureFilter::default() };
        let with = NewJob { filter: Some(filter), custom_scripts: vec![mine("hello")], ..job() };
        let saved = rule.saved(policy, &with).await;
        assert_eq!(keys(&saved), [library, vec!["my-fix"]].concat(), "{policy}");
        let reach = super::choice::ahead(&rule, &saved).await;
        assert!(reach.hosts[0].scripts.iter().all(|one| one.why_not.is_none()), "{policy}: all of them run");
    }
    rule.end();
}

#[tokio::test]
async fn a_script_is_removed_from_one_host_and_added_back() {
    let rule = Rule::start("scripts of single hosts", CONTENT).await;
    let (one, two) = (failing(&rule, "web1", &[]).await, failing(&rule, "web2", &[]).await);
    let skip = Skip { asset: one.asset.clone(), script: "banner-fix".parse().expect("a key") };
    let without = NewJob { skip: vec![skip.clone()], ..job() };
    let saved = rule.saved("removed from one", &without).await;
    let runs = |reach: &aright_shared::api::Reach, asset| {
        let host = reach.hosts.iter().find(|host| host.asset == asset).expect("listed");
        host.scripts.iter().filter(|one| one.why_not.is_none()).count()
    };
    let reach = super::choice::ahead(&rule, &saved).await;
    assert_eq!((runs(&reach, one.asset.clone()), runs(&reach, two.asset.clone()), reach.tasks), (1, 2, 3));
    let path = format!("/api/v1/jobs/{}", saved.id);
    let back: Job = rule.world.operator.put(&path, &job()).await.expect("edited");
    let reach = super::choice::ahead(&rule, &back).await;
    assert_eq!((runs(&reach, one.asset.clone()), reach.tasks), (2, 4));
    rule.edge("added back");
    let odd = Skip { script: "baner-fix".parse().expect("a key"), ..skip };
    rule.refused("one that does not exist", &NewJob { skip: vec![odd], ..job() }).await;
    rule.end();
}

#[tokio::test]
async fn five_hundred_kilobytes_are_the_limit() {
    let rule = Rule::of("500 KB", World::start().await);
    let of = |bytes: usize| script::Script { body: "x".repeat(bytes), ..custom() }.canonical();
    let before = rule.rows();
    names_all(&problem(upload(&rule.world, of(500_001)).await));
    assert_eq!(rule.rows(), before);
    rule.edge("500,001 bytes refused");
    upload(&rule.world, of(500_000)).await.expect("at the limit");
    rule.edge("500,000 bytes taken");
    rule.end();
}
