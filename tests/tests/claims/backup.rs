//! A backup taken in the midst of a run and restored elsewhere, at the same address: what was acknowledged before it
//! was begun is in it, what was told since comes again from the agents, no script runs twice, agents go on without a
//! hand. Two real agents, whose scripts a canary hears, among simulated ones with a ledger of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_shared::api::{CustomScript, NewJob, Task};
use aright_shared::envelope::{Envelope, TRUST};
use aright_shared::id::{AssetId, Key, RunId, TaskId};
use aright_shared::outcome::Outcome;
use aright_shared::task::TaskState;
use aright_shared::trust::TrustDocument;
use aright_tests::{
    Agent, Canary, Chamber, Cli, Controller, Dice, Lab, Place as _, SEED, inside, needs, seed, skip, until,
};
use rusqlite::Connection;

use super::dispatch::fate::{Coming, Fate, Scene, Word};
use super::dispatch::judge::Judge;
use super::dispatch::words::CONTROLS;
use super::dispatch::world::{Ground, World};

const AGENTS: usize = 60;
/// Revoked before the backup, and after it.
const REVOKED: [usize; 2] = [0, 1];
const HOSTS: [&str; 2] = ["web1", "web2"];
const WORD: &str = "ARIGHT_WORD";
/// How long after it was saved a run is due that is to be pending in the backup.
const HOLD_S: u32 = 25;
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn taken_under_load_and_restored_elsewhere_it_loses_nothing_and_nothing_runs_twice() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let seed = seed()?;
    let lab = Lab::new()?;
    let ground = Ground::lay(&lab, AGENTS)?;
    let real = Real::join(&lab, &ground.controller)?;
    let files = Files::of(&lab)?;
    let mut figures = Vec::new();
    let played = inside(&lab, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(play(ground, &real, files, seed, &mut figures))
    });
    for figure in figures {
        println!("figure: backup: seed {seed}, {figure}");
    }
    played.with_context(|| format!("{SEED}={seed}\n{}", real.log()))
}

async fn play(
    ground: Ground,
    real: &Real<'_>,
    files: Files,
    seed: u64,
    figures: &mut Vec<String>,
) -> anyhow::Result<()> {
    let root = ground.controller.signing_key("offline/trust-root.key")?;
    let mut world = World::start(ground, seed, 2).await?;
    let slow = Scene::new("backup", seed, Box::new(slow)).without(REVOKED.into());
    world.play(slow);
    real.cli.text(&["asset", "revoke", world.agents[REVOKED[0]].asset.as_str()])?;

    // In flight, and to come.
    let all = 2 * (AGENTS - REVOKED.len());
    let in_flight =
        world.create(&world.with_controls(simulated(&world, "in flight"), &CONTROLS[..1])?).await?;
    let during = world.create(&real.job("during")).await?;
    let held = world.create(&NewJob { hold_s: Some(HOLD_S), ..real.job("held") }).await?;
    let runs = [in_flight.clone(), during, held.clone()];
    world.until("results", async || Ok(acknowledged(&world, &in_flight).len() >= all / 5)).await?;
    let acknowledged = acknowledged(&world, &in_flight);
    let since = Instant::now();
    let paths = files.clone();
    world.with_controller(move |controller| controller.backup(&paths.backup, &paths.passphrase)).await?;
    let took = since.elapsed();

    // It goes on for a while; another trust document is in force, and a job is saved, of which the backup cannot know.
    Real::import(&real.cli, &root, 2, &files)?;
    let mut before = BTreeMap::new();
    for run in &runs {
        before.extend(outcomes(world.ended(run).await?.1));
    }
    let after = world.create(&real.job("after")).await?;
    world.ended(&after).await?;
    let paths = files.clone();
    world
        .with_controller(move |controller| {
            controller.kill()?;
            // Nothing of the old machine is left.
            fs::rename(controller.data(), controller.data().with_extension("lost"))?;
            controller.restore(&paths.backup, &paths.passphrase, &paths.elsewhere, &[])
        })
        .await?;
    let stored = Stored::open(&files.elsewhere)?;
    for task in &acknowledged {
        ensure!(
            stored.task(task)? == "ended",
            "{task} was acknowledged before the backup began, and is lost"
        );
    }
    ensure!(stored.run(&held)? == "pending", "the machine is too slow: the held run had begun");
    let known = stored.ended(&in_flight)?;
    ensure!(known < all, "the run was over when the backup was taken");
    drop(stored);

    world.with_controller(Controller::start_again).await?;
    world.log_in_again().await?;
    let cli = world.with_controller(|controller| Cli::log_in(controller)).await?;
    for run in &runs {
        let (_, tasks) = world.ended(run).await.context("results that come again")?;
        for (task, outcome) in outcomes(tasks) {
            let told = before.get(&task).with_context(|| format!("{task} of {run} is another task"))?;
            ensure!(*told == outcome, "{task} was {told:?} and is {outcome:?}");
        }
    }
    let judged = world.ended(&in_flight).await?;
    Judge::new(&world.stage.ledger, vec![judged]).whole(all)?;
    // Agents bring it back.
    until("the trust document", PATIENCE, || Ok((trust_version(&cli)? == 2).then_some(())))?;
    is_revoked(&world, REVOKED[0]).await?;

    // Agents go on: all of them take new work.
    let further = world.create(&world.with_controls(simulated(&world, "further"), &CONTROLS[1..2])?).await?;
    let restored = world.create(&real.job("restored")).await?;
    Judge::new(&world.stage.ledger, vec![world.ended(&further).await?]).whole(all)?;
    let tasks = outcomes(world.ended(&restored).await?.1);
    ensure!(tasks.values().all(|outcome| *outcome == Some(Outcome::Ran)), "{tasks:?}");
    real.sang(&["during", "held", "after", "restored"])?;
    figures.push(format!(
        "{AGENTS} simulated and {} real agents; backup of {} bytes in {:.1} s with {known} of {all} tasks ended, \
         {} acknowledged before it; {} results told again; 0 lost, 0 twice",
        HOSTS.len(),
        fs::metadata(&files.backup)?.len(),
        took.as_secs_f64(),
        acknowledged.len(),
        world.stage.told_again.load(Ordering::Relaxed),
    ));

    // The same backup over a controller that has revoked and believes more by now.
    cli.text(&["asset", "revoke", world.agents[REVOKED[1]].asset.as_str()])?;
    Real::import(&cli, &root, 3, &files)?;
    let paths = files.clone();
    let said = world
        .with_controller(move |controller| {
            controller.kill()?;
            controller.restore(&paths.backup, &paths.passphrase, &paths.elsewhere, &["--over"])
        })
        .await?;
    world.with_controller(Controller::start_again).await?;
    let cli = world.with_controller(|controller| Cli::log_in(controller)).await?;
    ensure!(trust_version(&cli)? == 3, "the trust document fell back:\n{said}");
    for number in REVOKED {
        is_revoked(&world, number).await?;
    }
    Ok(())
}

/// No root key is in it, and who has only the stock tools and the passphrase can open it.
#[test]
fn age_and_tar_open_it_and_no_root_key_is_in_it() -> anyhow::Result<()> {
    needs!(skip::LAB, skip::AGE);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let files = Files::of(&lab)?;
    controller.backup(&files.backup, &files.passphrase)?;
    let opened = lab.folder().join("opened.tar");
    let open = format!("age --decrypt --output {} {}", opened.display(), files.backup.display());
    let mut age = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &open, "/dev/null"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut terminal = age.stdin.take().context("no terminal")?;
    terminal.write_all(&fs::read(&files.passphrase)?)?;
    ensure!(age.wait()?.success(), "age did not open it");
    let list = std::process::Command::new("tar").arg("--list").arg("--file").arg(&opened).output()?;
    let names: BTreeSet<_> = std::str::from_utf8(&list.stdout)?.lines().map(str::to_owned).collect();
    ensure!(names.contains("manifest.json") && names.contains("aright.db"), "{names:?}");
    ensure!(names.contains("authority/intermediate.pem") && names.contains("keys/task.key"), "{names:?}");
    let bytes = fs::read(&opened)?;
    let contains = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    ensure!(contains(body(&controller, "keys/task.key")?.as_bytes()), "the search is broken");
    for secret in ["authority-root.key", "trust-root.key", "approver-admin.key"] {
        let secret = body(&controller, &format!("offline/{secret}"))?;
        ensure!(!contains(secret.as_bytes()), "{secret} is in the backup");
    }
    ensure!(!fs::read(&files.backup)?.windows(15).any(|part| part == b"SQLite format 3"), "not sealed");
    Ok(())
}

/// Whatever lies where its half is written, and whenever it is ended.
#[test]
fn its_half_goes_nowhere_else_and_is_not_left() -> anyhow::Result<()> {
    needs!(skip::LAB);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let files = Files::of(&lab)?;
    let half = lab.folder().join(".backup.age.partial");
    let copy = controller.data().join("backup/snapshot.db");
    let victim = lab.folder().join("victim");
    fs::write(&victim, "mine\n")?;
    fs::create_dir_all(controller.data().join("backup"))?;
    for planted in [&half, &copy] {
        std::os::unix::fs::symlink(&victim, planted)?;
    }

    let cut_short = controller.begin_backup(&files.backup, &files.passphrase)?;
    let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|one| one.is_file());
    until("its half", Duration::from_secs(30), || Ok(is_file(&half).then_some(())))?;
    let mode = half.metadata()?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "its half has mode {mode:o}");
    ensure!(!cut_short.stop()?.success());
    for left in [&half, &copy, &files.backup] {
        ensure!(left.symlink_metadata().is_err(), "{} is left", left.display());
    }
    controller.backup(&files.backup, &files.passphrase)?;
    ensure!(fs::read_to_string(&victim)? == "mine\n", "a planted link was followed");
    Ok(())
}

/// The secret part of a key's PEM.
fn body(controller: &Controller, below: &str) -> anyhow::Result<String> {
    let pem = fs::read_to_string(controller.data().join(below))?;
    Ok(pem.lines().nth(1).context("no key")?.to_owned())
}

/// Two agents in chambers, and what their scripts sing.
struct Real<'a> {
    cli: Cli,
    canary: Canary,
    assets: Vec<AssetId>,
    log: PathBuf,
    _agents: Vec<Agent<'a, Chamber>>,
}

impl Real<'_> {
    fn join(lab: &Lab, controller: &Controller) -> anyhow::Result<Self> {
        let (cli, canary) = (Cli::log_in(controller)?, Canary::new(lab)?);
        let song = canary.song(&format!("$(cat /etc/hostname) ${WORD}"));
        let script = format!(
            "aright: 1\nkind: script\nkey: canary\norigin: custom\ntitle: Canary\nrisk: safe\ninterpreter: bash\n\
             timeout_s: 30\nnetwork: host\nparams: {{{WORD}: {{from: given, pattern: '[a-z]{{1,8}}'}}}}\n\
             touches: [/etc/canary]\nbody: |\n  {song}\n  date +%N >/etc/canary\n  sleep 3\n"
        );
        cli.approve(controller, &script)?;
        let mut agents = Vec::new();
        for (host, id) in HOSTS.iter().zip(1u128..) {
            // As long as the test itself.
            let chamber: &Chamber = Box::leak(Box::new(Chamber::new(lab)?));
            chamber.write("/etc/machine-id", &format!("{id:032x}\n"))?;
            chamber.write("/etc/hostname", &format!("{host}\n"))?;
            agents.push(Agent::joined(chamber, controller, &cli)?);
        }
        let assets = until("both agents' reports", PATIENCE, || {
            let all = cli.assets()?;
            let reported: Vec<_> = all.iter().filter(|asset| asset.postures.fail > 0).collect();
            Ok((reported.len() == HOSTS.len())
                .then(|| reported.iter().map(|asset| asset.id.clone()).collect()))
        })?;
        Ok(Self { cli, canary, assets, log: lab.folder().join("agent.log"), _agents: agents })
    }

    fn job(&self, word: &str) -> NewJob {
        let key: Key = "canary".parse().expect("a key");
        let params = [(WORD.to_owned(), word.to_owned())].into();
        NewJob {
            name: word.into(),
            include_assets: self.assets.clone(),
            custom_scripts: vec![CustomScript { key, params }],
            hold_s: Some(0),
            ..NewJob::default()
        }
    }

    /// Each word once on each host, and nothing else.
    fn sang(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut heard = self.canary.heard();
        heard.sort();
        let mut wanted: Vec<_> =
            HOSTS.iter().flat_map(|host| words.iter().map(move |word| format!("{host} {word}"))).collect();
        wanted.sort();
        ensure!(heard == wanted, "heard {heard:?} instead of {wanted:?}");
        Ok(())
    }

    /// The document in force, of another version, signed by the root key.
    fn import(
        cli: &Cli,
        root: &ed25519_dalek::SigningKey,
        version: u64,
        files: &Files,
    ) -> anyhow::Result<()> {
        let shown = cli.json(&["trust", "show"])?;
        let document: TrustDocument = serde_json::from_value(shown["document"].clone())?;
        let next = TrustDocument { version, ..document };
        fs::write(&files.trust, serde_json::to_vec(&Envelope::seal(TRUST, &next, &[root])?)?)?;
        cli.text(&["trust", "import", &files.trust.to_string_lossy()]).map(drop)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

#[derive(Clone)]
struct Files {
    backup: PathBuf,
    passphrase: PathBuf,
    elsewhere: PathBuf,
    trust: PathBuf,
}

impl Files {
    fn of(lab: &Lab) -> anyhow::Result<Self> {
        let at = |name: &str| lab.folder().join(name);
        let files = Self {
            backup: at("backup.age"),
            passphrase: at("passphrase"),
            elsewhere: at("elsewhere"),
            trust: at("trust.json"),
        };
        fs::write(&files.passphrase, "correct horse battery staple\n")?;
        Ok(files)
    }
}

/// What a restored store knows by itself.
struct Stored(Connection);

impl Stored {
    fn open(data: &Path) -> anyhow::Result<Self> {
        Ok(Self(Connection::open(data.join("aright.db"))?))
    }

    fn task(&self, id: &TaskId) -> anyhow::Result<String> {
        Ok(self.0.query_row("SELECT state FROM tasks WHERE id = ?1", [id.as_str()], |row| row.get(0))?)
    }

    fn run(&self, id: &RunId) -> anyhow::Result<String> {
        Ok(self.0.query_row("SELECT state FROM runs WHERE id = ?1", [id.as_str()], |row| row.get(0))?)
    }

    fn ended(&self, run: &RunId) -> anyhow::Result<usize> {
        let count = "SELECT COUNT(*) FROM tasks WHERE run = ?1 AND state = 'ended'";
        Ok(self.0.query_row(count, [run.as_str()], |row| row.get(0))?)
    }
}

fn simulated(world: &World, name: &str) -> NewJob {
    let job = world.job(name, AGENTS);
    let revoked: Vec<_> = REVOKED.map(|number| world.agents[number].asset.clone()).into();
    NewJob {
        include_assets: job.include_assets.into_iter().filter(|one| !revoked.contains(one)).collect(),
        ..job
    }
}

/// Long enough for a backup in between.
fn slow(coming: &Coming, dice: &mut Dice) -> Fate {
    let slow = Fate::slow(dice, coming.custom, 4000);
    match dice.below(100) {
        0..60 => slow,
        60..80 => Fate { word: Word::Again(2), ..slow },
        80..90 => Fate::fails(dice, coming.custom),
        _ => Fate::well(coming.custom),
    }
}

fn acknowledged(world: &World, run: &RunId) -> Vec<TaskId> {
    let stories = world.stage.ledger.of(&[run]);
    let told =
        stories.into_iter().filter(|(_, story)| story.told.iter().any(|told| told.acknowledged.is_some()));
    told.map(|(task, _)| task).collect()
}

fn outcomes(tasks: Vec<Task>) -> BTreeMap<TaskId, Option<Outcome>> {
    tasks
        .into_iter()
        .filter(|task| task.state == TaskState::Ended)
        .map(|task| (task.id, task.outcome))
        .collect()
}

fn trust_version(cli: &Cli) -> anyhow::Result<u64> {
    cli.json(&["trust", "show"])?["document"]["version"].as_u64().context("no version")
}

async fn is_revoked(world: &World, number: usize) -> anyhow::Result<()> {
    let refused = world.agents[number].check_in().await.err().context("it was let in")?;
    let kind = refused.problem().map(|problem| problem.kind.clone());
    ensure!(kind.as_deref().is_some_and(|kind| kind.contains("revoked")), "{refused}");
    Ok(())
}
