//! A fix after which a service does not come back, or another control breaks, does not stay: files and services
//! are as before, and the outcome says why. On a real host with systemd; judged by systemd and the service's
//! own process seen from outside, by `sshd -T` and new connections, by a listing of `/etc`.

use std::io::Read as _;

use anyhow::{Context as _, ensure};
use aright_shared::api::TaskDetail;
use aright_shared::id::AssetId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::{Agent, Host, Place as _, needs, skip};

use crate::scene::{Scene, ends_as};

const WORD: &str = "ARIGHT_WORD";

/// Says the word of its settings in its own command line, and tells outside which words it ever read.
const GREETER: &str = r#"#!/bin/bash
word=$(cat /etc/greeter.conf)
echo "$word" >>/run/greeter.words
case $word in
refuse) echo "greeter: no such word" >&2; exit 1 ;;
hang) sleep infinity ;;
esac
systemd-notify --ready
case $word in
brief) sleep 0.1; exit 1 ;;
farewell) sleep 0.1; exit 0 ;;
esac
exec -a "greeter says $word" sleep infinity
"#;

/// One that says when it is ready, and one of which systemd knows only that it was started.
const UNITS: &[(&str, &str)] = &[
    ("greeter", "Type=notify\nNotifyAccess=all\nTimeoutStartSec=2"),
    ("parrot", "Type=exec\nRestart=always\nRestartSec=100ms"),
];

const BAD: &[(&str, &str)] = &[
    ("greeter", "refuse"),
    ("greeter", "brief"),
    ("greeter", "farewell"),
    ("greeter", "hang"),
    ("parrot", "refuse"),
    ("parrot", "brief"),
    ("parrot", "farewell"),
];

#[test]
fn a_unit_that_does_not_come_back_is_given_its_old_files() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let scene = Scene::new()?;
    let host = &scene.host;
    host.write("/usr/local/bin/greeter", GREETER)?;
    host.stdout(&["chmod", "0755", "/usr/local/bin/greeter"])?;
    for (unit, how) in UNITS {
        let text = format!("[Service]\n{how}\nExecStart=/usr/local/bin/greeter\n");
        host.write(&format!("/etc/systemd/system/{unit}.service"), &text)?;
        let more = format!(
            "params: {{{WORD}: {{from: given, pattern: '[a-z]{{1,8}}'}}}}\ntouches: [/etc/greeter.conf]\n\
             activate: [{{restart: [{unit}]}}]\n"
        );
        scene.approve(unit, &more, "printf '%s\\n' \"$ARIGHT_WORD\" >/etc/greeter.conf")?;
    }
    host.write("/etc/greeter.conf", "hello\n")?;
    host.stdout(&["systemctl", "start", "greeter", "parrot"])?;
    let asset = enrolled(&scene)?;
    let says = |unit: &str, word: &str| says(host, unit, word);
    let run = |unit: &str, word: &str| scene.ended(&scene.custom(&asset, unit, &[(WORD, word)], None)?);

    for (unit, _) in UNITS {
        let before = says(unit, "hello")?;
        ends_as(&run(unit, "goodbye")?, &[Outcome::Ran], HostChange::Kept)?;
        ensure!(says(unit, "goodbye")? != before, "{unit} was not restarted");
        ends_as(&run(unit, "hello")?, &[Outcome::Ran], HostChange::Kept)?;
    }
    host.write("/run/greeter.words", "")?;
    for (unit, word) in BAD {
        let (files, before) = (scene.files(&["/etc"])?, says(unit, "hello")?);
        let detail = run(unit, word)?;
        is_undone(&detail, unit, word)?;
        let changed = files.diff(&scene.files(&["/etc"])?);
        ensure!(changed.is_empty(), "{unit} {word}: {changed:?}");
        let after = says(unit, "hello").with_context(|| format!("{unit} {word}: {detail:#?}"))?;
        ensure!(after != before, "{unit} {word}: never restarted");
        ensure!(host.read("/run/greeter.words")?.contains(word), "{unit} never met {word}");
    }

    println!(
        "figure: {} of {0} bad restarts end activation_failed and undone: /etc as before, the unit active with its \
         old words",
        BAD.len()
    );
    Ok(())
}

/// The agent as the host's service, known to the controller.
fn enrolled(scene: &Scene) -> anyhow::Result<AssetId> {
    let agent = Agent::install(&scene.host, scene.log())?;
    agent.enroll(&scene.controller.agents_url(), &scene.cli.enroll_key(1)?)?;
    agent.serve()?;
    scene.asset()
}

/// One life of a unit: systemd's invocation and the process.
type Life = (String, String);

/// The unit is active, and its process says this word.
fn says(host: &Host, unit: &str, word: &str) -> anyhow::Result<Life> {
    let (life, pid) = active(host, unit)?;
    let line = host.read(&format!("/proc/{pid}/cmdline"))?;
    ensure!(line.starts_with(&format!("greeter says {word}\0")), "{unit}: {line:?}, wanted {word}");
    Ok((life, pid))
}

fn active(host: &Host, unit: &str) -> anyhow::Result<Life> {
    let state = host.output(&["systemctl", "is-active", unit])?;
    ensure!(state.status.success(), "{unit} is {}", String::from_utf8_lossy(&state.stdout));
    let show = |what: &str| host.stdout(&["systemctl", "show", "--value", "--property", what, unit]);
    Ok((show("InvocationID")?, show("MainPID")?))
}

fn is_undone(detail: &TaskDetail, unit: &str, what: &str) -> anyhow::Result<()> {
    let report = ends_as(detail, &[Outcome::ActivationFailed], HostChange::Undone)
        .with_context(|| format!("{unit} {what}"))?;
    ensure!(report.detail.contains(unit), "{}", report.detail);
    println!("{unit} {what}: {}\n{:#?}", report.detail, report.steps);
    println!("{:?} {:?} {:?} {:?}", detail.task.queued, detail.task.delivered, detail.task.running, detail.task.ended);
    Ok(())
}
