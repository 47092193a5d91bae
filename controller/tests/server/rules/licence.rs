//! Custom scripts need a licence: to be chosen, and again to run.

use aright_shared::api::{Job, Licence, LicenceKind, NewJob, Run, Task};
use aright_shared::outcome::{Outcome, Refusal};
use aright_shared::time::{DAY, Millis, SECOND};

use super::{Rule, failing, job};
use crate::scripts::{approved, job_of};
use crate::world::{World, names_all, problem};

async fn set(rule: &Rule, kind: LicenceKind, until: Option<Millis>) {
    let licence = Licence { kind, until };
    let told: Licence = rule.world.operator.put("/api/v1/licence", &licence).await.expect("set");
    assert_eq!(told, licence);
}

fn with_custom(asset: &aright_shared::id::AssetId) -> NewJob {
    NewJob { custom_scripts: job_of(asset).custom_scripts, expiry_s: Some(9 * 24 * 3600), ..job() }
}

#[tokio::test]
async fn a_custom_script_is_chosen_with_trial_or_full() {
    let rule = Rule::start("licence at choice", crate::world::CONTENT).await;
    let agent = failing(&rule, "web1", &[]).await;
    approved(&rule.world).await;
    let fresh: Licence = rule.world.operator.get("/api/v1/licence").await.expect("shown");
    assert_eq!(fresh.kind, LicenceKind::Full);
    let with = with_custom(&agent.asset);
    rule.saved("full, as a fresh controller has it", &with).await;
    set(&rule, LicenceKind::None, None).await;
    assert_eq!(rule.refused("none", &with).await.kind, "licence");
    rule.saved("none, library scripts alone", &job()).await;
    let end = rule.world.server.app.now().plus(60 * SECOND);
    set(&rule, LicenceKind::Trial, Some(end)).await;
    rule.saved("trial", &with).await;
    rule.world.pass(61 * SECOND);
    let over = rule.refused("a trial that is over", &with).await;
    assert!(over.value.as_deref().expect("says so").contains("trial ended"));
    for (edge, kind, until) in [
        ("a trial without an end", LicenceKind::Trial, None),
        ("a trial that ended before", LicenceKind::Trial, Some(Millis(1))),
        ("full with an end", LicenceKind::Full, Some(end.plus(DAY))),
    ] {
        let refused =
            problem(rule.world.operator.put::<_, Licence>("/api/v1/licence", &Licence { kind, until }).await);
        names_all(&refused);
        rule.edge(edge);
    }
    let database =
        rusqlite::Connection::open(rule.world.folder.path().join("data/aright.db")).expect("opens");
    let audited =
        super::count(&database, "SELECT COUNT(*) FROM audit WHERE action = 'licence.set' AND who = 'admin'");
    assert_eq!(audited, 2, "each change, and no refused one");
    rule.edge("audited");
    rule.end();
}

#[tokio::test]
async fn it_runs_with_full_only_while_the_rest_of_the_job_goes_on() {
    for (kind, trial_left, runs) in [
        (LicenceKind::Full, None, true),
        (LicenceKind::Trial, Some(DAY), false),
        (LicenceKind::Trial, Some(2 * SECOND), false),
        (LicenceKind::None, None, false),
    ] {
        let rule = Rule::of("licence at execution", World::start().await);
        let mut agent = failing(&rule, "web1", &[]).await;
        approved(&rule.world).await;
        let job: Job =
            rule.saved("saved with full", &NewJob { hold_s: Some(900), ..with_custom(&agent.asset) }).await;
        let until = trial_left.map(|left| rule.world.server.app.now().plus(left));
        set(&rule, kind, until).await;
        rule.world.pass(901 * SECOND);
        let run = crate::dispatch::wait(&rule.world, &job, |run: &Run| run.tasks == 3).await;
        let refused = run.outcomes.get(&Outcome::Refused).copied().unwrap_or(0);
        assert_eq!(refused == 0, runs, "{kind}");
        if !runs {
            let tasks: Vec<Task> = crate::dispatch::tasks(&rule.world).await;
            let ours = tasks.iter().find(|task| task.script.as_str() == "my-fix").expect("it has a task");
            assert_eq!(ours.refusal, Some(Refusal::Licence));
        }
        let (_, order) = agent.task().await;
        agent.running(&order).await.expect("the library's script is to run");
        rule.edge(&format!("{kind}: {}", if runs { "runs" } else { "refused: licence" }));
        rule.end();
    }
}
