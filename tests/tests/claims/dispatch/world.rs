//! A real controller, five hundred simulated agents, an operator.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use aright_shared::api::{CustomScript, Job, Login, NewJob, Page, PostureFilter, Run, Session, Task};
use aright_shared::client::{Client, ClientError};
use aright_shared::id::{AssetId, Key, RunId};
use aright_tests::{Cli, Controller, Lab};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::agent::{Agent, Door, Stage};
use super::fate::{Fate, Scene};
use super::ledger::Ledger;

pub const AGENTS: usize = 500;
/// How many enrol at the same time.
const ENROLLING: usize = 4;
const PATIENCE: Duration = Duration::from_secs(120);

/// A script whose agent is given up eight seconds after it began: its time limit, and the two below.
const SCRIPT: &str = "\
aright: 1
kind: script
key: simulated
origin: custom
title: Simulated
risk: safe
interpreter: sh
timeout_s: 1
touches: [/etc/simulated]
body: |
  true
";
const SETTINGS: &str = "[dispatch]\nlease_s = 2\nconfirm_s = 1\nsilence_s = 6\n[log]\nfilter = \"warn\"\n";
/// How long a running task of that script may be silent, in milliseconds.
pub const SILENCE: i64 = 8_000;

pub struct World {
    pub seed: u64,
    pub stage: Arc<Stage>,
    pub agents: Vec<Arc<Agent>>,
    controller: Arc<Mutex<Controller>>,
    operator: Client,
    operators: Door,
    password: String,
    script: Key,
}

/// What is needed before there are agents: made outside of the lab's network.
pub struct Ground {
    pub controller: Controller,
    number: usize,
    script: Key,
    secret: String,
    agents: Door,
    operators: Door,
    password: String,
}

impl Ground {
    /// For so many agents.
    pub fn lay(lab: &Lab, number: usize) -> anyhow::Result<Self> {
        let settings = lab.folder().join("controller.toml");
        fs::write(&settings, SETTINGS)?;
        let controller = Controller::start_with(lab, &["--config", &settings.to_string_lossy()])?;
        let cli = Cli::log_in(&controller)?;
        let authority = controller.printed("ca fingerprint")?.parse().map_err(anyhow::Error::msg)?;
        Ok(Self {
            script: cli.approve(&controller, SCRIPT)?,
            secret: cli.enroll_key(number)?.secret,
            number,
            agents: Door { url: controller.agents_url(), authority },
            operators: Door { url: controller.operators_url(), authority },
            password: controller.printed("password")?,
            controller,
        })
    }
}

impl World {
    /// Everybody enrolled, reported, and waiting for work; for so long at a time.
    pub async fn start(ground: Ground, seed: u64, wait_s: u32) -> anyhow::Result<Self> {
        let Ground { controller, number: all, script, secret, agents, operators, password } = ground;
        let operator = log_in(&operators, &password).await?;
        let calm = Scene::new("calm", seed, Box::new(|coming, _| Fate::well(coming.custom)));
        let stage = Arc::new(Stage {
            ledger: Ledger::default(),
            scene: watch::Sender::new(Arc::new(calm)),
            in_hand: AtomicUsize::new(0),
            wait_s,
            told_again: AtomicUsize::new(0),
        });
        let mut enrolling = JoinSet::new();
        for part in 0..ENROLLING {
            let (door, secret, stage) = (agents.clone(), secret.clone(), stage.clone());
            enrolling.spawn(async move {
                let stranger = door.open(None)?;
                let mut enrolled = Vec::new();
                for number in (part..all).step_by(ENROLLING) {
                    enrolled
                        .push(Agent::enroll(number, seed, &door, &stranger, &secret, stage.clone()).await?);
                }
                anyhow::Ok(enrolled)
            });
        }
        let mut agents = Vec::new();
        while let Some(enrolled) = enrolling.join_next().await {
            agents.extend(enrolled??);
        }
        agents.sort_by_key(|agent| agent.number);
        for agent in &agents {
            tokio::spawn(agent.clone().live());
        }
        let controller = Arc::new(Mutex::new(controller));
        Ok(Self { seed, stage, agents, controller, operator, operators, password, script })
    }

    /// After a restore nobody is logged in.
    pub async fn log_in_again(&mut self) -> anyhow::Result<()> {
        self.operator = log_in(&self.operators, &self.password).await?;
        Ok(())
    }

    /// Something that the controller's program does, or that is done to it.
    pub async fn with_controller<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Controller) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let controller = self.controller.clone();
        let work = move || work(&mut controller.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await?
    }

    pub fn play(&self, scene: Scene) {
        self.stage.scene.send_replace(Arc::new(scene));
    }

    /// `kill -9`, nothing for so long, and a start from what is on disk.
    pub async fn kill_and_start(&self, dead: Duration) -> anyhow::Result<()> {
        self.with_controller(move |controller| {
            controller.kill()?;
            std::thread::sleep(dead);
            controller.start_again()
        })
        .await
    }

    /// A job of the simulated script on the first so many hosts, due at once.
    pub fn job(&self, name: &str, hosts: usize) -> NewJob {
        NewJob {
            name: name.into(),
            include_assets: self.agents[..hosts].iter().map(|agent| agent.asset.clone()).collect(),
            custom_scripts: vec![CustomScript { key: self.script.clone(), params: Default::default() }],
            hold_s: Some(0),
            ..NewJob::default()
        }
    }

    /// With the library's scripts for these controls too.
    pub fn with_controls(&self, job: NewJob, controls: &[&str]) -> anyhow::Result<NewJob> {
        let control = controls.iter().map(|control| control.parse()).collect::<Result<_, _>>()?;
        let asset: Vec<AssetId> = job.include_assets.clone();
        Ok(NewJob { filter: Some(PostureFilter { control, asset, ..PostureFilter::default() }), ..job })
    }

    /// Its run.
    pub async fn create(&self, job: &NewJob) -> anyhow::Result<RunId> {
        let job: Job = self.operator.post("/api/v1/jobs", job).await?;
        Ok(job.runs.first().context("the job has no run")?.id.clone())
    }

    /// `pause`, `resume` or `cancel`.
    pub async fn steer(&self, run: &RunId, how: &str) -> anyhow::Result<Run> {
        Ok(self.operator.post(&format!("/api/v1/runs/{run}/{how}"), &json!({})).await?)
    }

    pub async fn stop_all(&self) -> anyhow::Result<()> {
        self.post("/api/v1/stop", &json!({"reason": "simulated"})).await
    }

    pub async fn release(&self) -> anyhow::Result<()> {
        let _: serde_json::Value = self.operator.delete("/api/v1/stop").await?;
        Ok(())
    }

    async fn post<T: Serialize + Sync>(&self, path: &str, body: &T) -> anyhow::Result<()> {
        let _: serde_json::Value = self.operator.post(path, body).await?;
        Ok(())
    }

    pub async fn run(&self, run: &RunId) -> anyhow::Result<Run> {
        self.see(&format!("/api/v1/runs/{run}")).await
    }

    pub async fn tasks(&self, run: &RunId) -> anyhow::Result<Vec<Task>> {
        let mut tasks = Vec::new();
        let mut cursor = String::new();
        loop {
            let page: Page<Task> = self.see(&format!("/api/v1/tasks?run={run}&limit=1000{cursor}")).await?;
            tasks.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(tasks),
            }
        }
    }

    /// Asked again while the controller is away.
    pub async fn see<R: DeserializeOwned>(&self, path: &str) -> anyhow::Result<R> {
        let since = Instant::now();
        loop {
            match self.operator.get(path).await {
                Err(ClientError::Transport { .. }) if since.elapsed() < PATIENCE => {
                    sleep(Duration::from_millis(50)).await;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// A run that has ended, once no agent has anything in hand.
    pub async fn ended(&self, run: &RunId) -> anyhow::Result<(Run, Vec<Task>)> {
        self.until(&format!("the end of run {run}"), async || Ok(self.run(run).await?.state.is_final()))
            .await?;
        self.at_rest().await?;
        Ok((self.run(run).await?, self.tasks(run).await?))
    }

    pub async fn at_rest(&self) -> anyhow::Result<()> {
        let in_hand = || self.stage.in_hand.load(Ordering::Relaxed);
        self.until("agents at rest", async || Ok(in_hand() == 0)).await
    }

    /// So many scripts of a run have begun, or it has ended.
    pub async fn begun(&self, run: &RunId, scripts: usize) -> anyhow::Result<()> {
        self.until(&format!("{scripts} begun"), async || {
            Ok(self.stage.ledger.begun(run) >= scripts || self.run(run).await?.state.is_final())
        })
        .await
    }

    pub async fn until(
        &self,
        what: &str,
        is_so: impl AsyncFn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let since = Instant::now();
        while !is_so().await? {
            if since.elapsed() > PATIENCE {
                bail!("{what}: not within {PATIENCE:?}\n{}", self.log());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    pub fn log(&self) -> String {
        self.controller.lock().unwrap_or_else(PoisonError::into_inner).log()
    }
}

async fn log_in(door: &Door, password: &str) -> anyhow::Result<Client> {
    let operator = door.open(None)?;
    let login = Login { user: "admin".into(), password: password.to_owned() };
    let session: Session = operator.post("/api/v1/session", &login).await?;
    Ok(operator.with_token(session.token))
}
