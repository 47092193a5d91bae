//! The whole way through a proxy that wants a log-in, to a controller whose name nobody but the proxy can look up: it
//! is the only way there is. Judged by the host's file, and by the proxy.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use aright_shared::api::{NewJob, PostureFilter};
use aright_shared::outcome::Outcome;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, Proxy, listen, needs, skip};

const NAME: &str = "aright.corp.example";
const LOGIN: &str = "host:cl0sed-d00r";
const LOGIN_FILE: &str = "/etc/aright/proxy.login";
const CONTROL: &str = "login-defs-pass-max-days";

#[test]
fn a_control_is_fixed_through_a_proxy_with_a_log_in() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let (controller, url) = named(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let proxy = Proxy::start(&lab, Some(LOGIN))?;
    let chamber = Chamber::new(&lab)?;
    let mut agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    chamber.write(LOGIN_FILE, LOGIN)?;
    std::fs::set_permissions(chamber.path(LOGIN_FILE), Permissions::from_mode(0o600))?;
    agent.set(&format!("proxy = \"{}\"\nproxy_login_file = \"{LOGIN_FILE}\"", proxy.url()))?;

    agent.enroll(&url, &cli.enroll_key(1)?)?;
    agent.start()?;
    cli.reported()?;
    ensure!(chamber.read("/etc/login.defs")?.contains("PASS_MAX_DAYS\t99999"), "it is well already");
    let filter = PostureFilter { control: vec![CONTROL.parse()?], ..PostureFilter::default() };
    let job = cli.create_job(&NewJob { name: "fix".into(), filter: Some(filter), ..NewJob::default() })?;
    let tasks = cli.watch(&job)?;

    ensure!(tasks.iter().all(|task| task.outcome == Some(Outcome::Fixed)) && tasks.len() == 1, "{tasks:#?}");
    let after = chamber.read("/etc/login.defs")?;
    ensure!(after.lines().any(|line| line.split_whitespace().eq(["PASS_MAX_DAYS", "365"])), "{after}");
    ensure!(proxy.tunnels() >= 2 && proxy.turned_away() == 0, "{} tunnels", proxy.tunnels());
    let said =
        format!("{}{}", agent.log(), String::from_utf8_lossy(&agent.output(&["check-config"])?.stdout));
    ensure!(!said.contains("cl0sed-d00r"), "the log-in is shown: {said}");
    let left = agent.output(&["leave"])?;
    ensure!(left.status.success(), "{left:?}");
    println!("figure: enrolled, evaluated, fixed and left through {} tunnels", proxy.tunnels());
    Ok(())
}

#[test]
fn a_proxy_that_turns_us_away_or_is_not_there_is_named_with_what_to_do() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let (controller, url) = named(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let key = cli.enroll_key(1)?;
    let proxy = Proxy::start(&lab, Some(LOGIN))?;
    let nobody = format!("http://{}", listen(&lab)?.local_addr()?);
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let refused = |settings: &str| -> anyhow::Result<String> {
        chamber.write("/etc/aright/agent.toml", settings)?;
        Ok(format!("{:#}", agent.enroll(&url, &key).err().context("enrolled")?))
    };
    let to = |proxy: &str| format!("proxy = \"{proxy}\"\n");

    let said = refused(&to(&proxy.url()))?;
    ensure!(said.contains("wants a log-in") && said.contains("proxy_login_file"), "{said}");
    chamber.write(LOGIN_FILE, "host:wr0ng")?;
    let with_login = format!("{}proxy_login_file = \"{LOGIN_FILE}\"\n", to(&proxy.url()));
    let said = refused(&with_login)?;
    ensure!(said.contains("chmod 0600"), "{said}");
    std::fs::set_permissions(chamber.path(LOGIN_FILE), Permissions::from_mode(0o600))?;
    let said = refused(&with_login)?;
    ensure!(said.contains("refuses the log-in") && !said.contains("wr0ng"), "{said}");
    let said = refused(&to(&nobody))?;
    ensure!(said.contains(&format!("the proxy {nobody} was not reached")), "{said}");
    ensure!(proxy.turned_away() == 2, "turned away {} times", proxy.turned_away());
    Ok(())
}

#[test]
fn the_environments_proxy_redirects_no_agent_and_leads_the_command_line() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let (controller, _) = named(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let proxy = Proxy::start(&lab, None)?;
    let key = cli.enroll_key(1)?;
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    let environment = format!("HTTPS_PROXY={}", proxy.url());

    let arguments = ["/usr/bin/aright-agent", "enroll", "--controller", &controller.agents_url()];
    let secrets =
        ["--key", &key.secret, "--ca-fingerprint", &key.authority, "--trust-fingerprint", &key.trust];
    let enrolled = chamber.output(&[&["env", &environment], &arguments[..], &secrets].concat())?;
    ensure!(enrolled.status.success(), "{enrolled:?}");
    ensure!(proxy.tunnels() == 0, "the environment redirected the agent");
    let listed = cli.output_with(&[&environment], &["asset", "list"])?;
    ensure!(listed.status.success() && proxy.tunnels() == 1, "{listed:?}, {} tunnels", proxy.tunnels());
    let locked = Proxy::start(&lab, Some(LOGIN))?;
    let refused = cli.output_with(&[&format!("HTTPS_PROXY={}", locked.url())], &["asset", "list"])?;
    let said = String::from_utf8_lossy(&refused.stderr);
    ensure!(
        !refused.status.success() && said.contains("wants a log-in") && said.contains("HTTPS_PROXY"),
        "{said}"
    );
    drop(agent);
    Ok(())
}

/// A controller with a name, and its agents' address by that name.
fn named(lab: &Lab) -> anyhow::Result<(Controller, String)> {
    let settings = lab.folder().join("controller.toml");
    std::fs::write(&settings, format!("[agents]\nnames = [\"{NAME}\"]\n"))?;
    let controller = Controller::start_with(lab, &["--config", &settings.to_string_lossy()])?;
    let url = format!("https://{NAME}:{}", controller.agents_address().port());
    Ok((controller, url))
}
