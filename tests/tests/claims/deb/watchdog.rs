//! Who is watched: a service that stands still is started anew, one that works long is let be. Judged by systemd.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::packages::{install, package};
use aright_tests::{Host, Place as _, needs, skip, until};

use super::agent::invitation;
use crate::scene::{Scene, ends_as};

const PATIENCE: Duration = Duration::from_secs(60);
/// Shorter than the packages', so that nobody waits long; and how long a script then works, in seconds.
const WATCHED_S: u32 = 3;
const LONG_S: u32 = 12;

#[test]
fn a_service_that_stands_still_is_started_anew_and_a_long_script_is_let_be() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    let scene = Scene::new()?;
    let host = &scene.host;
    install(host, &package("aright-agent").context("built")?, &invitation(&scene.controller, &scene.cli)?)?;
    install(host, &package("aright-controller").context("built")?, &[])?;
    scene.approve("long", "touches: [/etc/long]\n", &format!("sleep {LONG_S}; echo done >/etc/long"))?;
    let asset = scene.asset()?;
    for unit in ["aright-agent", "aright-controller"] {
        let settings = format!("[Service]\nWatchdogSec={WATCHED_S}\n");
        host.write(&format!("/run/systemd/system/{unit}.service.d/watched.conf"), &settings)?;
    }
    host.stdout(&["systemctl", "daemon-reload"])?;
    host.stdout(&["systemctl", "restart", "aright-agent", "aright-controller"])?;

    let before = main_pid(host, "aright-agent")?;
    let job = scene.custom(&asset, "long", &[], None)?;
    ends_as(&scene.ended(&job)?, &[Outcome::Ran], HostChange::Kept)?;
    ensure!(main_pid(host, "aright-agent")? == before, "a long script tripped the watchdog");

    for unit in ["aright-agent", "aright-controller"] {
        let stopped = main_pid(host, unit)?;
        host.stdout(&["kill", "-STOP", &stopped])?;
        until(&format!("another life of {unit}"), PATIENCE, || {
            let state = host.output(&["systemctl", "is-active", unit])?;
            Ok(Some(main_pid(host, unit)?).filter(|pid| state.status.success() && *pid != stopped))
        })?;
    }
    println!(
        "figure: watched for {WATCHED_S} s, a script of {LONG_S} s is let be; agent and controller that stand still are \
         started anew"
    );
    Ok(())
}

fn main_pid(host: &Host, unit: &str) -> anyhow::Result<String> {
    host.stdout(&["systemctl", "show", "--value", "--property", "MainPID", unit])
}
