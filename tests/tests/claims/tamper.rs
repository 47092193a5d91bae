//! What was changed after it was signed, or signed by the wrong key, never runs: on the wire (by an
//! impostor with all keys that lie with the controller), in the agent's spool, in the controller's
//! database. Each is refused with its own reason, and the agent obeys the next honest task.
//!
//! What ran is heard by a canary that the script wakes before all else, also were it to be undone; what
//! changed is seen by a listing of `/etc`. Two things are the controller's right, and no tampering: to
//! order an approved script with a new nonce, and to order it on any asset. So a database cannot be made
//! to send an old envelope (each delivery is signed anew), but it can be made to name a nonce twice.

mod forge;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob, PostureFilter, Task};
use aright_shared::digest::Digest;
use aright_shared::id::{JobId, TaskId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::task::{Delivery, TaskReport};
use aright_shared::wire::Orders;
use aright_tests::tree::Listing;
use aright_tests::{
    Agent, Canary, Chamber, Cli, Controller, Exchange, Impostor, Lab, Place as _, needs, skip, until,
};
use forge::{CASES, LIBRARY_CASES, Thief, flip};
use rusqlite::{Connection, params};

const PATIENCE: Duration = Duration::from_secs(30);
const WORD: &str = "ARIGHT_WORD";

#[test]
fn on_the_wire() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let since = Instant::now();
    let scene = Scene::new()?;
    let mut agent = Agent::install(&scene.chamber, scene.log())?;
    let plot = Arc::new(Plot::default());
    let impostor = Impostor::start(&scene.controller, agent.state(), plot.clone().changes())?;
    agent.enroll(&impostor.url(), &scene.cli.enroll_key(1)?)?;
    agent.start()?;
    let asset = scene.asset()?;
    let job = scene.job(&asset, &["canary"])?;
    let honest = scene.ran(&job)?;
    let thief = Arc::new(scene.thief(&honest)?);
    let before = scene.listing()?;

    for case in CASES {
        let thief = thief.clone();
        plot.spoil_next(move |delivery| (case.spoil)(&thief, delivery));
        scene.cli.run_job(&job)?;
        let tasks = scene.cli.watch(&job)?;
        is_refused(&tasks, case.refusal).with_context(|| format!("{}: {}", case.what, agent.log()))?;
        ensure!(plot.is_done(), "{}: nothing was delivered", case.what);
    }

    for case in LIBRARY_CASES {
        let thief = thief.clone();
        plot.spoil_next(move |delivery| (case.spoil)(&thief, delivery));
        let tasks = scene.cli.watch(&scene.library_job()?)?;
        is_refused(&tasks, case.refusal).with_context(|| format!("{}: {}", case.what, agent.log()))?;
    }

    // An order that was obeyed, once more: as it was, and with a nonce that nobody saw before.
    let mut renewed = plot.delivered(&honest)?;
    let replay = renewed.clone();
    thief.sign(&mut renewed, |order| order.nonce = "AAAAAAAAAAAAAAAAAAAAAA==".into())?;
    for delivery in [replay, renewed] {
        plot.inject(delivery);
        scene.cli.text(&["asset", "evaluate", asset.id.as_str()])?;
        let report = until("a refusal", PATIENCE, || Ok(plot.take_report()))?;
        let end = (&report.task, report.outcome, report.refusal);
        ensure!(end == (&honest, Outcome::Refused, Some(Refusal::Replayed)), "{report:?}");
    }
    ensure!(scene.cli.task(&honest)?.task.outcome == Some(Outcome::Ran), "its outcome was replaced");

    scene.nothing_ran(&before, 1)?;
    agent.running()?.check()?;
    scene.obeyed(&job)?;
    figure(&format!("on the wire: {} of {0} refused", CASES.len() + LIBRARY_CASES.len() + 2), since);
    Ok(())
}

#[test]
fn in_the_spool() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let since = Instant::now();
    let scene = Scene::new()?;
    let mut agent = Agent::install(&scene.chamber, scene.log())?;
    agent.enroll(&scene.controller.agents_url(), &scene.cli.enroll_key(1)?)?;
    agent.start()?;
    let asset = scene.asset()?;
    let job = scene.job(&asset, &["canary"])?;
    let thief = scene.thief(&scene.ran(&job)?)?;
    agent.stop()?;
    let before = scene.listing()?;

    for case in CASES {
        agent.set_fail_point(Some("after:spooled"));
        agent.start()?;
        scene.cli.run_job(&job)?;
        agent.died()?;
        let spooled = spooled(&agent)?;
        let mut delivery: Delivery = serde_json::from_slice(&fs::read(&spooled)?)?;
        (case.spoil)(&thief, &mut delivery)?;
        fs::write(&spooled, serde_json::to_vec(&delivery)?)?;
        agent.set_fail_point(None);
        agent.start()?;
        let tasks = scene.cli.watch(&job)?;
        is_refused(&tasks, case.refusal).with_context(|| format!("{}: {}", case.what, agent.log()))?;
        agent.stop()?;
    }

    scene.nothing_ran(&before, 1)?;
    // What lies in the spool unspoilt is obeyed, so that it was not the restart that refused.
    agent.set_fail_point(Some("after:spooled"));
    agent.start()?;
    scene.cli.run_job(&job)?;
    agent.died()?;
    agent.set_fail_point(None);
    agent.start()?;
    scene.ran(&job)?;
    ensure!(scene.canary.heard().len() == 2, "heard {:?}", scene.canary.heard());
    figure(&format!("in the agent's spool: {} of {0} refused", CASES.len()), since);
    Ok(())
}

/// A script for each, so that one run has a task for each.
const IN_DATABASE: &[(&str, Refusal)] = &[
    ("body", Refusal::BadSignature),
    ("touches", Refusal::BadSignature),
    ("pattern", Refusal::BadSignature),
    ("re-signed", Refusal::NotApproved),
    ("library", Refusal::NotApproved),
    ("parameter", Refusal::BadParameter),
    ("nonce", Refusal::Replayed),
];

#[test]
fn in_the_database() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let since = Instant::now();
    let mut scene = Scene::new()?;
    let keys: Vec<&str> = IN_DATABASE.iter().map(|(key, _)| *key).collect();
    for key in &keys {
        scene.approve(key)?;
    }
    let mut agent = Agent::install(&scene.chamber, scene.log())?;
    agent.enroll(&scene.controller.agents_url(), &scene.cli.enroll_key(1)?)?;
    agent.start()?;
    let asset = scene.asset()?;
    let honest = scene.job(&asset, &["canary"])?;
    let thief = scene.thief(&scene.ran(&honest)?)?;
    agent.stop()?;
    let before = scene.listing()?;

    let job = scene.job(&asset, &keys)?;
    let lost = scene.job(&asset, &["canary"])?;
    scene.planned(&job)?;
    scene.planned(&lost)?;
    scene.controller.stop()?;
    let database = scene.controller.data().join("aright.db");
    spoil(&Connection::open(&database)?, &thief, &job, &lost)?;
    scene.controller.start_again()?;
    agent.start()?;
    let tasks = scene.cli.watch(&job)?;

    ensure!(tasks.len() == IN_DATABASE.len(), "{tasks:?}");
    for (key, refusal) in IN_DATABASE {
        let of_key: Vec<Task> = tasks.iter().filter(|task| task.script.as_str() == *key).cloned().collect();
        is_refused(&of_key, *refusal).with_context(|| format!("{key}: {}", agent.log()))?;
    }
    // An asset that is not there is sent nothing.
    let never = scene.cli.watch(&lost)?;
    ensure!(never.iter().all(|task| task.outcome == Some(Outcome::Undelivered)), "{never:?}");
    scene.nothing_ran(&before, 1)?;
    scene.obeyed(&honest)?;
    figure(&format!("in the database: {} of {0} refused, a lost one never sent", IN_DATABASE.len()), since);
    Ok(())
}

fn spoil(database: &Connection, thief: &Thief, job: &JobId, lost: &JobId) -> anyhow::Result<()> {
    database.pragma_update(None, "foreign_keys", false)?;
    for (key, place) in [("body", forge::BODY), ("touches", forge::TOUCHES), ("pattern", forge::PATTERN)] {
        let mut bytes = bytes(database, key)?;
        flip(&mut bytes, place)?;
        one(database.execute("UPDATE scripts SET bytes = $1 WHERE key = $2", params![bytes, key])?)?;
    }
    resign(database, thief, job)?;
    one(database.execute("UPDATE scripts SET origin = 'library' WHERE key = 'library'", [])?)?;
    let spoilt = serde_json::json!({WORD: "two words"}).to_string();
    one(set(database, job, "parameter", "params", &spoilt)?)?;
    one(set(database, job, "nonce", "nonce", &thief.spent)?)?;
    let asset: String =
        database.query_row("SELECT asset FROM tasks WHERE job = $1", [lost.as_str()], |row| row.get(0))?;
    let mut another = asset.clone();
    // The version's digit, so that it still is an id.
    flip(&mut another, &asset[..15])?;
    one(set(database, lost, "canary", "asset", &another)?)?;
    // It is looked for until the run ends, which is soon.
    one(database.execute("UPDATE runs SET expires_at = due_at + 5000 WHERE job = $1", [lost.as_str()])?)
}

/// Another body, with its digest and an approval by the controller's own key.
fn resign(database: &Connection, thief: &Thief, job: &JobId) -> anyhow::Result<()> {
    let mut bytes = bytes(database, "re-signed")?;
    flip(&mut bytes, forge::BODY)?;
    let digest = Digest::of(bytes.as_bytes()).to_string();
    let sql = "UPDATE scripts SET bytes = $1, digest = $2 WHERE key = 're-signed'";
    one(database.execute(sql, params![bytes, digest])?)?;
    let envelope = thief.approval(&bytes)?;
    let sql = "INSERT INTO approvals (digest, script, envelope, approver, approved_at, not_after, received_at) \
               VALUES ($1, $2, $3, 'admin', 0, 4102444800000, 0)";
    let row = params![envelope.digest()?.to_string(), digest, serde_json::to_string(&envelope)?];
    one(database.execute(sql, row)?)?;
    one(database.execute(
        "UPDATE tasks SET script = $1 WHERE job = $2 AND script NOT IN (SELECT digest FROM scripts)",
        params![digest, job.as_str()],
    )?)
}

fn bytes(database: &Connection, key: &str) -> anyhow::Result<String> {
    Ok(database.query_row("SELECT bytes FROM scripts WHERE key = $1", [key], |row| row.get(0))?)
}

/// Of the job's task with this script.
fn set(database: &Connection, job: &JobId, key: &str, column: &str, value: &str) -> anyhow::Result<usize> {
    let sql = format!(
        "UPDATE tasks SET {column} = $1 WHERE job = $2 AND script = (SELECT digest FROM scripts WHERE key = $3)"
    );
    Ok(database.execute(&sql, params![value, job.as_str(), key])?)
}

fn one(changed: usize) -> anyhow::Result<()> {
    ensure!(changed == 1, "{changed} rows");
    Ok(())
}

/// A controller, a host's root, an approved script that is heard when it runs.
struct Scene {
    controller: Controller,
    cli: Cli,
    canary: Canary,
    chamber: Chamber,
    lab: Lab,
}

impl Scene {
    fn new() -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let controller = Controller::start(&lab)?;
        let cli = Cli::log_in(&controller)?;
        let (canary, chamber) = (Canary::new(&lab)?, Chamber::new(&lab)?);
        let scene = Self { controller, cli, canary, chamber, lab };
        scene.approve("canary")?;
        Ok(scene)
    }

    fn log(&self) -> PathBuf {
        self.lab.folder().join("agent.log")
    }

    fn approve(&self, key: &str) -> anyhow::Result<()> {
        let song = self.canary.song(&format!("${WORD}"));
        let script = format!(
            "aright: 1\nkind: script\nkey: {key}\norigin: custom\ntitle: Canary\nrisk: safe\ninterpreter: bash\n\
             timeout_s: 30\nnetwork: host\nparams: {{{WORD}: {{from: given, pattern: '[a-z]{{1,8}}'}}}}\n\
             touches: [/etc/canary]\nbody: |\n  # the body\n  {song}\n  date +%N >/etc/canary\n"
        );
        self.cli.approve(&self.controller, &script).map(drop)
    }

    /// The one asset, once it has reported.
    fn asset(&self) -> anyhow::Result<Asset> {
        self.cli.reported()
    }

    fn job(&self, asset: &Asset, scripts: &[&str]) -> anyhow::Result<JobId> {
        let given = BTreeMap::from([(WORD.to_owned(), "canary".to_owned())]);
        let custom = |key: &&str| Ok(CustomScript { key: key.parse()?, params: given.clone() });
        self.cli.create_job(&NewJob {
            name: "tamper".into(),
            custom_scripts: scripts.iter().map(custom).collect::<anyhow::Result<_>>()?,
            include_assets: vec![asset.id.clone()],
            ..NewJob::default()
        })
    }

    /// Of one library script.
    fn library_job(&self) -> anyhow::Result<JobId> {
        let control = vec!["login-defs-pass-max-days".parse()?];
        self.cli.create_job(&NewJob {
            name: "tamper".into(),
            filter: Some(PostureFilter { control, ..PostureFilter::default() }),
            ..NewJob::default()
        })
    }

    fn planned(&self, job: &JobId) -> anyhow::Result<()> {
        until("the tasks", PATIENCE, || {
            let tasks = self.cli.json(&["task", "list", "--job", job.as_str()])?;
            Ok(tasks.as_array().filter(|tasks| !tasks.is_empty()).map(|_| ()))
        })
    }

    /// The task of the job's newest run, which the agent obeyed.
    fn ran(&self, job: &JobId) -> anyhow::Result<TaskId> {
        let tasks = self.cli.watch(job)?;
        let [task] = &tasks[..] else { anyhow::bail!("{tasks:?}") };
        ensure!((task.outcome, task.change) == (Some(Outcome::Ran), Some(HostChange::Kept)), "{task:?}");
        Ok(task.id.clone())
    }

    /// Runs the job once more, honestly.
    fn obeyed(&self, job: &JobId) -> anyhow::Result<()> {
        let before = (self.canary.heard().len(), self.chamber.read("/etc/canary")?);
        self.cli.run_job(job)?;
        self.ran(job)?;
        ensure!(self.canary.heard().len() == before.0 + 1, "heard {:?}", self.canary.heard());
        ensure!(self.chamber.read("/etc/canary")? != before.1, "it changed nothing");
        Ok(())
    }

    fn thief(&self, obeyed: &TaskId) -> anyhow::Result<Thief> {
        let order = self.cli.task(obeyed)?.order.context("no order")?;
        let task_key = self.controller.signing_key("keys/task.key")?;
        Ok(Thief { task_key, spent: forge::order(&order)?.nonce })
    }

    fn listing(&self) -> anyhow::Result<Listing> {
        Listing::of(&[&self.chamber.path("/etc")])
    }

    /// Nothing but what was heard `honest` times before, and nothing changed.
    fn nothing_ran(&self, before: &Listing, honest: usize) -> anyhow::Result<()> {
        let heard = self.canary.heard();
        ensure!(heard.len() == honest, "heard {heard:?}");
        let changed = before.diff(&self.listing()?);
        ensure!(changed.is_empty(), "{changed:?}");
        Ok(())
    }
}

fn is_refused(tasks: &[Task], refusal: Refusal) -> anyhow::Result<()> {
    let [task] = tasks else { anyhow::bail!("not one task: {tasks:?}") };
    let end = (task.outcome, task.refusal, task.change);
    let wanted = (Some(Outcome::Refused), Some(refusal), Some(HostChange::None));
    ensure!(end == wanted, "wanted refused: {refusal}, found {task:?}");
    Ok(())
}

/// The order of the task that was taken in last.
fn spooled(agent: &Agent<'_, Chamber>) -> anyhow::Result<PathBuf> {
    let folders = fs::read_dir(agent.state().join("tasks"))?;
    let mut tasks = folders.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
    tasks.retain(|path| path.join("delivery.json").is_file());
    Ok(tasks.into_iter().max().context("nothing was taken in")?.join("delivery.json"))
}

type Spoil = Box<dyn FnOnce(&mut Delivery) -> anyhow::Result<()> + Send>;

/// What the impostor is to do with the next delivery, and what it saw.
#[derive(Default)]
struct Plot(Mutex<State>);

#[derive(Default)]
struct State {
    spoil: Option<Spoil>,
    inject: Option<Delivery>,
    delivered: Vec<Delivery>,
    reports: Vec<TaskReport>,
}

impl Plot {
    fn changes(self: Arc<Self>) -> impl Fn(Exchange<'_>) + Send + Sync {
        move |exchange| {
            let state = &mut *self.state();
            if exchange.path.ends_with("/result") {
                state.reports.extend(serde_json::from_slice::<TaskReport>(exchange.request).ok());
            }
            if exchange.path.ends_with("/check-in")
                && let Ok(mut orders) = serde_json::from_slice::<Orders>(exchange.reply)
            {
                state.change(&mut orders);
                *exchange.reply = serde_json::to_vec(&orders).unwrap_or_default();
            }
        }
    }

    fn spoil_next(&self, spoil: impl FnOnce(&mut Delivery) -> anyhow::Result<()> + Send + 'static) {
        self.state().spoil = Some(Box::new(spoil));
    }

    fn is_done(&self) -> bool {
        self.state().spoil.is_none()
    }

    /// Sent with the next reply.
    fn inject(&self, delivery: Delivery) {
        let mut state = self.state();
        state.reports.clear();
        state.inject = Some(delivery);
    }

    fn delivered(&self, task: &TaskId) -> anyhow::Result<Delivery> {
        let state = self.state();
        state.delivered.iter().find(|delivery| delivery.task == *task).cloned().context("not delivered")
    }

    fn take_report(&self) -> Option<TaskReport> {
        self.state().reports.pop()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn change(&mut self, orders: &mut Orders) {
        for delivery in &mut orders.tasks {
            self.delivered.push(delivery.clone());
            if let Some(spoil) = self.spoil.take() {
                spoil(delivery).expect("a delivery that can be spoilt");
            }
        }
        orders.tasks.extend(self.inject.take());
    }
}

#[expect(clippy::print_stdout, reason = "the figure")]
fn figure(what: &str, since: Instant) {
    println!(
        "figure: {what}; nothing ran, and the next honest task did ({:.1} s)",
        since.elapsed().as_secs_f64()
    );
}
