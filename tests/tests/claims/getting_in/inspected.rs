//! A proxy that opens TLS: nothing is told to it, and whoever meets it says whose certificate was shown and what to do.
//! Judged by what the proxy could read, which is nothing.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_tests::{Agent, CONTROLLER, Chamber, Cli, Controller, Lab, Place as _, Proxy, needs, skip, until};

const PATIENCE: Duration = Duration::from_secs(60);
const ISSUER: &str = "Example Corp TLS Inspection";

#[test]
fn an_inspecting_proxy_is_told_nothing_and_named_by_enrolment_service_and_log_in() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let proxy = Proxy::inspecting(&lab, ISSUER, &CONTROLLER.to_string())?;
    let authority = proxy.authority().context("no authority")?.to_string();
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let names_it = |said: &str| {
        let all = [ISSUER, &authority, "not by the pinned authority", "TLS-inspecting proxy", "exempted"];
        match all.into_iter().find(|part| !said.contains(part)) {
            Some(part) => anyhow::bail!("{part:?} is not said: {said}"),
            None => Ok(()),
        }
    };

    agent.set(&format!("proxy = \"{}\"", proxy.url()))?;
    let key = cli.enroll_key(1)?;
    let refused = agent.enroll(&controller.agents_url(), &key).err().context("enrolled")?;
    names_it(&format!("{refused:#}"))?;
    // Enrolled by another way, then moved behind the proxy.
    chamber.write("/etc/aright/agent.toml", "")?;
    agent.enroll(&controller.agents_url(), &key)?;
    agent.set(&format!("proxy = \"{}\"", proxy.url()))?;
    agent.start()?;
    until("the log to name it", PATIENCE, || Ok(names_it(&agent.log()).is_ok().then_some(())))?;
    agent.running()?.check()?;

    let password = lab.folder().join("password");
    let url = controller.operators_url();
    let login =
        ["login", &url, "--ca-fingerprint", &key.authority, "--password-file", &password.to_string_lossy()];
    let refused = cli.output_with(&[&format!("HTTPS_PROXY={}", proxy.url())], &login)?;
    ensure!(!refused.status.success(), "logged in");
    names_it(&String::from_utf8_lossy(&refused.stderr))?;

    ensure!(proxy.tunnels() >= 3, "{} tunnels", proxy.tunnels());
    ensure!(proxy.overheard() == 0, "{} bytes were readable on the way", proxy.overheard());
    println!("figure: 0 bytes readable in {} tunnels of an inspecting proxy", proxy.tunnels());
    Ok(())
}
