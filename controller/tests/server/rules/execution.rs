//! At the moment of execution posture, eligibility and approval are looked at again.

use aright_shared::api::{Asset, NewJob, PostureFilter};
use aright_shared::content::policy::Tags;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::{ErrorCode, Reading, Value};
use aright_shared::time::{HOUR, SECOND};

use super::{Rule, failing, job};
use crate::dispatch::{tasks, wait};
use crate::scripts::{approved, job_of};
use crate::world::{World, task_report};

fn held(job: NewJob) -> NewJob {
    NewJob { hold_s: Some(900), expiry_s: Some(9 * 24 * 3600), ..job }
}

#[tokio::test]
async fn what_passes_by_then_does_not_run_what_errs_is_refused_who_left_is_not_reached() {
    let rule = Rule::of("posture and eligibility at execution", World::start().await);
    let mut mended = failing(&rule, "mended", &[]).await;
    let gone = failing(&rule, "gone", &[]).await;
    let saved = rule.saved("saved", &held(job())).await;
    mended.see("max-days", "default", Reading::Value(Value::Int(90)));
    mended.see("banner", "one", Reading::Error { code: ErrorCode::Parse, detail: "x".into() });
    mended.see("banner", "two", Reading::Error { code: ErrorCode::Parse, detail: "x".into() });
    mended.report_all().await;
    let path = format!("/api/v1/assets/{}/revoke", gone.asset);
    rule.world.operator.post::<_, Asset>(&path, &()).await.expect("revoked");
    rule.world.pass(901 * SECOND);
    let run = wait(&rule.world, &saved, |run| run.state.is_final()).await;
    assert_eq!(run.outcomes[&Outcome::AlreadyCompliant], 1);
    assert_eq!((run.outcomes[&Outcome::Refused], run.outcomes[&Outcome::Undelivered]), (1, 2));
    let refused: Vec<_> = tasks(&rule.world).await.into_iter().filter_map(|task| task.refusal).collect();
    assert_eq!(refused, [Refusal::NotFailed]);
    rule.edge("passing: already_compliant; erring: refused, not_failed; revoked: undelivered");
    rule.end();
}

#[tokio::test]
async fn an_approval_that_has_ended_refuses_the_custom_script_and_nothing_else() {
    let rule = Rule::of("approval at execution", World::start().await);
    let mut agent = failing(&rule, "web1", &[]).await;
    approved(&rule.world).await;
    let custom_scripts = job_of(&agent.asset).custom_scripts;
    let slow = NewJob { custom_scripts, hold_s: Some(2 * 3600), expiry_s: Some(9 * 24 * 3600), ..job() };
    let saved = rule.saved("saved while it is approved", &slow).await;
    rule.world.pass(2 * HOUR + SECOND);
    let run = wait(&rule.world, &saved, |run| run.tasks == 3).await;
    assert_eq!(run.outcomes[&Outcome::Refused], 1);
    let refused: Vec<_> = tasks(&rule.world).await.into_iter().filter_map(|task| task.refusal).collect();
    assert_eq!(refused, [Refusal::NotApproved]);
    agent.task().await;
    rule.edge("ended: refused, not_approved; the rest goes on");
    rule.end();
}

#[tokio::test]
async fn a_custom_script_runs_where_no_control_applies_too() {
    let rule = Rule::of("custom script without a control", World::start().await);
    failing(&rule, "web1", &[]).await;
    let mut bare = rule.world.enroll_tagged("bare", &["bare"]).await;
    approved(&rule.world).await;
    let mine = job_of(&bare.asset);
    let both = NewJob {
        filter: Some(PostureFilter::default()),
        include_assets: Vec::new(),
        include_tags: Some(Tags::Any(vec!["bare".into()])),
        ..mine
    };
    let saved = rule.saved("saved", &both).await;
    let (_, order) = bare.task().await;
    assert!(order.targets.is_empty(), "nothing there is to pass");
    bare.running(&order).await.expect("to run");
    bare.result(&task_report(&order.task, Outcome::Ran, HostChange::Kept)).await.expect("stored");
    let run = wait(&rule.world, &saved, |run| run.outcomes.contains_key(&Outcome::Ran)).await;
    assert_eq!(run.assets.all, 2);
    rule.edge("outcome ran");
    rule.end();
}
