//! The binary itself: first start, later starts, kill -9, bad settings.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aright_shared::api::{Login, Session};
use aright_shared::digest::Digest;

use crate::world::client;

const BINARY: &str = env!("CARGO_BIN_EXE_aright-controller");

struct Running {
    child: Child,
    operators: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(data: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("serve").arg("--data").arg(data);
    command.args(["--dev", "--agents", "127.0.0.1:0", "--operators", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn start(data: &Path) -> Running {
    let addresses = data.join("run/addresses.json");
    let _ = std::fs::remove_file(&addresses);
    let mut child = command(data).spawn().expect("starts");
    let until = Instant::now() + Duration::from_secs(20);
    while !addresses.exists() {
        assert!(child.try_wait().expect("asked").is_none(), "it ended");
        assert!(Instant::now() < until, "it did not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
    let text = std::fs::read_to_string(addresses).expect("addresses");
    let addresses: serde_json::Value = serde_json::from_str(&text).expect("json");
    let operators = format!("https://{}", addresses["operators"].as_str().expect("an address"));
    Running { child, operators }
}

/// The lines of the first start up to its last.
fn told(running: &mut Running) -> Vec<String> {
    let stdout = running.child.stdout.take().expect("piped");
    let mut lines = Vec::new();
    for line in BufReader::new(stdout).lines() {
        lines.push(line.expect("text"));
        if lines.last().is_some_and(|line| line.contains("README")) {
            return lines;
        }
    }
    panic!("its words ended early: {lines:?}")
}

fn word(lines: &[String], label: &str) -> String {
    let line = lines.iter().find(|line| line.trim().starts_with(label)).expect("the line is there");
    line.split_whitespace().last().expect("a word").to_owned()
}

fn run(args: &[&str]) -> Output {
    Command::new(BINARY).args(args).output().expect("runs")
}

async fn logs_in(url: &str, authority: Digest, password: &str) -> bool {
    let login = Login { user: "admin".into(), password: password.into() };
    client(url, authority, None).post::<_, Session>("/api/v1/session", &login).await.is_ok()
}

#[tokio::test]
async fn the_first_start_says_how_to_log_in_once_and_kill_9_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut first = start(&data);
    let lines = told(&mut first);
    let authority: Digest = word(&lines, "ca fingerprint").parse().expect("a fingerprint");
    let password = word(&lines, "password");
    let hint = lines.iter().find(|line| line.contains("aright login")).expect("the command");
    assert!(hint.contains(&format!("--ca-fingerprint {authority}")), "{hint}");
    assert!(logs_in(&first.operators, authority, &password).await);
    first.child.kill().expect("kill -9");
    let mut errors = String::new();
    first.child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
    assert!(!errors.contains(&password), "a secret in the log");
    let mut second = start(&data);
    assert!(logs_in(&second.operators, authority, &password).await);
    nix_term(&second.child);
    let status = second.child.wait().expect("ends");
    assert!(status.success(), "{status}");
    let mut out = String::new();
    second.child.stdout.take().expect("piped").read_to_string(&mut out).expect("text");
    assert_eq!(out, "", "later starts print nothing of it");
    every_file_is_ours_alone(&data);
}

fn nix_term(child: &Child) {
    let status = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().expect("kill");
    assert!(status.success());
}

fn every_file_is_ours_alone(folder: &Path) {
    for entry in std::fs::read_dir(folder).expect("lists") {
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}", entry.path().display());
        if entry.path().is_dir() {
            every_file_is_ours_alone(&entry.path());
        }
    }
}

#[tokio::test]
async fn admin_reset_gets_an_administrator_back_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut running = start(&data);
    let lines = told(&mut running);
    let authority: Digest = word(&lines, "ca fingerprint").parse().expect("a fingerprint");
    let reset = run(&["admin", "reset", "--data", data.to_str().expect("text")]);
    assert!(reset.status.success());
    let text = String::from_utf8(reset.stdout).expect("text");
    let password = text.split_whitespace().last().expect("a password");
    assert!(logs_in(&running.operators, authority, password).await);
    assert!(!logs_in(&running.operators, authority, &word(&lines, "password")).await);
}

#[test]
fn bad_settings_and_half_a_folder_are_refused_with_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let file = folder.path().join("controller.toml");
    std::fs::write(&file, "[agents]\nlissten = \"127.0.0.1:0\"\n").expect("written");
    let refused = run(&["check-config", "--config", file.to_str().expect("text")]);
    let text = String::from_utf8(refused.stderr).expect("text");
    assert!(!refused.status.success());
    for part in ["lissten", "controller.toml", "check-config"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    drop(start(&data));
    std::fs::remove_dir_all(data.join("authority")).expect("lost");
    let output = command(&data).output().expect("runs");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success() && text.contains("authority missing"), "{text}");
}
