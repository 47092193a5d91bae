//! The order of a task against a folder: a control passes when its file says `good`, the script is run
//! by sh in a copy of the folder. What the cage keeps is not tested here.
#![expect(clippy::unwrap_in_result, reason = "a test's stand-ins may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, TASK};
use aright_shared::id::{AssetId, TaskId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::{ErrorCode, Managed, Manager, Reading, Spot, Value, Verdict};
use aright_shared::task::{Confinement, Delivery, Exit, Judged, Overreach, ScriptResult, Target};
use aright_shared::time::{Millis, WallClock};

use super::host::{Compared, Ran, Sight, Standing, Why};
use super::spool::Pending;
use super::*;
use crate::activate::Live;
use crate::change::Change;
use crate::commit::Tree;
use crate::confirm::{Health, Probe};
use crate::meta::Meta;
use crate::verify::Refused;

struct World {
    dir: PathBuf,
    /// Removed with the world that made it.
    _keep: Option<tempfile::TempDir>,
    tree: Tree,
    live: Live,
    spool: Spool,
    health: Health,
    /// What happens on the host while the stage is judged.
    meanwhile: Option<fn(&Path)>,
    reachable: AtomicBool,
    /// Who else writes the file `a`, and whether that is respected.
    manager: Option<Manager>,
    respects_managed: bool,
    /// What else the owner denies.
    denied: Option<PathBuf>,
}

/// What a control says of a tree: its file's word.
fn sight(root: &Path, control: &str) -> Sight {
    let judged = |verdict, reading| Judged { verdict, reading };
    match fs::read_to_string(root.join("etc").join(control)).as_deref().map(str::trim) {
        Ok("good") => Sight::Seen(judged(Verdict::Pass, Reading::Value(Value::Text("good".into())))),
        Ok("elsewhere") => Sight::NotApplicable("not installed".into()),
        // Only the live host decides it, and decides against it.
        Ok("pending") if root.ends_with("stage") => Sight::Seen(judged(Verdict::Pass, Reading::Pending)),
        Ok(other) => Sight::Seen(judged(Verdict::Fail, Reading::Value(Value::Text(other.into())))),
        Err(error) => {
            let reading = Reading::Error { code: ErrorCode::ProbeFailed, detail: error.to_string() };
            Sight::Seen(judged(Verdict::Error, reading))
        }
    }
}

fn spot(control: &str) -> Spot {
    Spot {
        control: control.parse().expect("a key"),
        technology: "debian-12".parse().expect("a key"),
        instance: "default".into(),
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        for folder in ["host/etc", "host/proc/sys"] {
            fs::create_dir_all(dir.path().join(folder)).expect("folder");
        }
        let mut world = Self::at(dir.path());
        world._keep = Some(dir);
        for (name, content) in [("a", "bad\n"), ("b", "good\n"), ("other", "x\n")] {
            fs::write(world.host().join("etc").join(name), content).expect("write");
        }
        fs::write(world.host().join("proc/sys/param"), "1").expect("write");
        world
    }

    /// A world that stands.
    fn at(dir: &Path) -> Self {
        let spool = Spool::open(&dir.join("tasks"), Arc::new(WallClock)).expect("opens");
        let tree = Tree::open(&dir.join("host")).expect("tree");
        let live = Live { manager: "/nowhere".into(), root: dir.join("host"), ..Live::here() };
        let reachable = AtomicBool::new(true);
        Self {
            dir: dir.to_owned(),
            _keep: None,
            tree,
            live,
            spool,
            health: Health::default(),
            meanwhile: None,
            reachable,
            manager: None,
            respects_managed: false,
            denied: None,
        }
    }

    fn host(&self) -> PathBuf {
        self.dir.join("host")
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.host().join("etc").join(name)).unwrap_or_default().trim().to_owned()
    }

    fn parameter(&self) -> String {
        fs::read_to_string(self.host().join("proc/sys/param")).expect("there").trim().to_owned()
    }

    /// How often a script was started here, counted outside the tree.
    fn starts(&self) -> usize {
        fs::read_to_string(self.dir.join("starts")).unwrap_or_default().lines().count()
    }

    fn run(&self, script: &Script) -> TaskReport {
        self.order(script, &order(&["a"]), &Cancel::default())
    }

    fn order(&self, script: &Script, order: &TaskOrder, cancel: &Cancel) -> TaskReport {
        let mut journal = self.spool.accept(&delivery(&order.task)).expect("accepts");
        let task = Task { order, script, clock: None };
        let report = execute(task, self, &self.spool, self, &mut journal, cancel).expect("ends");
        assert_eq!(journal.last(), Some(Step::Ended));
        assert_eq!(journal.result().expect("reads"), Some(report.clone()));
        report
    }
}

impl Contact for World {
    fn reach(&self, _: Duration) -> Result<(), String> {
        if self.reachable.load(Ordering::Relaxed) { Ok(()) } else { Err("connection refused".into()) }
    }
}

impl Host for World {
    fn tree(&self) -> &Tree {
        &self.tree
    }
    fn live(&self) -> &Live {
        &self.live
    }
    fn sees_all(&self) -> bool {
        true
    }
    fn managed(&self, _: &[aright_shared::content::script::Touch]) -> Vec<Managed> {
        let path = "/etc/a".to_owned();
        self.manager.iter().map(|by| Managed { path: path.clone(), by: *by }).collect()
    }
    fn respects_managed(&self) -> bool {
        self.respects_managed
    }
    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        targets.iter().map(|target| sight(&self.host(), target.spot.control.as_str())).collect()
    }
    fn verdicts(&self) -> BTreeMap<Spot, Verdict> {
        let verdict = |name: &str| match sight(&self.host(), name) {
            Sight::Seen(judged) => Some((spot(name), judged.verdict)),
            Sight::NotApplicable(_) => None,
        };
        ["a", "b"].into_iter().filter_map(verdict).collect()
    }
    fn guard(&self, _: &Script) -> Result<(), String> {
        if self.read("guard") == "no" { Err("nobody but root could log in".into()) } else { Ok(()) }
    }
    fn denies(&self, path: &Path) -> bool {
        path.starts_with("/etc/denied") || self.denied.as_deref() == Some(path)
    }
    fn size_of(&self, touches: &[aright_shared::content::script::Touch]) -> u64 {
        if touches.is_empty() { u64::MAX / 2 } else { 0 }
    }
    fn is_secret(&self, _: &Path) -> bool {
        false
    }
    fn persisted(&self, parameter: &str) -> Option<String> {
        (parameter == "param").then(|| "0".to_owned())
    }
    fn health(&self) -> Health {
        // The script of a test may break it.
        if self.read("health") == "broken" { Health::default() } else { self.health.clone() }
    }
    fn stage(
        &self,
        script: &Script,
        params: &BTreeMap<String, String>,
    ) -> Result<Box<dyn Standing>, Refused> {
        let stage = self.dir.join("stage");
        if stage.exists() {
            fs::remove_dir_all(&stage).expect("removes");
        }
        let copied = Command::new("cp").arg("-a").arg(self.host()).arg(&stage).status().expect("cp");
        assert!(copied.success());
        let (script, params) = (script.clone(), params.clone());
        let (dir, meanwhile) = (self.dir.clone(), self.meanwhile);
        Ok(Box::new(Folder {
            dir,
            script,
            params,
            meanwhile,
            result: None,
            cancelled: false,
            changes: Vec::new(),
            overreach: Vec::new(),
            conflicts: Vec::new(),
        }))
    }
}

/// A stage that is only a copy.
struct Folder {
    dir: PathBuf,
    script: Script,
    params: BTreeMap<String, String>,
    meanwhile: Option<fn(&Path)>,
    result: Option<ScriptResult>,
    cancelled: bool,
    changes: Vec<Change>,
    overreach: Vec<Overreach>,
    conflicts: Vec<PathBuf>,
}

impl Folder {
    fn side(&self, side: &str) -> PathBuf {
        self.dir.join(side)
    }
}

impl Standing for Folder {
    fn confinement(&self) -> Confinement {
        Confinement { stage: "copies".into(), layers: Vec::new(), missing: Vec::new() }
    }
    fn run(mut self: Box<Self>, cancel: &Cancel) -> Result<Box<dyn Ran>, String> {
        use std::io::Write as _;
        let starts = File::options().append(true).create(true).open(self.side("starts"));
        starts.and_then(|mut file| writeln!(file, "{}", self.script.key)).expect("counts");
        let mut sh = Command::new("/bin/sh");
        sh.arg("-c").arg(&self.script.body).current_dir(self.side("stage")).envs(&self.params);
        let output = sh.output().map_err(|error| error.to_string())?;
        let text = |bytes: &[u8]| aright_shared::task::Output {
            head: String::from_utf8_lossy(bytes).into_owned(),
            ..Default::default()
        };
        let exit = match (output.status.code(), output.status.signal()) {
            (Some(124), _) => Exit::TimedOut,
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal(signal.unwrap_or_default()),
        };
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        self.result = Some(ScriptResult {
            exit,
            stdout,
            stderr,
            wall_ms: 1,
            cpu_ms: 1,
            peak_memory_kb: 1,
            oom_kills: 0,
        });
        self.cancelled = cancel.is_wanted();
        Ok(self)
    }
}

impl Ran for Folder {
    fn script(&self) -> &ScriptResult {
        self.result.as_ref().expect("it ran")
    }
    fn was_cancelled(&self) -> bool {
        self.cancelled
    }
    fn compare(mut self: Box<Self>) -> std::io::Result<Box<dyn Compared>> {
        let names = |side: &str| -> BTreeSet<_> {
            let entries = fs::read_dir(self.side(side).join("etc")).expect("folder");
            entries.map(|entry| entry.expect("entry").file_name()).collect()
        };
        let meta = |side: &str, name| Meta::at(File::open(self.side(side).join("etc"))?, name);
        let (mut changes, mut overreach) = (Vec::new(), Vec::new());
        for name in names("host").union(&names("stage")) {
            let path = Path::new("/etc").join(name);
            let change = Change { before: meta("host", name)?, after: meta("stage", name)?, path };
            let declared = self.script.touches.iter().any(|t| t.to_string() == change.path.to_string_lossy());
            if change.before != change.after && !declared {
                let path = change.path.display().to_string();
                overreach.push(Overreach { path, what: "not declared".into() });
            }
            if change.before != change.after {
                changes.push(change);
            }
        }
        // A script of a test says so by a file that stands for somebody else.
        self.conflicts =
            changes.iter().map(|c| c.path.clone()).filter(|path| path.ends_with("new")).collect();
        self.conflicts.retain(|_| self.script.body.contains("somebody else"));
        (self.changes, self.overreach) = (changes, overreach);
        Ok(self)
    }
}

impl Compared for Folder {
    fn changes(&self) -> &[Change] {
        &self.changes
    }
    fn overreach(&self) -> &[Overreach] {
        &self.overreach
    }
    fn conflicts(&self) -> &[PathBuf] {
        &self.conflicts
    }
    fn open(&self, path: &Path) -> std::io::Result<File> {
        File::open(self.side("stage").join(path.strip_prefix("/").expect("absolute")))
    }
    fn look(&self, targets: &[Target]) -> Vec<Sight> {
        if let Some(meanwhile) = self.meanwhile {
            meanwhile(&self.side("host"));
        }
        targets.iter().map(|target| sight(&self.side("stage"), target.spot.control.as_str())).collect()
    }
}

fn script(body: &str) -> Script {
    serde_json::from_value(serde_json::json!({
        "aright": 1, "kind": "script", "key": "test", "origin": "library", "title": "Test", "risk": "safe",
        "interpreter": "sh", "touches": ["/etc/a", "/etc/b", "/etc/health", "/etc/new"], "body": body,
    }))
    .expect("a script")
}

fn custom(body: &str) -> Script {
    Script { origin: aright_shared::content::script::Origin::Custom, ..script(body) }
}

fn lockout(body: &str) -> Script {
    Script { lockout: true, ..script(body) }
}

fn activating(body: &str, parameter: &str) -> Script {
    let activate = vec![aright_shared::content::script::Activation::Sysctl(vec![parameter.into()])];
    Script { activate, ..script(body) }
}

const FIX: &str = "echo good >etc/a";

fn order(controls: &[&str]) -> TaskOrder {
    let expect = serde_json::json!({"operator": "eq", "value": "good"});
    let target = |control: &&str| Target {
        spot: spot(control),
        expect: serde_json::from_value(expect.clone()).expect("an expected value"),
    };
    TaskOrder {
        task: TaskId::new(),
        run: None,
        asset: AssetId::new(),
        kind: TaskKind::Run,
        script: Digest::of(b""),
        approval: None,
        params: BTreeMap::new(),
        targets: controls.iter().map(target).collect(),
        undo_of: None,
        not_before: Millis(0),
        not_after: Millis(i64::MAX),
        nonce: "n".into(),
        confirm_s: 1,
        clock_limit_ms: 30_000,
    }
}

fn undo_of(task: &TaskId) -> TaskOrder {
    TaskOrder { kind: TaskKind::Undo, undo_of: Some(task.clone()), ..order(&[]) }
}

fn delivery(task: &TaskId) -> Delivery {
    let key = aright_shared::envelope::new_signing_key().expect("random");
    let envelope = Envelope::seal(TASK, &serde_json::json!({}), &[&key]).expect("seals");
    Delivery { task: task.clone(), order: envelope, script: "{}".into(), approval: None }
}

fn ended(report: &TaskReport) -> (Outcome, HostChange) {
    (report.outcome, report.change)
}

#[test]
fn what_passes_on_stage_and_host_is_kept() {
    let world = World::new();
    let report = world.run(&activating("echo \"$ARIGHT_INSTANCES\"; echo good >etc/a", "param"));
    assert_eq!(ended(&report), (Outcome::Fixed, HostChange::Kept), "{report:#?}");
    assert_eq!((world.read("a").as_str(), world.parameter().as_str()), ("good", "0"));
    assert_eq!(report.diff[0].text.as_deref(), Some("@@ -1 +1 @@\n-bad\n+good\n"));
    assert_eq!(report.script.expect("it ran").stdout.head, "default\n");
    let verdicts = |judged: Option<&Judged>| judged.map(|judged| judged.verdict);
    let target = &report.targets[0];
    assert_eq!(target.before.verdict, Verdict::Fail);
    assert_eq!(
        (verdicts(target.staged.as_ref()), verdicts(target.after.as_ref())),
        (Some(Verdict::Pass), Some(Verdict::Pass))
    );
    let steps: Vec<_> = report.steps.iter().map(|step| step.step.as_str()).collect();
    let expected = [
        "accepted",
        "running",
        "before",
        "staging",
        "scripted",
        "compared",
        "judged",
        "committing",
        "committed",
        "activating",
        "activated",
        "evaluated",
        "kept",
    ];
    assert_eq!(steps, expected);
}

#[test]
fn what_the_owner_denies_by_now_is_not_undone_from_afar() {
    let mut world = World::new();
    let kept = world.run(&script(FIX));
    assert_eq!(ended(&kept), (Outcome::Fixed, HostChange::Kept));
    world.denied = Some("/etc/a".into());
    let report = world.order(&script(FIX), &undo_of(&kept.task), &Cancel::default());
    assert_eq!(
        (ended(&report), report.refusal),
        ((Outcome::Refused, HostChange::None), Some(Refusal::Denied))
    );
    assert_eq!(world.read("a"), "good");
}

#[test]
fn a_file_of_another_manager_is_named_or_left_alone() {
    for (manager, respects, ended_as, fact) in [
        (Manager::Puppet, false, (Outcome::Fixed, HostChange::Kept), true),
        (Manager::Puppet, true, (Outcome::Refused, HostChange::None), false),
        (Manager::Dpkg, true, (Outcome::Fixed, HostChange::Kept), false),
    ] {
        let mut world = World::new();
        (world.manager, world.respects_managed) = (Some(manager), respects);
        let report = world.run(&script(FIX));
        assert_eq!(ended(&report), ended_as, "{report:#?}");
        let said = report.diff.iter().any(|diff| diff.facts.iter().any(|fact| fact.contains("puppet")));
        assert_eq!(said, fact, "{:?}", report.diff);
        if ended_as.0 == Outcome::Refused {
            assert_eq!((report.refusal, world.starts()), (Some(Refusal::ManagedElsewhere), 0));
            assert!(report.detail.contains("/etc/a is managed by puppet"), "{}", report.detail);
        }
    }
}

#[test]
fn nothing_runs_where_nothing_fails_or_nothing_is_clear() {
    let world = World::new();
    let report = world.order(&script(FIX), &order(&["b"]), &Cancel::default());
    assert_eq!(ended(&report), (Outcome::AlreadyCompliant, HostChange::None));
    for (control, reason) in [("missing", Refusal::NotFailed), ("elsewhere", Refusal::NotFailed)] {
        fs::write(world.host().join("etc/elsewhere"), "elsewhere").expect("write");
        let report = world.order(&script(FIX), &order(&["a", control]), &Cancel::default());
        assert_eq!((report.outcome, report.refusal), (Outcome::Refused, Some(reason)), "{}", report.detail);
    }
    assert_eq!(world.starts(), 0);
}

#[test]
fn refusals_name_their_reason_and_start_nothing() {
    let world = World::new();
    let host = Script { confinement: aright_shared::content::script::Confine::Host, ..script(FIX) };
    let denied = Script { touches: vec!["/etc/denied/*".parse().expect("a touch")], ..script(FIX) };
    assert_eq!(world.run(&host).refusal, Some(Refusal::Unsupported));
    let huge = Script { touches: Vec::new(), ..script(FIX) };
    assert_eq!(world.run(&denied).refusal, Some(Refusal::Denied));
    assert_eq!(world.run(&huge).refusal, Some(Refusal::NoSpace));
    world.reachable.store(false, Ordering::Relaxed);
    assert_eq!(world.run(&lockout(FIX)).refusal, Some(Refusal::Unreachable));
    fs::write(world.host().join("etc/guard"), "no").expect("write");
    let report = world.run(&script(FIX));
    assert_eq!(
        (report.refusal, report.detail.as_str()),
        (Some(Refusal::Guard), "nobody but root could log in")
    );
    assert_eq!((world.starts(), world.read("a").as_str()), (0, "bad"));
}

#[test]
fn what_goes_wrong_on_the_stage_leaves_the_host_untouched() {
    for (body, outcome) in [
        ("echo good >etc/a; echo why >&2; exit 3", Outcome::ScriptFailed),
        ("kill -9 $$", Outcome::ScriptFailed),
        ("exit 124", Outcome::TimedOut),
        ("echo good >etc/a; echo x >etc/undeclared", Outcome::Overreach),
        ("echo worse >etc/a", Outcome::RanNotFixed),
    ] {
        let world = World::new();
        let report = world.run(&script(body));
        assert_eq!(ended(&report), (outcome, HostChange::None), "{body}: {}", report.detail);
        assert_eq!((world.read("a").as_str(), world.read("undeclared").as_str()), ("bad", ""), "{body}");
        assert_eq!(world.starts(), 1);
    }
}

#[test]
fn a_custom_script_always_runs() {
    let world = World::new();
    let report = world.order(&custom("echo x >etc/new"), &order(&["b"]), &Cancel::default());
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::Kept), "{}", report.detail);
    let report = world.order(&custom(FIX), &order(&["a"]), &Cancel::default());
    assert_eq!(ended(&report), (Outcome::Fixed, HostChange::Kept), "{}", report.detail);
    let report = world.order(&custom("echo y >etc/new"), &order(&[]), &Cancel::default());
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::Kept), "{}", report.detail);
}

#[test]
fn partial_progress_is_kept_where_it_is_meant() {
    let world = World::new();
    let report = world.run(&Script { keep_unfixed: true, ..script("echo better >etc/a") });
    assert_eq!(ended(&report), (Outcome::RanNotFixed, HostChange::Kept), "{}", report.detail);
    assert_eq!(world.read("a"), "better");
}

#[test]
fn what_goes_wrong_on_the_host_is_undone() {
    // A parameter that no file gives a value: the activation fails.
    let world = World::new();
    let report = world.run(&activating(FIX, "unknown"));
    assert_eq!(ended(&report), (Outcome::ActivationFailed, HostChange::Undone), "{}", report.detail);
    assert_eq!(world.read("a"), "bad");

    let world = World::new();
    let report = world.run(&activating("echo good >etc/a; echo bad >etc/b", "param"));
    assert_eq!(ended(&report), (Outcome::Regressed, HostChange::Undone), "{}", report.detail);
    assert_eq!(report.regressed, [spot("b")]);
    assert_eq!(
        (world.read("a"), world.read("b"), world.parameter()),
        ("bad".into(), "good".into(), "1".into())
    );

    // Pending on the stage, and not so in the end.
    let world = World::new();
    let report = world.run(&script("echo pending >etc/a"));
    assert_eq!(ended(&report), (Outcome::RanNotFixed, HostChange::Undone), "{}", report.detail);
    assert_eq!(world.read("a"), "bad");
}

#[test]
fn a_file_changed_meanwhile_is_a_conflict() {
    let mut world = World::new();
    world.meanwhile = Some(|host| fs::write(host.join("etc/a"), "by hand\n").expect("write"));
    let report = world.run(&script(FIX));
    assert_eq!(ended(&report), (Outcome::Conflict, HostChange::None), "{}", report.detail);
    assert_eq!(world.read("a"), "by hand");

    let world = World::new();
    let report = world.run(&script("echo good >etc/a; echo somebody else >etc/new"));
    assert_eq!(ended(&report), (Outcome::Conflict, HostChange::None), "{}", report.detail);
    assert!(report.detail.starts_with("/etc/new: "), "{}", report.detail);
    assert_eq!(world.read("a"), "bad");
}

#[test]
fn a_change_that_locks_people_out_is_undone() {
    let mut world = World::new();
    world.health = Health::of([Probe::SshdAnswers]);
    let report = world.run(&lockout("echo good >etc/a; echo broken >etc/health"));
    assert_eq!(ended(&report), (Outcome::LostContact, HostChange::Undone), "{}", report.detail);
    assert!(report.detail.contains("sshd answers"));
    assert_eq!((world.read("a").as_str(), world.read("health").as_str()), ("bad", ""));
    let report = world.run(&lockout(FIX));
    assert_eq!(ended(&report), (Outcome::Fixed, HostChange::Kept), "{}", report.detail);
    assert!(report.steps.iter().any(|step| step.step == "confirming"));
}

#[test]
fn a_preview_says_what_would_come_of_it() {
    let world = World::new();
    let preview = |script: &Script| {
        world.order(script, &TaskOrder { kind: TaskKind::Preview, ..order(&["a"]) }, &Cancel::default())
    };
    let report = preview(&script(FIX));
    assert_eq!(ended(&report), (Outcome::Fixed, HostChange::None));
    assert_eq!((report.diff.len(), world.read("a").as_str()), (1, "bad"));
    assert_eq!(preview(&script("echo x >etc/undeclared")).outcome, Outcome::Overreach);
}

#[test]
fn a_wish_to_end_it_counts_until_the_commit() {
    for (why, outcome) in [(Why::Operator, Outcome::Cancelled), (Why::Stopping, Outcome::Interrupted)] {
        let world = World::new();
        let cancel = Cancel::default();
        cancel.end(why);
        let report = world.order(&script(FIX), &order(&["a"]), &cancel);
        assert_eq!(ended(&report), (outcome, HostChange::None));
        assert_eq!((world.starts(), world.read("a").as_str()), (0, "bad"));
    }
}

#[test]
fn a_preview_can_be_cancelled_and_an_undo_goes_to_its_end() {
    let world = World::new();
    let cancel = Cancel::default();
    cancel.end(Why::Operator);
    let preview = TaskOrder { kind: TaskKind::Preview, ..order(&["a"]) };
    assert_eq!(ended(&world.order(&script(FIX), &preview, &cancel)), (Outcome::Cancelled, HostChange::None));
    let kept = world.run(&script(FIX));
    let report = world.order(&script(""), &undo_of(&kept.task), &cancel);
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::Undone), "{}", report.detail);
    assert_eq!(world.read("a"), "bad");
}

#[test]
fn what_an_undo_costs_of_the_way_to_the_host_is_said() {
    let mut world = World::new();
    fs::write(world.host().join("etc/health"), "broken\n").expect("write");
    let kept = world.run(&lockout("echo good >etc/a; echo well >etc/health"));
    assert_eq!(kept.change, HostChange::Kept, "{}", kept.detail);
    world.health = Health::of([Probe::SshdAnswers]);
    let report = world.order(&lockout(""), &undo_of(&kept.task), &Cancel::default());
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::Undone), "{}", report.detail);
    assert!(report.detail.contains("beware, since then no longer: sshd answers"), "{}", report.detail);
    assert_eq!(world.read("health"), "broken", "it stays undone");
}

#[test]
fn secrets_in_output_are_masked() {
    let world = World::new();
    let report = world.run(&script("echo '$6$salt$0123456789abcdef'; echo good >etc/a"));
    assert_eq!(report.script.expect("it ran").stdout.head, "[password hash masked]\n");
}

#[test]
fn an_order_to_undo_goes_backwards_and_leaves_foreign_work() {
    let world = World::new();
    let first = world.run(&activating(FIX, "param")).task;
    let second =
        world.order(&custom("chmod 600 etc/a; echo x >etc/new"), &order(&[]), &Cancel::default()).task;
    let undo = |task: &TaskId| world.order(&script(""), &undo_of(task), &Cancel::default());

    let blocked = undo(&first);
    assert_eq!((blocked.outcome, blocked.refusal), (Outcome::Refused, Some(Refusal::Guard)));
    assert!(
        blocked.detail.contains(second.as_str()) && blocked.detail.contains("/etc/a"),
        "{}",
        blocked.detail
    );

    fs::write(world.host().join("etc/new"), "by hand\n").expect("write");
    let report = undo(&second);
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::UndoConflict), "{}", report.detail);
    assert_eq!((world.read("a").as_str(), world.read("new").as_str()), ("good", "by hand"));
    assert!(report.diff[0].text.as_deref().is_some_and(|text| text.contains("-by hand")), "{report:?}");

    world.spool.acknowledge(&first).expect("writes");
    let report = undo(&first);
    assert_eq!(ended(&report), (Outcome::Ran, HostChange::Undone), "{}", report.detail);
    assert_eq!(world.spool.undone_since().expect("reads"), [], "the order's result tells it");
    assert_eq!((world.read("a").as_str(), world.parameter().as_str()), ("bad", "1"));
    assert_eq!(undo(&first).refusal, Some(Refusal::Unsupported), "only once");
}

// Kills

/// What the killed children below do: a task by the environment, in a world that stands.
#[test]
#[ignore = "only as the child of another test"]
fn child() {
    let var = |name: &str| std::env::var(name).expect("set by the parent");
    let world = World::at(Path::new(&var("ARIGHT_TEST_DIR")));
    let task: TaskId = var("ARIGHT_TEST_TASK").parse().expect("an id");
    let (script, order) = match var("ARIGHT_TEST_DEED").as_str() {
        "fix" => (killed_script(), TaskOrder { task, ..order(&["a"]) }),
        "regress" => (regressing_script(), TaskOrder { task, ..order(&["a"]) }),
        undo => (script(""), TaskOrder { task, ..undo_of(&undo.parse().expect("an id")) }),
    };
    world.order(&script, &order, &Cancel::default());
}

fn killed_script() -> Script {
    Script { lockout: true, ..activating("echo good >etc/a; echo x >etc/new; chmod 600 etc/b", "param") }
}

fn regressing_script() -> Script {
    activating("echo good >etc/a; echo bad >etc/b", "param")
}

impl World {
    fn killed_at(&self, deed: &str, task: &TaskId, point: &str) -> bool {
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "task::tests::child", "--ignored", "--quiet"])
            .env("ARIGHT_TEST_DIR", &self.dir)
            .env("ARIGHT_TEST_TASK", task.as_str())
            .env("ARIGHT_TEST_DEED", deed)
            .env("ARIGHT_FAIL_AT", point)
            .stdout(std::process::Stdio::null())
            .status()
            .expect("runs");
        assert!(status.success() || status.signal() == Some(9), "{point}: {status}");
        !status.success()
    }

    /// As the daemon does at its start. The report, and whether the order is to be executed again.
    fn restart(&self) -> (Vec<TaskReport>, Vec<TaskId>) {
        let (mut reports, mut resumed) = (Vec::new(), Vec::new());
        for (mut journal, pending) in self.spool.recover().expect("recovers") {
            if pending == Pending::Resume {
                resumed.push(journal.task().clone());
                continue;
            }
            let lock = self.spool.lock(Wait::ForIt).expect("locks");
            if let Some(report) =
                recover::finish(&mut journal, pending, &self.spool, self, &lock).expect("finishes")
            {
                reports.push(report);
            }
        }
        (reports, resumed)
    }

    fn state(&self) -> [String; 4] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(self.host().join("etc/b")).expect("there").permissions().mode() & 0o777;
        [self.read("a"), self.read("new"), format!("{mode:o}"), self.parameter()]
    }
}

const OLD: [&str; 4] = ["bad", "", "644", "1"];
const NEW: [&str; 4] = ["good", "x", "600", "0"];

fn points() -> Vec<String> {
    let steps = Step::ALL.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]);
    let inner = ["written", "built", "exchanged", "created", "entry"].map(|point| format!("commit:{point}"));
    steps.chain(inner).chain(["dress:moded#2".into()]).collect()
}

#[test]
fn a_task_killed_anywhere_ends_honestly_and_its_script_started_once_at_most() {
    let mut reached = 0;
    for point in points() {
        let world = World::new();
        let task = TaskId::new();
        let killed = world.killed_at("fix", &task, &point);
        reached += u32::from(killed);
        let (reports, resumed) = world.restart();
        let starts = world.starts();
        assert!(starts <= 1, "{point}");
        let report = match world.spool.waiting().expect("reads").pop() {
            Some(report) => report,
            None => {
                // Nothing was started: the order is on disk and is executed now, or was never taken in.
                assert!(starts == 0 && world.state() == OLD, "{point}");
                assert!(
                    resumed == [task] || point == "before:accepted" || point == "after:accepted",
                    "{point}"
                );
                continue;
            }
        };
        assert!(reports.is_empty() || reports == [report.clone()], "{point}");
        let expected = match ended(&report) {
            (Outcome::Interrupted, HostChange::None | HostChange::Undone) => OLD,
            (Outcome::Fixed, HostChange::Kept) => NEW,
            other => panic!("{point}: {other:?} {}", report.detail),
        };
        assert_eq!(world.state(), expected, "{point}: {}", report.detail);
        assert_eq!(world.restart(), (Vec::new(), Vec::new()), "{point}: once is enough");
        if report.change == HostChange::Kept {
            let undo = world.order(&script(""), &undo_of(&report.task), &Cancel::default());
            assert_eq!((undo.change, world.state()), (HostChange::Undone, OLD.map(str::to_owned)), "{point}");
        }
    }
    assert!(reached >= 30, "only {reached} kills");
}

#[test]
fn an_undo_killed_anywhere_is_finished_and_keeps_its_reason() {
    let inner = ["written", "built", "exchanged", "taken", "entry"].map(|point| format!("undo:{point}"));
    for point in
        ["before:undoing", "after:undoing", "before:undone", "after:undone", "before:ended", "after:ended"]
            .map(str::to_owned)
            .into_iter()
            .chain(inner)
    {
        let world = World::new();
        let killed = world.killed_at("regress", &TaskId::new(), &point);
        assert!(killed || point == "undo:taken", "{point}");
        world.restart();
        let report = world.spool.waiting().expect("reads").pop().expect("a result");
        let expected = if point == "before:undoing" { Outcome::Interrupted } else { Outcome::Regressed };
        assert_eq!(ended(&report), (expected, HostChange::Undone), "{point}: {}", report.detail);
        assert_eq!((world.state(), world.read("b").as_str()), (OLD.map(str::to_owned), "good"), "{point}");
    }
}

#[test]
fn an_order_to_undo_killed_anywhere_is_finished() {
    for point in [
        "before:undoing#1",
        "after:undoing#1",
        "before:undoing#2",
        "after:undoing#2",
        "undo:exchanged",
        "undo:taken",
        "undo:entry#2",
        "before:undone",
        "after:undone",
        "after:undone#2",
        "before:ended",
    ] {
        let world = World::new();
        let fixed = world.run(&killed_script()).task;
        world.spool.acknowledge(&fixed).expect("writes");
        assert_eq!(world.state(), NEW);
        let task = TaskId::new();
        assert!(world.killed_at(fixed.as_str(), &task, point), "{point}");
        world.restart();
        let report = world.spool.waiting().expect("reads").pop().expect("a result");
        if point == "before:undoing#1" {
            // Said to run, not begun.
            assert_eq!(ended(&report), (Outcome::Interrupted, HostChange::None));
            assert_eq!(world.state(), NEW, "{point}");
            continue;
        }
        assert_eq!(
            (report.task.clone(), ended(&report)),
            (task, (Outcome::Ran, HostChange::Undone)),
            "{point}: {}",
            report.detail
        );
        assert_eq!(world.state(), OLD, "{point}");
        assert_eq!(world.spool.undone_since().expect("reads"), [], "{point}: the order's result tells it");
    }
}
