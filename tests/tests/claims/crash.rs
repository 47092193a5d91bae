//! Agent and controller killed at any moment between claim and report: nothing is lost, the outcome is the honest one,
//! and no script is started twice. Judged by the canary, which no undo reaches, and by the host's files.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_agent::task::journal::Step;
use aright_shared::api::{Asset, CustomScript, NewJob, PostureFilter, Task};
use aright_shared::id::JobId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::{Agent, Canary, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

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
        world.reset()?;
        let heard = world.canary.heard().len();
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
        fixed +=
            usize::from(world.is_honest(&job, heard).with_context(|| format!("{point}\n{}", agent.log()))?);
        agent.stop()?;
        moments += 1;
    }
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
    let (mut moments, mut fixed) = (0, 0);
    for delay in [0, 20, 50, 90, 140, 200, 270, 350, 440, 540, 650, 770] {
        world.reset()?;
        world.is_reported()?;
        let heard = world.canary.heard().len();
        world.cli.run_job(&job)?;
        std::thread::sleep(Duration::from_millis(delay));
        controller.kill()?;
        controller.start_again()?;
        fixed += usize::from(
            world.is_honest(&job, heard).with_context(|| format!("after {delay} ms\n{}", agent.log()))?,
        );
        moments += 1;
    }
    println!(
        "figure: the controller killed at {moments} moments: {fixed} tasks fixed; 0 lost, 0 scripts started twice"
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
    steps.flat_map(|step| [format!("before:{step}"), format!("after:{step}")]).collect()
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
}

impl World {
    /// With one approved script that sings, then fixes, and whose change is activated; `lockout` wants proof of contact.
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
            canary.song("started")
        );
        cli.approve(controller, &script)?;
        let chamber = Chamber::new(lab)?;
        let defs = chamber.read(DEFS)?;
        Ok(Self { lab: lab.clone(), cli, canary, chamber, defs })
    }

    fn enrolled(&self, controller: &Controller) -> anyhow::Result<Agent<'_, Chamber>> {
        let agent = Agent::install(&self.chamber, self.lab.folder().join("agent.log"))?;
        agent.enroll(&controller.agents_url(), &self.cli.enroll_key(1)?)?;
        Ok(agent)
    }

    /// A job for the failed control, whose first run is over, and was fixed.
    fn job(&self, agent: &mut Agent<'_, Chamber>) -> anyhow::Result<JobId> {
        self.reset()?;
        agent.start()?;
        let asset: Asset = until("a report", PATIENCE, || {
            Ok(self.cli.assets()?.into_iter().find(|asset| asset.postures.fail > 0))
        })?;
        let job = self.cli.create_job(&NewJob {
            name: "crash".into(),
            filter: Some(PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() }),
            scripts: Some(Vec::new()),
            custom_scripts: vec![CustomScript { key: "once".parse()?, params: Default::default() }],
            include_assets: vec![asset.id],
            ..NewJob::default()
        })?;
        ensure!(self.is_honest(&job, 0)?, "not even an undisturbed task is fixed:\n{}", agent.log());
        agent.stop()?;
        Ok(job)
    }

    /// The host as it was before any task.
    fn reset(&self) -> anyhow::Result<()> {
        self.chamber.write(DEFS, &self.defs)?;
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

    /// Whether the newest run's task was fixed; an error where what is told is not what the host and the canary say.
    fn is_honest(&self, job: &JobId, heard: usize) -> anyhow::Result<bool> {
        let tasks = self.cli.watch(job)?;
        let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
        let starts = self.canary.heard().len() - heard;
        ensure!(starts <= 1, "started {starts} times: {task:#?}");
        let report = self.cli.task(&task.id)?.report;
        match (task.outcome, task.change) {
            (Some(Outcome::Fixed), Some(HostChange::Kept)) => {
                ensure!(
                    starts == 1 && self.is_new()? && report.is_some(),
                    "fixed, starts {starts}: {task:#?}"
                );
                Ok(true)
            }
            (Some(Outcome::Interrupted), Some(HostChange::None | HostChange::Undone)) => {
                ensure!(self.is_old()?, "not as it was: {task:#?}");
                Ok(false)
            }
            _ => anyhow::bail!("{:?}", self.told(task)),
        }
    }

    fn told(&self, task: &Task) -> String {
        format!("{task:#?}\n{:#?}", self.cli.task(&task.id).ok().and_then(|detail| detail.report))
    }

    fn is_new(&self) -> anyhow::Result<bool> {
        let defs = self
            .defs
            .lines()
            .map(|line| if line.starts_with("PASS_MAX_DAYS") { "PASS_MAX_DAYS 30" } else { line });
        let new = defs.collect::<Vec<_>>().join("\n") + "\n";
        Ok(self.chamber.read(DEFS)? == new && self.chamber.path(DROP_IN).exists() && self.parameter()? == "0")
    }

    fn is_old(&self) -> anyhow::Result<bool> {
        Ok(self.chamber.read(DEFS)? == self.defs
            && !self.chamber.path(DROP_IN).exists()
            && self.parameter()? == "1")
    }

    fn parameter(&self) -> anyhow::Result<String> {
        self.chamber.stdout(&["cat", PARAMETER])
    }
}
