//! Agent and controller killed at any moment between claim and report: nothing is lost, the outcome is the honest one,
//! and no script is started twice. Judged by the canary, which no undo reaches, and by the host's files.

use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use aright_agent::task::journal::Step;
use aright_shared::api::{CustomScript, NewJob, PostureFilter, Task};
use aright_shared::id::{JobId, TaskId};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::{Agent, Canary, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

/// The first failing value of `PASS_MAX_DAYS`.
const FIRST: u32 = 10_000;
const PATIENCE: Duration = Duration::from_secs(30);
const CONTROL: &str = "login-defs-pass-max-days";
const DEFS: &str = "/etc/login.defs";
const DROP_IN: &str = "/etc/sysctl.d/zz-crash.conf";
const PARAMETER: &str = "/proc/sys/net/ipv4/conf/all/send_redirects";
/// A task whose agent never said that it runs is delivered again soon.
const SETTINGS: &str = "[dispatch]\nlease_s = 2\n";

#[test]
fn the_agent_is_killed_at_every_step() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = start(&lab)?;
    let world = World::new(&lab, &controller, true)?;
    let mut agent = world.enrolled(&controller)?;
    let job = world.job(&mut agent)?;
    let (mut moments, mut fixed) = (0, 0);
    for point in points() {
        world.plant()?;
        agent.set_fail_point(Some(&point));
        agent.start()?;
        world.is_reported()?;
        world.cli.run_job(&job)?;
        agent.died().with_context(|| format!("{point} was not reached"))?;
        if let Some(second) = second_death(&point) {
            agent.set_fail_point(Some(second));
            agent.start()?;
            agent.died().with_context(|| format!("{second} was not reached after {point}"))?;
            moments += 1;
        }
        agent.set_fail_point(None);
        agent.start()?;
        let fate = world.fate(&job).with_context(|| format!("{point}\n{}", agent.log()))?;
        let due = due(&point)?;
        ensure!(fate == due, "{point}: {fate:?} instead of {due:?}\n{}", agent.log());
        agent.stop()?;
        fixed += usize::from(fate == FIXED);
        moments += 1;
    }
    world.is_all_over()?;
    println!(
        "figure: the agent killed at {moments} moments: {fixed} tasks fixed all the same, the others interrupted with the host \
         as it was; 0 scripts started twice"
    );
    Ok(())
}

#[test]
fn the_controller_is_killed_at_any_moment() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let mut controller = start(&lab)?;
    let world = World::new(&lab, &controller, false)?;
    let mut agent = world.enrolled(&controller)?;
    let job = world.job(&mut agent)?;
    agent.start()?;
    let (mut deaths, mut fixed) = (Vec::new(), 0);
    for moment in moments() {
        world.plant()?;
        world.is_reported()?;
        let spool = Spool::of(&agent)?;
        world.cli.run_job(&job)?;
        match moment {
            Moment::After(delay) => std::thread::sleep(delay),
            Moment::At(step) => spool.reaches(step)?,
        }
        controller.kill()?;
        let last = spool.last()?;
        controller.start_again()?;
        let told = || format!("{moment:?}, killed at {last:?}\n{}", agent.log());
        let fate = world.fate(&job).with_context(told)?;
        // Its death is no reason for a host to go back. Nothing is begun where the answer to "it runs" was lost.
        let not_begun = Fate { outcome: Outcome::Interrupted, change: HostChange::None, starts: 0 };
        let unanswered = last.as_deref() == Some("accepted") && fate == not_begun;
        ensure!(fate == FIXED || unanswered, "{}: {fate:?}", told());
        fixed += usize::from(fate == FIXED);
        deaths.push(last.unwrap_or_else(|| "queued".to_owned()));
    }
    world.is_all_over()?;
    let under_way = deaths.iter().filter(|last| *last != "acknowledged").count();
    ensure!(under_way >= 16, "only {under_way} moments before the result was known: {deaths:?}");
    println!(
        "figure: the controller killed at {} moments, {under_way} of them before it had the result (at {}): \
         {fixed} tasks fixed, the others not begun; 0 lost, 0 scripts started twice",
        deaths.len(),
        deaths.join(", ")
    );
    Ok(())
}

fn start(lab: &Lab) -> anyhow::Result<Controller> {
    let settings = lab.folder().join("controller.toml");
    fs::write(&settings, SETTINGS)?;
    Controller::start_with(lab, &["--config", &settings.to_string_lossy()])
}

/// Before and after every step that a task can take; a new step must be given its place here.
fn points() -> Vec<String> {
    let reached = |step: &Step| match step {
        Step::Accepted
        | Step::Running
        | Step::Before
        | Step::Staging
        | Step::Scripted
        | Step::Compared
        | Step::Judged
        | Step::Committing
        | Step::Committed
        | Step::Activating
        | Step::Activated
        | Step::Evaluated
        | Step::Confirming
        | Step::Kept
        | Step::Ended
        | Step::Acknowledged => true,
        // Taken at the next start: see `second_death`.
        Step::Undoing | Step::Undone => false,
    };
    let steps = Step::ALL.iter().filter(|step| reached(step));
    let around = steps.flat_map(|step| [format!("before:{step}"), format!("after:{step}")]);
    // `after:accepted` dies before the journal has its name.
    std::iter::once("after:spooled".to_owned()).chain(around).collect()
}

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fate {
    outcome: Outcome,
    change: HostChange,
    /// How often the script was heard.
    starts: usize,
}

const FIXED: Fate = Fate { outcome: Outcome::Fixed, change: HostChange::Kept, starts: 1 };

/// What must become of a task whose agent died there: begun if nobody was told that it runs, kept if it was decided.
fn due(point: &str) -> anyhow::Result<Fate> {
    let (side, name) = point.split_once(':').context("no point")?;
    if name == "spooled" {
        return Ok(FIXED);
    }
    let step = Step::ALL.iter().position(|step| step.as_str() == name).context("no step")?;
    // How many steps lie on disk.
    let taken = step + usize::from(side == "after");
    let has = |step: Step| Step::ALL.iter().position(|other| *other == step).is_some_and(|at| at < taken);
    let interrupted = |change, starts| Fate { outcome: Outcome::Interrupted, change, starts };
    // The controller is told that a task runs before the journal is: whoever dies in between is not heard again.
    let told = has(Step::Running) || point == "before:running";
    Ok(if !told || has(Step::Kept) {
        FIXED
    } else if has(Step::Committing) {
        interrupted(HostChange::Undone, 1)
    } else {
        // The fail point after `staging` comes before the script's start.
        let started = has(Step::Staging) && point != "after:staging";
        interrupted(HostChange::None, usize::from(started))
    })
}

/// When the controller dies.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after the run began.
    After(Duration),
    /// As soon as the agent's journal has the step.
    At(Step),
}

fn moments() -> Vec<Moment> {
    let delays = [0, 20, 40, 70, 100, 150, 220, 350];
    let delays = delays.map(|millis| Moment::After(Duration::from_millis(millis)));
    let steps = Step::ALL
        .iter()
        .filter(|step| !matches!(step, Step::Undoing | Step::Undone | Step::Confirming | Step::Acknowledged));
    delays.into_iter().chain(steps.map(|step| Moment::At(*step))).collect()
}

/// The agent's journals, read from outside.
struct Spool {
    folder: PathBuf,
    /// Names of the journals that were there before.
    before: Vec<OsString>,
}

impl Spool {
    fn of(agent: &Agent<'_, Chamber>) -> anyhow::Result<Self> {
        let mut spool = Self { folder: agent.state().join("tasks"), before: Vec::new() };
        spool.before = spool.journals()?;
        Ok(spool)
    }

    fn journals(&self) -> anyhow::Result<Vec<OsString>> {
        let names = fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name()));
        names
            .filter(|name| name.as_ref().is_ok_and(|name| !name.as_encoded_bytes().starts_with(b".")))
            .collect()
    }

    /// Of the journal that came since, the steps so far.
    fn steps(&self) -> anyhow::Result<String> {
        let new = self.journals()?.into_iter().find(|name| !self.before.contains(name));
        Ok(new.map_or_else(String::new, |name| {
            fs::read_to_string(self.folder.join(name).join("steps")).unwrap_or_default()
        }))
    }

    /// Waits for a step, more closely than `until` does.
    fn reaches(&self, step: Step) -> anyhow::Result<()> {
        let since = Instant::now();
        while !self.steps()?.contains(&format!("\"step\":\"{step}\"")) {
            ensure!(since.elapsed() < PATIENCE, "{step} was not reached");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn last(&self) -> anyhow::Result<Option<String>> {
        let steps = self.steps()?;
        Ok(steps.rsplit_once("\"step\":\"").and_then(|(_, rest)| Some(rest.split_once('"')?.0.to_owned())))
    }
}

/// Where the agent dies again while it recovers.
fn second_death(point: &str) -> Option<&'static str> {
    match point {
        "after:committed" => Some("before:undoing"),
        "before:activated" => Some("after:undoing"),
        "after:activated" => Some("before:undone"),
        "after:confirming" => Some("after:undone"),
        "after:scripted" => Some("before:ended"),
        _ => None,
    }
}

struct World {
    lab: Lab,
    cli: Cli,
    canary: Canary,
    chamber: Chamber,
    defs: String,
    /// The failing value that stands on the host before the round's task, which is the task's own word.
    planted: Cell<u32>,
    tasks: RefCell<Vec<TaskId>>,
}

impl World {
    /// With one approved script that sings, then fixes, and whose change is activated; `lockout` wants proof of
    /// contact (and, without a controller at its start, is refused).
    fn new(lab: &Lab, controller: &Controller, lockout: bool) -> anyhow::Result<Self> {
        let cli = Cli::log_in(controller)?;
        let canary = Canary::new(lab)?;
        let script = format!(
            "aright: 1\nkind: script\nkey: once\norigin: custom\ntitle: Once\nrisk: safe\nlockout: {lockout}\n\
             fixes: [{{control: {CONTROL}, technologies: [debian-12]}}]\ninterpreter: bash\ntimeout_s: 30\n\
             network: host\ntouches: [{DEFS}, {DROP_IN}]\n\
             activate: [{{sysctl: [net.ipv4.conf.all.send_redirects]}}]\nbody: |\n  set -eu\n  {}\n  sleep 0.2\n  \
             sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 30/' {DEFS}\n  \
             echo net.ipv4.conf.all.send_redirects=0 >{DROP_IN}\n",
            canary.song(&format!("$(sed -n 's/^PASS_MAX_DAYS //p' {DEFS})"))
        );
        cli.approve(controller, &script)?;
        let chamber = Chamber::new(lab)?;
        let defs = chamber.read(DEFS)?;
        Ok(Self {
            lab: lab.clone(),
            cli,
            canary,
            chamber,
            defs,
            planted: Cell::new(FIRST),
            tasks: RefCell::default(),
        })
    }

    fn enrolled(&self, controller: &Controller) -> anyhow::Result<Agent<'_, Chamber>> {
        let agent = Agent::install(&self.chamber, self.lab.folder().join("agent.log"))?;
        agent.enroll(&controller.agents_url(), &self.cli.enroll_key(1)?)?;
        Ok(agent)
    }

    /// A job for the failed control, whose first run is over, and was fixed.
    fn job(&self, agent: &mut Agent<'_, Chamber>) -> anyhow::Result<JobId> {
        self.plant()?;
        agent.start()?;
        let asset = self.cli.reported()?;
        let job = self.cli.create_job(&NewJob {
            name: "crash".into(),
            filter: Some(PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() }),
            scripts: Some(Vec::new()),
            custom_scripts: vec![CustomScript { key: "once".parse()?, params: Default::default() }],
            include_assets: vec![asset.id],
            ..NewJob::default()
        })?;
        ensure!(self.fate(&job)? == FIXED, "not even an undisturbed task is fixed:\n{}", agent.log());
        agent.stop()?;
        Ok(job)
    }

    /// The host as it was before any task, but for a failing value that was not there before.
    fn plant(&self) -> anyhow::Result<()> {
        self.planted.set(self.planted.get() + 1);
        self.chamber.write(DEFS, &self.with(self.planted.get()))?;
        self.chamber.stdout(&["rm", "-f", DROP_IN])?;
        self.chamber.stdout(&["sh", "-c", &format!("echo 1 >{PARAMETER}")])?;
        Ok(())
    }

    /// Waits until the controller knows that the control fails again.
    fn is_reported(&self) -> anyhow::Result<()> {
        let assets = self.cli.assets()?;
        let asset = assets.first().context("no asset")?.id.to_string();
        self.cli.text(&["asset", "evaluate", &asset])?;
        until("a report of the failed control", PATIENCE, || {
            let failed = self.cli.json(&["posture", "list", "--control", CONTROL, "--status", "fail"])?;
            Ok(failed.as_array().is_some_and(|rows| !rows.is_empty()).then_some(()))
        })
    }

    /// What became of the newest run's task; an error where that is not what the host and the canary say.
    fn fate(&self, job: &JobId) -> anyhow::Result<Fate> {
        let tasks = self.cli.watch(job)?;
        let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
        self.tasks.borrow_mut().push(task.id.clone());
        // A task whose end the controller saw by itself is told before the agent's own result comes.
        let report = until("the result", PATIENCE, || Ok(self.cli.task(&task.id)?.report))?;
        let heard = self.canary.heard();
        let starts = heard.iter().filter(|word| **word == self.planted.get().to_string()).count();
        ensure!(starts <= 1, "started {starts} times: {task:#?}");
        let (Some(outcome), Some(change)) = (task.outcome, task.change) else { anyhow::bail!("{task:#?}") };
        ensure!((report.outcome, report.change) == (outcome, change), "{}", self.told(task));
        match (outcome, change) {
            (Outcome::Fixed, HostChange::Kept) => ensure!(self.is_new()?, "not new: {}", self.told(task)),
            (Outcome::Interrupted, HostChange::None | HostChange::Undone) => {
                ensure!(self.is_old()?, "not as it was: {}", self.told(task));
            }
            _ => anyhow::bail!("{}", self.told(task)),
        }
        Ok(Fate { outcome, change, starts })
    }

    /// Nothing was started late, and no task of any round is under way.
    fn is_all_over(&self) -> anyhow::Result<()> {
        let mut heard = self.canary.heard();
        heard.sort_unstable();
        let known = |word: &String| word.parse().is_ok_and(|n: u32| n > FIRST && n <= self.planted.get());
        ensure!(heard.iter().all(known) && heard.windows(2).all(|two| two[0] != two[1]), "{heard:?}");
        for id in self.tasks.borrow().iter() {
            let task = self.cli.task(id)?.task;
            ensure!(task.ended.is_some() && task.outcome.is_some(), "{task:#?}");
        }
        Ok(())
    }

    fn told(&self, task: &Task) -> String {
        format!("{task:#?}\n{:#?}", self.cli.task(&task.id).ok().and_then(|detail| detail.report))
    }

    fn is_new(&self) -> anyhow::Result<bool> {
        Ok(self.chamber.read(DEFS)? == self.with(30)
            && self.chamber.path(DROP_IN).exists()
            && self.parameter()? == "0")
    }

    fn is_old(&self) -> anyhow::Result<bool> {
        Ok(self.chamber.read(DEFS)? == self.with(self.planted.get())
            && !self.chamber.path(DROP_IN).exists()
            && self.parameter()? == "1")
    }

    /// The stock file with another value.
    fn with(&self, days: u32) -> String {
        let own = format!("PASS_MAX_DAYS {days}");
        let lines = self.defs.lines().map(|line| if line.starts_with("PASS_MAX_DAYS") { &own } else { line });
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }

    fn parameter(&self) -> anyhow::Result<String> {
        self.chamber.stdout(&["cat", PARAMETER])
    }
}
