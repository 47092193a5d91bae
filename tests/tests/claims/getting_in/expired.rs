//! A host that was off past its certificate's end: nothing but a renewal is granted to it, and that is all it takes.

use std::time::Duration;

use aright_tests::{Agent, Chamber, Cli, Clock, Controller, Lab, Place as _, needs, skip, until};

const CERTIFICATE: &str = "/var/lib/aright-agent/certificate.pem";
/// Far less than the hour after which a renewal that failed is tried again.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_host_that_was_off_for_long_is_back_at_once() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let mut controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.start()?;
    cli.reported()?;
    agent.stop()?;
    controller.stop()?;
    let before = chamber.read(CERTIFICATE)?;

    let later = Clock::Wrong("+20d".into());
    controller.set_clock(later.clone());
    controller.start_again()?;
    agent.set_clock(later)?;
    agent.start()?;
    until("another certificate", PATIENCE, || {
        agent.running()?.check()?;
        Ok((chamber.read(CERTIFICATE)? != before).then_some(()))
    })?;
    // A report takes a certificate that serves.
    until("a report", PATIENCE, || Ok((agent.log().matches(" reported ").count() > 1).then_some(())))?;
    agent.stop()
}
