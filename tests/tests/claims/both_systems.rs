//! One scenario drives an agent on Linux and one on Windows (under Wine): the same claims, put to both by the same
//! controller, judged by what each host says of itself.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob, PostureFilter, Task, TaskDetail};
use aright_shared::id::{AssetId, JobId, TaskId};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskState;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, Wine, msi_package, needs, skip, until};
use serde::Deserialize;

const SCENARIO: &str = include_str!("both_systems/scenario.yaml");
const PATIENCE: Duration = Duration::from_secs(60);

/// A value for each system.
#[derive(Debug, Deserialize)]
struct Each<T> {
    linux: T,
    windows: T,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Change {
    Same(HostChange),
    Each(Each<HostChange>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    interpreter: Each<String>,
    touches: Each<String>,
    judge: Each<Vec<String>>,
    claims: Vec<Claim>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    claim: String,
    #[serde(default)]
    control: Option<Each<String>>,
    #[serde(default)]
    script: Option<Each<String>>,
    #[serde(default)]
    timeout_s: Option<u32>,
    /// Of the task that the last claim kept.
    #[serde(default)]
    undo: bool,
    #[serde(default)]
    cancel: bool,
    outcome: Outcome,
    change: Change,
    /// Stands in what the host says of itself afterwards.
    #[serde(default)]
    host_says: Option<String>,
}

#[derive(Clone, Copy, Debug)]
enum System {
    Linux,
    Windows,
}

impl<T> Each<T> {
    fn of(&self, system: System) -> &T {
        match system {
            System::Linux => &self.linux,
            System::Windows => &self.windows,
        }
    }
}

#[test]
fn one_scenario_holds_on_both() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::WINDOWS);
    let scenario: Scenario = serde_saphyr::from_str(SCENARIO)?;
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let _agent = Agent::joined(&chamber, &controller, &cli)?;
    let linux = cli.reported()?;
    let wine = Wine::new(&lab)?;
    wine.join(&msi_package(&lab, "0.1.0")?, &controller, &cli)?;
    let windows = until("the Windows host", PATIENCE, || {
        Ok(cli.assets()?.into_iter().find(|asset| asset.id != linux.id && asset.postures.fail > 0))
    })?;

    let both = [linux.id.clone(), windows.id.clone()];
    let stand = Stand {
        scenario: &scenario,
        controller: &controller,
        cli: &cli,
        chamber: &chamber,
        wine: &wine,
        both,
    };
    let columns = [stand.column(System::Linux, &linux)?, stand.column(System::Windows, &windows)?];
    println!("figure: {:58} {:28} {:28}", "both systems by one scenario", linux.facts.os, windows.facts.os);
    let mut broken = 0;
    for (n, claim) in scenario.claims.iter().enumerate() {
        let shown = |column: &[Result<String, String>]| match &column[n] {
            Ok(held) => held.clone(),
            Err(why) => format!("NOT: {why}"),
        };
        broken += columns.iter().filter(|column| column[n].is_err()).count();
        println!("figure: {:58} {:28} {:28}", claim.claim, shown(&columns[0]), shown(&columns[1]));
    }
    ensure!(broken == 0, "{broken} do not hold");
    Ok(())
}

struct Stand<'a> {
    scenario: &'a Scenario,
    controller: &'a Controller,
    cli: &'a Cli,
    chamber: &'a Chamber,
    wine: &'a Wine,
    both: [AssetId; 2],
}

impl Stand<'_> {
    /// What became of each claim on one system.
    fn column(&self, system: System, asset: &Asset) -> anyhow::Result<Vec<Result<String, String>>> {
        let mut kept: Option<TaskId> = None;
        let mut column = Vec::new();
        for (n, claim) in self.scenario.claims.iter().enumerate() {
            let held = self.put(claim, n, system, asset, &mut kept);
            column.push(held.map_err(|error| format!("{error:#}")));
        }
        Ok(column)
    }

    fn put(
        &self,
        claim: &Claim,
        n: usize,
        system: System,
        asset: &Asset,
        kept: &mut Option<TaskId>,
    ) -> anyhow::Result<String> {
        let detail = self.done(claim, n, system, asset, kept.as_ref())?;
        let report = detail.report.as_ref().context("no report")?;
        let change = match &claim.change {
            Change::Same(change) => *change,
            Change::Each(each) => *each.of(system),
        };
        let wanted = (claim.outcome, change);
        ensure!(
            (report.outcome, report.change) == wanted,
            "{} {}: {}",
            report.outcome,
            report.change,
            report.detail
        );
        if report.change == HostChange::Kept {
            *kept = Some(detail.task.id.clone());
        }
        if let Some(word) = &claim.host_says {
            let said = self.host_says(system)?;
            ensure!(
                said.split_whitespace().any(|other| other == word),
                "the host says {said:?} and not {word:?}"
            );
        }
        Ok(format!("{}, {}", report.outcome, report.change))
    }

    fn done(
        &self,
        claim: &Claim,
        n: usize,
        system: System,
        asset: &Asset,
        kept: Option<&TaskId>,
    ) -> anyhow::Result<TaskDetail> {
        if claim.undo {
            let kept = kept.context("nothing was kept")?;
            return Ok(serde_json::from_value(self.cli.json(&["task", "undo", kept.as_str()])?)?);
        }
        let job = match (&claim.control, &claim.script) {
            (Some(control), None) => self.fixes(control.of(system), asset)?,
            (None, Some(body)) => self.runs(claim, n, system, body.of(system))?,
            _ => bail!("neither a control nor a script"),
        };
        if claim.cancel {
            let running = |task: &Task| task.state == TaskState::Running && task.asset == asset.id;
            let task = until("a script that runs", PATIENCE, || {
                let tasks: Vec<Task> = serde_json::from_value(self.cli.json(&["task", "list"])?)?;
                Ok(tasks.into_iter().find(running))
            })?;
            // It has begun to write, or would leave nothing to be undone.
            std::thread::sleep(Duration::from_secs(3));
            self.cli.json(&["task", "cancel", task.id.as_str()])?;
        }
        let tasks = self.cli.watch(&job)?;
        let [task] = tasks.as_slice() else { bail!("{} tasks", tasks.len()) };
        ensure!(task.asset == asset.id, "it came to the other system");
        self.cli.task(&task.id)
    }

    fn fixes(&self, control: &str, asset: &Asset) -> anyhow::Result<JobId> {
        let filter = PostureFilter {
            control: vec![control.parse()?],
            asset: vec![asset.id.clone()],
            ..PostureFilter::default()
        };
        self.cli.create_job(&NewJob { name: control.into(), filter: Some(filter), ..NewJob::default() })
    }

    /// A script on both hosts, that finds its own: it is no concern of the other system.
    fn runs(&self, claim: &Claim, n: usize, system: System, body: &str) -> anyhow::Result<JobId> {
        let name = format!("both-{}-{n}", if matches!(system, System::Linux) { "linux" } else { "windows" });
        let script = format!(
            "aright: 1\nkind: script\nkey: {name}\norigin: custom\ntitle: {name}\nrisk: safe\ninterpreter: {}\n\
             timeout_s: {}\ntouches: ['{}']\nbody: |\n  {}\n",
            self.scenario.interpreter.of(system),
            claim.timeout_s.unwrap_or(120),
            self.scenario.touches.of(system),
            body.replace('\n', "\n  ")
        );
        let key = self.cli.approve(self.controller, &script)?;
        self.cli.create_job(&NewJob {
            name,
            custom_scripts: vec![CustomScript { key, params: Default::default() }],
            include_assets: self.both.to_vec(),
            ..NewJob::default()
        })
    }

    fn host_says(&self, system: System) -> anyhow::Result<String> {
        let words: Vec<&str> = self.scenario.judge.of(system).iter().map(String::as_str).collect();
        match system {
            System::Linux => self.chamber.stdout(&words),
            System::Windows => self.wine.says(&words),
        }
    }
}
