//! Services, as scripts under Wine declare them, change them and make them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{Asset, CustomScript, NewJob, TaskDetail};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::{Cli, Controller, Lab, Wine, msi_package, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(60);
/// One that every Wine has.
const KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\winmgmt";
const DISABLED: &str = "\"Start\"=dword:00000004";

#[test]
fn a_declared_start_type_goes_back_and_a_service_that_came_is_said() -> anyhow::Result<()> {
    needs!(skip::LAB, skip::WINDOWS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let wine = Wine::new(&lab)?;
    wine.join(&msi_package(&lab, "0.1.0")?, &controller, &cli)?;
    let asset =
        until("the host", PATIENCE, || Ok(cli.assets()?.into_iter().find(|asset| asset.postures.fail > 0)))?;
    let stand = Stand { controller, cli, asset };
    let before = wine.registry(KEY)?.context("no such service")?;
    ensure!(!before.contains(DISABLED), "{before}");
    let disable = format!("reg add {KEY} /v Start /t REG_DWORD /d 4 /f");

    let kept = stand.runs("declared", "service:winmgmt", &disable)?;
    came_to(&kept, Outcome::Ran, HostChange::Kept)?;
    ensure!(wine.registry(KEY)?.context("gone")?.contains(DISABLED));
    let undone = serde_json::from_value(stand.cli.json(&["task", "undo", kept.task.id.as_str()])?)?;
    came_to(&undone, Outcome::Ran, HostChange::Undone)?;
    ensure!(wine.registry(KEY)?.as_ref() == Some(&before), "{:?}, before {before}", wine.registry(KEY)?);

    let undeclared = stand.runs("undeclared", r"C:\acme.txt", &disable)?;
    came_to(&undeclared, Outcome::Overreach, HostChange::Undone)?;
    ensure!(wine.registry(KEY)?.as_ref() == Some(&before), "{:?}, before {before}", wine.registry(KEY)?);

    let made = stand.runs("made", r"C:\acme.txt", r"sc create acme binPath= C:\acme.exe")?;
    came_to(&made, Outcome::Overreach, HostChange::UndoConflict)?;
    let said = format!("{made:?}");
    ensure!(said.contains("sc delete"), "{said}");
    Ok(())
}

struct Stand {
    controller: Controller,
    cli: Cli,
    asset: Asset,
}

impl Stand {
    fn runs(&self, name: &str, touches: &str, body: &str) -> anyhow::Result<TaskDetail> {
        let script = format!(
            "aright: 1\nkind: script\nkey: {name}\norigin: custom\ntitle: {name}\nrisk: safe\ninterpreter: cmd\n\
             timeout_s: 60\ntouches: ['{touches}']\nbody: |\n  {body}\n"
        );
        let key = self.cli.approve(&self.controller, &script)?;
        let tasks = self.cli.watch(&self.cli.create_job(&NewJob {
            name: name.into(),
            custom_scripts: vec![CustomScript { key, params: Default::default() }],
            include_assets: vec![self.asset.id.clone()],
            ..NewJob::default()
        })?)?;
        let [task] = tasks.as_slice() else { anyhow::bail!("{tasks:#?}") };
        self.cli.task(&task.id)
    }
}

fn came_to(detail: &TaskDetail, outcome: Outcome, change: HostChange) -> anyhow::Result<()> {
    let report = detail.report.as_ref().context("no report")?;
    ensure!((report.outcome, report.change) == (outcome, change), "{report:#?}");
    Ok(())
}
