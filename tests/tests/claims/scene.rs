//! One real host that its controller knows, and scripts of the user's own that are run on it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use aright_shared::api::{CustomScript, NewJob, PostureFilter, TaskDetail};
use aright_shared::id::{AssetId, JobId, TaskId};
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::TaskReport;
use aright_tests::tree::Listing;
use aright_tests::{Cli, Controller, Host, Lab, Place as _};

pub struct Scene {
    pub controller: Controller,
    pub cli: Cli,
    pub host: Host,
    pub lab: Lab,
}

impl Scene {
    pub fn new() -> anyhow::Result<Self> {
        let lab = Lab::new()?;
        let controller = Controller::start(&lab)?;
        let cli = Cli::log_in(&controller)?;
        let host = Host::boot(&lab, "web1")?;
        Ok(Self { controller, cli, host, lab })
    }

    pub fn log(&self) -> PathBuf {
        self.lab.folder().join("agent.log")
    }

    /// A script with this body, approved. `more` are further fields.
    pub fn approve(&self, key: &str, more: &str, body: &str) -> anyhow::Result<()> {
        let body = body.trim().replace('\n', "\n  ");
        let script = format!(
            "aright: 1\nkind: script\nkey: {key}\norigin: custom\ntitle: {key}\nrisk: safe\ninterpreter: sh\n\
             timeout_s: 30\n{more}body: |\n  set -eu\n  {body}\n"
        );
        self.cli.approve(&self.controller, &script).map(drop)
    }

    /// The one asset, once it has reported.
    pub fn asset(&self) -> anyhow::Result<AssetId> {
        Ok(self.cli.reported()?.id)
    }

    /// A job that runs one approved script on the asset at once.
    pub fn custom(
        &self,
        asset: &AssetId,
        script: &str,
        given: &[(&str, &str)],
        control: Option<&str>,
    ) -> anyhow::Result<JobId> {
        let params: BTreeMap<_, _> =
            given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let filter = match control {
            Some(key) => Some(PostureFilter { control: vec![key.parse()?], ..PostureFilter::default() }),
            None => None,
        };
        self.cli.create_job(&NewJob {
            name: script.into(),
            scripts: filter.as_ref().map(|_| Vec::new()),
            filter,
            custom_scripts: vec![CustomScript { key: script.parse()?, params }],
            include_assets: vec![asset.clone()],
            ..NewJob::default()
        })
    }

    /// A job of the library's own fix for one control.
    pub fn library(&self, control: &str) -> anyhow::Result<JobId> {
        let filter = PostureFilter { control: vec![control.parse()?], ..PostureFilter::default() };
        self.cli.create_job(&NewJob { name: control.into(), filter: Some(filter), ..NewJob::default() })
    }

    /// The one task of the job's newest run, once it has ended.
    pub fn ended(&self, job: &JobId) -> anyhow::Result<TaskDetail> {
        let tasks = self.cli.watch(job)?;
        let [task] = &tasks[..] else { anyhow::bail!("not one task: {tasks:#?}") };
        self.cli.task(&task.id)
    }

    /// As [`Self::ended`], kept.
    pub fn kept(&self, job: &JobId) -> anyhow::Result<TaskId> {
        let detail = self.ended(job)?;
        ends_as(&detail, &[Outcome::Ran, Outcome::Fixed], HostChange::Kept)?;
        Ok(detail.task.id)
    }

    /// Files below these folders; folders themselves without their times, since something was made in them
    /// and removed.
    pub fn files(&self, folders: &[&str]) -> anyhow::Result<Listing> {
        let paths: Vec<PathBuf> = folders.iter().map(|folder| self.host.path(folder)).collect();
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        Ok(Listing::of(&paths)?.without_folder_times())
    }
}

/// What the API says of a task, in its list and in its report alike.
pub fn ends_as(detail: &TaskDetail, outcomes: &[Outcome], change: HostChange) -> anyhow::Result<TaskReport> {
    let report = detail.report.clone().context("no report")?;
    let same = (detail.task.outcome, detail.task.change) == (Some(report.outcome), Some(report.change));
    let right = outcomes.contains(&report.outcome) && report.change == change;
    anyhow::ensure!(same && right, "wanted {outcomes:?} {change:?}, found {detail:#?}");
    Ok(report)
}
