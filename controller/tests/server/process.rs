//! The binary itself: first start, later starts, kill -9, bad settings.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use aright_shared::api::{EnrollKeyMade, Job, Login, NewEnrollKey, RunState, Session, TaskDetail};
use aright_shared::client::Client;
use aright_shared::digest::Digest;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{TaskOrder, TaskState};
use aright_shared::time::{Clock as _, DAY, WallClock};
use aright_shared::wire::EnrollReply;

use crate::scripts;
use crate::world::{Agent, Host, client, task_report};

const BINARY: &str = env!("CARGO_BIN_EXE_aright-controller");

struct Running {
    child: Child,
    agents: String,
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
    let url = |port: &str| format!("https://{}", addresses[port].as_str().expect("an address"));
    Running { child, agents: url("agents"), operators: url("operators") }
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
    let password = text.lines().next().and_then(|line| line.rsplit(' ').next()).expect("a password");
    assert!(text.contains(&format!("--ca-fingerprint {authority}")), "{text}");
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

/// An agent and an operator of a controller that is killed and started again and again.
struct Fleet {
    authority: Digest,
    password: String,
    folder: tempfile::TempDir,
}

impl Fleet {
    fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    async fn operator(&self, running: &Running) -> Client {
        let login = Login { user: "admin".into(), password: self.password.clone() };
        let client = client(&running.operators, self.authority, None);
        let session: Session = client.post("/api/v1/session", &login).await.expect("logs in");
        client.with_token(session.token)
    }
}

#[tokio::test]
async fn kill_9_between_any_two_steps_of_a_task_leaves_it_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = start(&folder.path().join("data"));
    let lines = told(&mut running);
    let authority: Digest = word(&lines, "ca fingerprint").parse().expect("a fingerprint");
    let fleet = Fleet { authority, password: word(&lines, "password"), folder };
    let operator = fleet.operator(&running).await;
    let key: EnrollKeyMade =
        operator.post("/api/v1/enroll-keys", &NewEnrollKey::default()).await.expect("a key");
    let host = Host::new("web01");
    let stranger = client(&key.urls[0], authority, None);
    let reply: EnrollReply =
        stranger.post("/agent/v1/enroll", &host.request(&key.secret)).await.expect("enrols");
    let mut agent = agent_of(&running, &fleet, host, reply);
    let draft = scripts::upload_by(&operator, scripts::custom().canonical()).await.expect("uploaded");
    let key = scripts::approver_in(&fleet.data());
    let approval = scripts::seal(draft.script.digest, &key, WallClock.now().plus(DAY));
    scripts::send_by(&operator, &approval).await.expect("approved");
    let job: Job = operator.post("/api/v1/jobs", &scripts::job_of(&agent.asset)).await.expect("saved");

    // Killed while pending or executing, delivered, running, and after the result.
    let mut running = again(running, &fleet, &mut agent);
    let (_, order) = agent.task().await;
    running = again(running, &fleet, &mut agent);
    assert_eq!(state(&fleet, &running, &order).await, TaskState::Delivered);
    agent.running(&order).await.expect("the order still holds");
    running = again(running, &fleet, &mut agent);
    assert_eq!(state(&fleet, &running, &order).await, TaskState::Running);
    assert!(agent.check_in(0).await.expect("orders").tasks.is_empty(), "never delivered again");
    let report = task_report(&order.task, Outcome::Ran, HostChange::Kept);
    agent.result(&report).await.expect("stored");
    running = again(running, &fleet, &mut agent);
    assert_eq!(state(&fleet, &running, &order).await, TaskState::Ended);
    agent.result(&report).await.expect("acknowledged again");
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let path = format!("/api/v1/jobs/{}", job.id);
        let job: Job = fleet.operator(&running).await.get(&path).await.expect("shown");
        if job.runs[0].state == RunState::Completed {
            assert_eq!(job.runs[0].outcomes[&Outcome::Ran], 1);
            return;
        }
        assert!(Instant::now() < until, "{:?}", job.runs[0]);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn agent_of(running: &Running, fleet: &Fleet, host: Host, reply: EnrollReply) -> Agent {
    let client = client(&running.agents, fleet.authority, Some(host.identity(&reply.certificate)));
    Agent { asset: reply.asset.clone(), reply, host, client, counter: 0, seen: BTreeMap::new() }
}

/// kill -9, start, and the agent finds the new address.
fn again(mut running: Running, fleet: &Fleet, agent: &mut Agent) -> Running {
    running.child.kill().expect("kill -9");
    running.child.wait().expect("reaped");
    let running = start(&fleet.data());
    agent.client =
        client(&running.agents, fleet.authority, Some(agent.host.identity(&agent.reply.certificate)));
    running
}

async fn state(fleet: &Fleet, running: &Running, order: &TaskOrder) -> TaskState {
    let path = format!("/api/v1/tasks/{}", order.task);
    let shown: TaskDetail = fleet.operator(running).await.get(&path).await.expect("shown");
    shown.task.state
}

#[test]
fn a_newer_schema_is_refused_with_what_to_do_and_left_as_it_is() {
    let above = tempfile::tempdir().expect("a folder");
    let data = above.path().join("data");
    drop(start(&data));
    let path = data.join("aright.db");
    let raise = "INSERT INTO schema_versions (version) VALUES (99)";
    rusqlite::Connection::open(&path).and_then(|db| db.execute(raise, [])).expect("raised");
    let bytes = std::fs::read(&path).expect("reads");
    let mut child = command(&data).spawn().expect("starts");
    let until = Instant::now() + Duration::from_secs(20);
    while child.try_wait().expect("asked").is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("version 99") && said.contains("start the newer aright-controller"), "{said}");
    assert_eq!(std::fs::read(&path).expect("reads"), bytes);
}
