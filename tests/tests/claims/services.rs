//! A fix after which a service does not come back, or another control breaks, does not stay: files and services
//! are as before, and the outcome says why. On a real host with systemd; judged by systemd and the service's
//! own process seen from outside, by `sshd -T` and new connections, by a listing of `/etc`.

use std::io::Read as _;

use anyhow::{Context as _, ensure};
use aright_shared::api::TaskDetail;
use aright_shared::id::AssetId;
use aright_shared::outcome::{HostChange, Outcome};
use aright_tests::tree::Listing;
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

/// Fewer starts than there are restarts in the test: whoever tries often is not to be refused for that.
const LIMIT: &str = "StartLimitIntervalSec=1h\nStartLimitBurst=3";

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
        let text = format!("[Unit]\n{LIMIT}\n[Service]\n{how}\nExecStart=/usr/local/bin/greeter\n");
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
        let why = is_undone(&scene, &detail, &files, unit)?;
        let after = says(unit, "hello").with_context(|| format!("{word}: {detail:#?}"))?;
        ensure!(after != before, "{unit} {word}: never restarted");
        ensure!(host.read("/run/greeter.words")?.contains(word), "{unit} never met {word}");
        ensure!(*word != "refuse" || why.contains("greeter: no such word"), "{why}");
    }

    host.stdout(&["systemctl", "stop", "greeter"])?;
    let files = scene.files(&["/etc"])?;
    is_undone(&scene, &run("greeter", "refuse")?, &files, "greeter")?;
    let state = host.output(&["systemctl", "is-active", "greeter"])?.stdout;
    ensure!(state == b"inactive\n", "a stopped unit is {}", String::from_utf8_lossy(&state));

    println!(
        "figure: {} of {0} bad restarts end activation_failed and undone: /etc as before, the unit active with its \
         old words (or stopped, as it was)",
        BAD.len() + 1
    );
    Ok(())
}

/// What a drop-in of sshd says, by what the daemon is told of it, and whether it is the same process after.
const SSHD: &[(&str, &str, bool)] = &[
    ("restart", "NoSuchOption yes", false),
    ("restart", "ListenAddress 192.0.2.1", false),
    // Refused by `sshd -t` before the daemon is told.
    ("reload", "NoSuchOption yes", true),
    ("reload", "ListenAddress 192.0.2.1", false),
];

#[test]
fn an_sshd_that_does_not_come_back_is_given_its_old_files() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let scene = Scene::new()?;
    let host = &scene.host;
    for verb in ["restart", "reload"] {
        let more = format!(
            "params: {{{WORD}: {{from: given, pattern: '[A-Za-z0-9. ]{{1,40}}'}}}}
\
             touches: [/etc/ssh/sshd_config.d/10-claim.conf]
activate: [{{{verb}: [ssh, sshd]}}]
"
        );
        let body = "printf '%s\\n' \"$ARIGHT_WORD\" >/etc/ssh/sshd_config.d/10-claim.conf";
        scene.approve(&format!("sshd-{verb}"), &more, body)?;
    }
    let asset = enrolled(&scene)?;
    let run = |verb: &str, line: &str| {
        scene.ended(&scene.custom(&asset, &format!("sshd-{verb}"), &[(WORD, line)], None)?)
    };

    ends_as(&run("reload", "MaxAuthTries 3")?, &[Outcome::Ran], HostChange::Kept)?;
    for (verb, line, is_same) in SSHD {
        let (files, before) = (scene.files(&["/etc"])?, (active(host, "ssh")?, settings(host)?));
        ensure!(before.1.contains("\nmaxauthtries 3\n"), "{}", before.1);
        let why = is_undone(&scene, &run(verb, line)?, &files, "ssh")?;
        answers(host).with_context(|| format!("{verb} {line}: {why}"))?;
        let after = (active(host, "ssh")?, settings(host)?);
        ensure!(after.1 == before.1, "{verb} {line}: other settings: {}", after.1);
        ensure!((after.0 == before.0) == *is_same, "{verb} {line}: {before:?} {after:?}");
        let blamed = ["NoSuchOption", "192.0.2.1"].iter().any(|word| why.contains(word));
        ensure!(blamed, "{verb} {line}: {why}");
    }

    println!(
        "figure: {} of {0} settings that sshd refuses or cannot bind end activation_failed and undone: sshd -T as \
         before, a new login works",
        SSHD.len()
    );
    Ok(())
}

/// What breaks, in what way, and the control that it breaks.
const BREAKS: &[(&str, Option<&str>, &str)] = &[
    // By a daemon's settings, without any target.
    (
        "sshd-permit-empty-passwords",
        None,
        "echo 'PermitEmptyPasswords yes' >/etc/ssh/sshd_config.d/10-claim.conf",
    ),
    // By a fix that works.
    (
        "login-defs-encrypt-method",
        Some("login-defs-pass-max-days"),
        "sed -i -e 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 90/' -e 's/^ENCRYPT_METHOD.*/ENCRYPT_METHOD DES/' /etc/login.defs",
    ),
];

#[test]
fn a_fix_that_breaks_another_control_is_undone() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let scene = Scene::new()?;
    let host = &scene.host;
    for (control, target, body) in BREAKS {
        let fixes = target.map_or_else(String::new, |target| {
            format!("fixes: [{{control: {target}, technologies: [debian-12]}}]\n")
        });
        let more = format!(
            "{fixes}touches: [/etc/login.defs, /etc/ssh/sshd_config.d/10-claim.conf]\nactivate: [{{reload: [ssh]}}]\n"
        );
        scene.approve(&format!("breaks-{control}"), &more, body)?;
    }
    let asset = enrolled(&scene)?;

    for (control, target, _) in BREAKS {
        let (files, before) = (scene.files(&["/etc"])?, settings(host)?);
        let told = reloads(host)?;
        let job = scene.custom(&asset, &format!("breaks-{control}"), &[], *target)?;
        let report = ends_as(&scene.ended(&job)?, &[Outcome::Regressed], HostChange::Undone)?;
        let named: Vec<_> = report.regressed.iter().map(|spot| spot.control.as_str()).collect();
        ensure!(named == [*control], "{report:#?}");
        let changed = files.diff(&scene.files(&["/etc"])?);
        ensure!(changed.is_empty(), "{control}: {changed:?}");
        ensure!(settings(host)? == before, "{control}: sshd has other settings");
        answers(host)?;
        ensure!(reloads(host)? == told + 2, "sshd was not reloaded with the change and after its undo");
    }

    println!("figure: {} of {0} fixes that break another control end regressed and undone", BREAKS.len());
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

/// It ended so, names the unit, and no file of `/etc` is another one; why, in the report's words.
fn is_undone(scene: &Scene, detail: &TaskDetail, files: &Listing, unit: &str) -> anyhow::Result<String> {
    let report = ends_as(detail, &[Outcome::ActivationFailed], HostChange::Undone)?;
    ensure!(report.detail.contains(unit), "{}", report.detail);
    let changed = files.diff(&scene.files(&["/etc"])?);
    ensure!(changed.is_empty(), "{}: {changed:?}", report.detail);
    Ok(report.detail)
}

/// What sshd makes of its files.
fn settings(host: &Host) -> anyhow::Result<String> {
    host.stdout(&["sshd", "-T"])
}

/// sshd greets whoever connects, and lets `ops` in.
fn answers(host: &Host) -> anyhow::Result<()> {
    let mut greeting = [0; 8];
    host.connect(22)?.read_exact(&mut greeting)?;
    ensure!(greeting == *b"SSH-2.0-", "{}", greeting.escape_ascii());
    let login = host.ssh("true")?;
    ensure!(login.status.success(), "{login:?}");
    Ok(())
}

/// How often sshd said that it was told to read its files anew.
fn reloads(host: &Host) -> anyhow::Result<usize> {
    let said = host.stdout(&["journalctl", "--sync"]).and_then(|_| {
        host.stdout(&["journalctl", "--no-pager", "--output=cat", "_SYSTEMD_UNIT=ssh.service"])
    })?;
    Ok(said.matches("Received SIGHUP").count())
}
