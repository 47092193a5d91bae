//! Enrolment by the line that `enroll-key create` prints, and by agent.toml alone. Judged by the controller's list of
//! hosts and by the files.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(60);
const KEY_FILE: &str = "/etc/aright/enroll.key";

#[test]
fn the_line_that_is_printed_is_all_that_a_host_needs() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;

    let made = cli.json(&["enroll-key", "create"])?;
    let line = made["install"]["by_hand"].as_str().context("no line")?;
    let help = agent.output(&["enroll", "--help"])?;
    let said = chamber.command("sh").args(["-c", line]).output()?;
    ensure!(said.status.success(), "{line}: {}", String::from_utf8_lossy(&said.stderr));
    agent.start()?;

    let asset = cli.reported()?;
    ensure!(asset.eligible, "{:?}", asset.reasons);
    let secret = made["secret"].as_str().context("no secret")?;
    for (package, name) in [("debian", "ARIGHT_ENROLL_KEY="), ("windows", "ENROLL_KEY=")] {
        let line = made["install"][package].as_str().context("no line")?;
        ensure!(line.contains(&format!("{name}{secret}")), "{line}");
    }
    ensure!(String::from_utf8_lossy(&help.stdout).contains("ARIGHT_TRUST_FINGERPRINT"), "{help:?}");
    Ok(())
}

#[test]
fn by_agent_toml_alone_a_host_enrols_as_soon_as_a_controller_is_there() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let key = cli.enroll_key(1)?;
    agent.set(&format!(
        "controllers = [\"https://10.99.0.1:1\", \"{}\"]\nca_fingerprint = \"{}\"\ntrust_fingerprint = \"{}\"\n\
         enroll_key_file = \"{KEY_FILE}\"",
        controller.agents_url(),
        key.authority,
        key.trust
    ))?;
    chamber.write(KEY_FILE, &format!("{}\n", key.secret))?;
    let mode = |mode| std::fs::set_permissions(chamber.path(KEY_FILE), Permissions::from_mode(mode));

    mode(0o644)?;
    agent.start()?;
    says(&agent, "chmod 0600 /etc/aright/enroll.key")?;
    controller.stop()?;
    mode(0o600)?;
    says(&agent, "no controller was reached")?;
    ensure!(chamber.path(KEY_FILE).exists(), "the key is gone before it has served");
    controller.start_again()?;

    let asset = cli.reported()?;
    ensure!(asset.eligible, "{:?}", asset.reasons);
    ensure!(!chamber.path(KEY_FILE).exists(), "the key is still there");
    ensure!(!agent.log().contains(&key.secret), "the key is in the log");
    agent.running()?.check()
}

#[test]
fn a_service_whose_key_is_refused_goes_on_once_somebody_enrolled_by_hand() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let key = cli.enroll_key(1)?;
    agent.set(&format!(
        "controllers = [\"{}\"]\nca_fingerprint = \"{}\"\ntrust_fingerprint = \"{}\"\nenroll_key_file = \"{KEY_FILE}\"",
        controller.agents_url(),
        key.authority,
        key.trust
    ))?;
    chamber.write(KEY_FILE, "aek_mistyped\n")?;
    std::fs::set_permissions(chamber.path(KEY_FILE), Permissions::from_mode(0o600))?;
    agent.start()?;
    says(&agent, "enrolment refused")?;
    agent.enroll(&controller.agents_url(), &key)?;
    cli.reported()?;
    agent.running()?.check()
}

fn says(agent: &Agent<'_, Chamber>, words: &str) -> anyhow::Result<()> {
    until(words, PATIENCE, || Ok(agent.log().contains(words).then_some(())))
}
