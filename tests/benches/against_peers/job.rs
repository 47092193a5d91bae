//! Aright as it is used: a controller beside the host, an agent on it, one job for the ten.

use std::time::Duration;

use anyhow::ensure;
use aright_shared::api::{NewJob, Posture, PostureFilter};
use aright_shared::id::Key;
use aright_shared::library::Library;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::posture::Verdict;
use aright_tests::{Agent, Cli, Controller, Lab, Metered, Place as _, until};

use crate::contenders::{Turn, measure};
use crate::fixes::FIXES;

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Site {
    controller: Controller,
    cli: Cli,
    scripts: Vec<Key>,
    lab: Lab,
}

impl Site {
    pub fn start(lab: &Lab) -> anyhow::Result<Self> {
        let controller = Controller::start(lab)?;
        let cli = Cli::log_in(&controller)?;
        let fixes = |script: &&aright_shared::content::script::Script| {
            script.fixes.iter().any(|fix| FIXES.iter().any(|ours| ours.control == fix.control.as_str()))
        };
        let scripts = Library::builtin().scripts().filter(fixes).map(|script| script.key.clone()).collect();
        Ok(Self { controller, cli, scripts, lab: lab.clone() })
    }

    /// From the order of the job until its end is known. The agent is there before and has reported.
    pub fn turn(&self, place: &Metered<'_>) -> anyhow::Result<Turn> {
        let mut agent = Agent::install(place, self.lab.folder().join("agent.log"))?;
        if !place.path("/var/lib/aright-agent").exists() {
            agent.enroll(&self.controller.agents_url(), &self.cli.enroll_key(1)?)?;
        }
        agent.start()?;
        until("the failed controls", PATIENCE, || Ok((self.failed()? == FIXES.len()).then_some(())))?;
        measure(place, || {
            let job = self.cli.create_job(&NewJob {
                name: "ten fixes".into(),
                filter: Some(PostureFilter::default()),
                scripts: Some(self.scripts.clone()),
                ..NewJob::default()
            })?;
            let tasks = self.cli.watch(&job)?;
            let kept = (Some(Outcome::Fixed), Some(HostChange::Kept));
            let bad: Vec<_> = tasks.iter().filter(|task| (task.outcome, task.change) != kept).collect();
            ensure!(bad.is_empty() && tasks.len() == FIXES.len(), "{tasks:#?}");
            Ok(())
        })
    }

    /// How many of the ten the controller knows as failed.
    fn failed(&self) -> anyhow::Result<usize> {
        let postures: Vec<Posture> = serde_json::from_value(self.cli.json(&["posture", "list"])?)?;
        let failed =
            |number: u32| postures.iter().any(|one| one.number == number && one.status == Verdict::Fail);
        Ok(FIXES.iter().filter(|fix| failed(fix.number)).count())
    }
}
