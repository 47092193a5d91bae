//! Saving jobs; what may be chosen and what not is told by the rules.

use aright_shared::api::{Job, NewJob, PostureFilter, Run, RunState};
use aright_shared::client::ClientError;
use aright_shared::posture::{Reading, Value};
use aright_shared::time::SECOND;

use crate::world::{World, names_all, problem};

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
