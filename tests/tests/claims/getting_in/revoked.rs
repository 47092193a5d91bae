//! Revocation while the agent holds its check-in open: refused at once, told on the host, and nothing runs afterwards.
//! Judged by the host's file, the audit log and the agent's own log.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{AssetState, AuditEntry, NewJob, PostureFilter};
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(30);
const CONTROL: &str = "login-defs-pass-max-days";

#[test]
fn a_revoked_host_hears_it_in_its_open_check_in_and_gets_nothing_more() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::joined(&chamber, &controller, &cli)?;
    let asset = cli.reported()?;
    // A job that is ready to run there, and waits.
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let new = NewJob { name: "late".into(), filter: Some(filter), ..NewJob::default() };
    let file = lab.folder().join("late.yaml");
    std::fs::write(&file, serde_json::to_vec(&new)?)?;
    let job = cli.json(&["job", "create", "--file", &file.to_string_lossy(), "--hold-s", "20"])?;
    let before = chamber.read("/etc/login.defs")?;

    let shown = cli.json(&["asset", "revoke", asset.id.as_str(), "--reason", "stolen"])?;
    ensure!(shown["state"] == "revoked" && shown["reasons"] == serde_json::json!(["revoked"]), "{shown}");
    let log = until("the agent's words", PATIENCE, || {
        let log = agent.log();
        Ok(log.contains("this host is revoked").then_some(log))
    })?;
    ensure!(log.contains("aright-agent enroll --again"), "{log}");

    let id = job["id"].as_str().context("no job")?;
    let ended = cli.json(&["job", "watch", id])?;
    let listed = cli.assets()?.pop().context("no asset")?;
    ensure!(listed.state == AssetState::Revoked && !listed.eligible, "{listed:?}");
    ensure!(!ended.to_string().contains("\"fixed\""), "{ended}");
    ensure!(chamber.read("/etc/login.defs")? == before, "something ran");
    let log = agent.log();
    ensure!(!log.contains("task delivered"), "{log}");
    ensure!(log.matches("this host is revoked").count() <= 3, "it is not quiet: {log}");
    let told: Vec<AuditEntry> =
        serde_json::from_value(cli.json(&["audit", "list", "--action", "asset.revoke"])?)?;
    let told: Vec<_> = told.iter().map(|line| (line.who.as_str(), line.detail.as_str())).collect();
    ensure!(told == [("admin", "stolen")], "{told:?}");
    agent.running()?.check()
}
