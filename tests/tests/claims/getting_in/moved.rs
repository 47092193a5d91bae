//! Several controllers' addresses, tried in order: at enrolment and in service; agent.toml counts over what the
//! enrolment remembered.

use std::time::Duration;

use anyhow::ensure;
use aright_tests::{Agent, Chamber, Cli, Controller, Gate, Lab, Place as _, listen, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_dead_first_address_is_left_for_the_next_at_enrolment_and_in_service() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let dead = format!("https://{}", listen(&lab)?.local_addr()?);
    let key = cli.enroll_key(1)?;

    let both = format!("{dead},{}", controller.agents_url());
    agent.enroll(&both, &key)?;
    let remembered = chamber.read("/var/lib/aright-agent/identity.json")?;
    ensure!(remembered.find(&controller.agents_url()) < remembered.find(&dead), "{remembered}");
    // agent.toml counts over that: first the dead one, then the one that serves.
    agent.set(&format!("controllers = [\"{dead}\", \"{}\"]", controller.agents_url()))?;
    agent.start()?;
    cli.reported()?;
    let log = agent.log();
    let [turns, tries] =
        ["turning to the next controller", "check-in: "].map(|words| log.matches(words).count());
    ensure!(turns == 1, "{log}");
    println!("figure: the next address's turn came after {tries} failed check-ins of the first");
    Ok(())
}

#[test]
fn a_running_agent_turns_to_the_next_when_the_first_goes() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let gate = Gate::open(&lab, controller.agents_address())?;
    let urls = format!("{},{}", gate.url(), controller.agents_url());
    agent.enroll(&urls, &cli.enroll_key(1)?)?;
    agent.start()?;
    let asset = cli.reported()?;
    ensure!(gate.passed() > 0, "the first address was not used");

    gate.shut();
    until("a turn", PATIENCE, || Ok(agent.log().contains("turning to the next controller").then_some(())))?;
    until("it being asked by the second", PATIENCE, || {
        cli.text(&["asset", "evaluate", asset.id.as_str()])?;
        Ok(cli.assets()?.iter().any(|one| one.connected && one.last_seen > asset.last_seen).then_some(()))
    })?;
    agent.running()?.check()
}
