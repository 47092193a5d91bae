//! Backup and restore: what is refused, what is kept, what comes back with agents that know more than the store.

use std::path::{Path, PathBuf};

use aright_controller::commands::{backup, restore};
use aright_shared::api::{Asset, Job, NewJob, Page, Run, RunState, Task, TaskDetail};
use aright_shared::envelope::{Envelope, TRUST};
use aright_shared::id::RunId;
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{TaskReport, TaskState};
use aright_shared::time::Clock as _;
use aright_shared::trust::TrustDocument;
use aright_shared::wire::{Orders, RenewReply, RenewRequest};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;

use crate::scripts;
use crate::world::{Agent, World, client, names_all, problem, task_report};

/// A backup of a running controller, and its passphrase.
struct Kept {
    file: PathBuf,
    passphrase: PathBuf,
}

fn take(world: &World) -> Kept {
    let at = |name: &str| world.folder.path().join(name);
    let kept = Kept { file: at("backup.age"), passphrase: at("passphrase") };
    std::fs::write(&kept.passphrase, "correct horse battery\n").expect("written");
    backup::run(&at("data"), &kept.file, Some(&kept.passphrase)).expect("taken");
    kept
}

fn put(kept: &Kept, data: &Path, over: bool) -> Result<(), String> {
    restore::run(&kept.file, data, over, Some(&kept.passphrase)).map_err(|error| format!("{error:#}"))
}

/// The same agent with a controller that is elsewhere by now.
fn meets(agent: &mut Agent, world: &World, certificate: &str) {
    let identity = agent.host.identity(certificate);
    agent.client = client(&world.agents_url(), world.authority(), Some(identity));
}

#[tokio::test]
async fn what_cannot_be_restored_is_refused_with_the_remedy_and_leaves_all_as_it_was() {
    let world = World::start().await;
    let (kept, data) = (take(&world), world.folder.path().join("data"));
    let refused = |kept: &Kept, data: &Path, over: bool, word: &str| {
        let why = put(kept, data, over).expect_err("refused");
        assert!(why.contains(word) && why.contains("next:"), "{why}");
    };
    refused(&kept, &data, true, "an aright-controller uses it");
    assert!(backup::run(&data, &kept.file, Some(&kept.passphrase)).is_err(), "it is there already");
    world.server.stop().await.expect("stops");
    refused(&kept, &data, false, "is not empty");

    let elsewhere = world.folder.path().join("elsewhere");
    let wrong = world.folder.path().join("wrong");
    std::fs::write(&wrong, "another passphrase\n").expect("written");
    let why =
        put(&Kept { file: kept.file.clone(), passphrase: wrong }, &elsewhere, false).expect_err("refused");
    assert!(why.contains("passphrase is wrong"), "{why}");
    let bytes = std::fs::read(&kept.file).expect("reads");
    let cut = Kept { file: world.folder.path().join("cut.age"), passphrase: kept.passphrase.clone() };
    std::fs::write(&cut.file, &bytes[..bytes.len() - 1000]).expect("written");
    put(&cut, &elsewhere, false).expect_err("refused");
    let strangers = world.folder.path().join("strangers");
    std::fs::create_dir(&strangers).expect("made");
    std::fs::write(strangers.join("letters"), "").expect("written");
    refused(&kept, &strangers, true, "no controller's");
    let other = World::start().await;
    let others = other.folder.path().join("data");
    other.server.stop().await.expect("stops");
    refused(&kept, &others, true, "name another folder");

    let names = |folder: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .expect("lists")
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names(world.folder.path()),
        ["backup.age", "cut.age", "data", "passphrase", "strangers", "wrong"],
        "nothing half-made is left"
    );
    assert_eq!(names(other.folder.path()), ["data"]);
}

#[tokio::test]
async fn over_a_folder_that_knows_more_revocations_and_the_higher_trust_stay() {
    let mut world = World::start().await;
    let (mut early, mut late) = (world.enroll("web1").await, world.enroll("web2").await);
    let data = world.folder.path().join("data");
    revoke(&world, &early).await;
    let kept = take(&world);
    revoke(&world, &late).await;
    let shown: serde_json::Value = world.operator.get("/api/v1/trust").await.expect("shown");
    let document: TrustDocument = serde_json::from_value(shown["document"].clone()).expect("a document");
    let pem = std::fs::read_to_string(data.join("offline/trust-root.key")).expect("reads");
    let root = SigningKey::from_pkcs8_pem(&pem).expect("a key");
    let sealed = |version, expires, key: &SigningKey| {
        let next = TrustDocument { version, expires, ..document.clone() };
        Envelope::seal(TRUST, &next, &[key]).expect("sealed")
    };
    // Not higher, over, by another key.
    let wrong = [
        (sealed(1, document.expires, &root), "version"),
        (sealed(2, document.expires.plus(-1_000_000_000_000), &root), "expires"),
        (sealed(2, document.expires, &SigningKey::from_bytes(&[7; 32])), "envelope"),
    ];
    for (envelope, field) in wrong {
        let refused = problem(world.operator.post::<_, serde_json::Value>("/api/v1/trust", &envelope).await);
        assert_eq!(refused.field.as_deref(), Some(field));
        names_all(&refused);
    }
    let higher = sealed(2, document.expires, &root);
    world.operator.post::<_, serde_json::Value>("/api/v1/trust", &higher).await.expect("taken");
    let audited: serde_json::Value = world.operator.get("/api/v1/audit?action=trust").await.expect("listed");
    assert_eq!(audited["items"].as_array().map(Vec::len), Some(1), "{audited}");

    world = world.restored(|data| put(&kept, data, true).expect("restored")).await;
    assert_eq!(world.server.app.trust().document.version, 2);
    for agent in [&mut early, &mut late] {
        let certificate = agent.reply.certificate.clone();
        meets(agent, &world, &certificate);
        assert_eq!(problem(agent.check_in(0).await).kind, "revoked");
    }
    let aside = std::fs::read_dir(world.folder.path()).expect("lists").filter_map(|entry| {
        entry.ok()?.file_name().into_string().ok().filter(|name| name.starts_with("data.before-restore-"))
    });
    assert_eq!(aside.count(), 1, "what was there is moved aside");
    assert!(data.join("offline/trust-root.key").exists(), "the root keys are in no backup");
}

#[tokio::test]
async fn an_agent_is_ordered_nothing_until_it_has_told_all_and_what_ran_is_not_ordered_again() {
    let mut world = World::start().await;
    let mut agent = world.enroll("web1").await;
    agent.see_failures();
    agent.report_all().await;
    scripts::approved(&world).await;
    // Pending in the backup, and run by the time of the restore.
    let job = NewJob { hold_s: Some(4), ..scripts::job_of(&agent.asset) };
    let _: serde_json::Value = world.operator.post("/api/v1/jobs", &job).await.expect("saved");
    let history = agent.check_in(0).await.expect("orders").history;
    assert!(history.is_some());
    let kept = take(&world);
    let (_, order) = agent.task().await;
    agent.running(&order).await.expect("may begin");
    let report = task_report(&order.task, Outcome::Ran, HostChange::Kept);
    agent.result(&report).await.expect("acknowledged");
    let renewed: RenewReply =
        agent.client.post("/agent/v1/renew", &RenewRequest { csr: agent.host.csr() }).await.expect("renewed");
    let mut newcomer = world.enroll("web2").await;

    world = world.restored(|data| put(&kept, data, true).expect("restored")).await;
    meets(&mut agent, &world, &renewed.certificate);
    for _ in 0..3 {
        let told = aright_shared::wire::CheckIn { history: history.clone(), ..agent.told(1) };
        let orders: Orders =
            agent.client.post("/agent/v1/check-in", &told).await.expect("its certificate serves");
        assert!(orders.tasks.is_empty(), "it has not told all");
        assert!(orders.history.is_some() && orders.history != history);
    }
    agent.result(&report).await.expect("acknowledged again");
    let detail: TaskDetail =
        world.operator.get(&format!("/api/v1/tasks/{}", order.task)).await.expect("the same task");
    assert_eq!((detail.task.state, detail.task.outcome), (TaskState::Ended, Some(Outcome::Ran)));
    assert!(agent.check_in(1).await.expect("orders").tasks.is_empty(), "it ran");

    let certificate = newcomer.reply.certificate.clone();
    meets(&mut newcomer, &world, &certificate);
    let forgotten = problem(newcomer.check_in(0).await);
    assert_eq!(forgotten.kind, "asset-forgotten");
    names_all(&forgotten);
}

#[tokio::test]
async fn however_old_a_backup_what_waited_is_ordered_and_its_agent_says_that_it_ran() {
    let mut world = World::start().await;
    let mut agent = world.enroll("web1").await;
    scripts::approved(&world).await;
    let job = scripts::job_of(&agent.asset);
    let queued: Job = world.operator.post("/api/v1/jobs", &job).await.expect("saved");
    let run = queued.runs[0].id.clone();
    until_executing(&world, &run).await;
    let kept = take(&world);
    world = world
        .restored(|data| {
            put(&kept, data, true).expect("restored");
            // As if it were of three days ago.
            let db = rusqlite::Connection::open(data.join("aright.db")).expect("opens");
            db.execute_batch(
                "UPDATE tasks SET queued_at = queued_at - 259200000; \
                 UPDATE settings SET value = json_set(value, '$.taken', json_extract(value, '$.taken') - 259200000) \
                 WHERE name = 'restored'",
            )
            .expect("aged");
        })
        .await;
    let certificate = agent.reply.certificate.clone();
    meets(&mut agent, &world, &certificate);
    let orders = agent.check_in(1).await.expect("orders");
    let [order] = orders.tasks.as_slice() else { panic!("{orders:?}") };
    let now = aright_shared::time::WallClock.now();
    let report = TaskReport::of(&order.task, Outcome::Refused, HostChange::None, "it was obeyed", now, now);
    let report = TaskReport { refusal: Some(Refusal::Replayed), ..report };
    agent.result(&report).await.expect("acknowledged");
    let tasks: Page<Task> = world.operator.get(&format!("/api/v1/tasks?run={run}")).await.expect("listed");
    let ends: Vec<_> = tasks.items.iter().map(|task| (task.outcome, task.refusal)).collect();
    assert_eq!(ends, [(Some(Outcome::Refused), Some(Refusal::Replayed))]);
}

async fn until_executing(world: &World, run: &RunId) {
    for _ in 0..100 {
        let run: Run = world.operator.get(&format!("/api/v1/runs/{run}")).await.expect("shown");
        if run.state == RunState::Executing {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("it did not begin");
}

async fn revoke(world: &World, agent: &Agent) {
    let path = format!("/api/v1/assets/{}/revoke", agent.asset);
    let _: Asset = world.operator.post(&path, &()).await.expect("revoked");
}
