//! Every rule of the mission at its edge, through the public API over the real wire; and in the words of the
//! command line. After each refusal the store holds not one row more.

mod assets;
mod choice;
mod execution;
mod licence;
mod scripts;
mod time;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use aright_shared::api::{Job, NewJob, PostureFilter, Reach};
use aright_shared::posture::{Reading, Value};
use aright_shared::problem::Problem;

use crate::jobs::create;
use crate::world::{Agent, PASSWORD, World, names_all, problem};

/// A world in which one rule is tried, and the edges that were.
struct Rule {
    name: &'static str,
    world: World,
    edges: Mutex<Vec<String>>,
}

impl Rule {
    async fn start(name: &'static str, content: &str) -> Self {
        // As people run it: short hold times are refused.
        Self::of(name, World::start_with(content, false).await)
    }

    fn of(name: &'static str, world: World) -> Self {
        Self { name, world, edges: Mutex::default() }
    }

    fn edge(&self, edge: &str) {
        self.edges.lock().expect("edges").push(edge.to_owned());
    }

    /// It may be saved, and is.
    async fn saved(&self, edge: &str, job: &NewJob) -> Job {
        let job =
            create(&self.world, job).await.unwrap_or_else(|error| panic!("{}: {edge}: {error}", self.name));
        self.edge(edge);
        job
    }

    /// It is refused by API and command line alike, in words, and leaves nothing behind.
    async fn refused(&self, edge: &str, job: &NewJob) -> Problem {
        let before = self.rows();
        let refused = problem(create(&self.world, job).await);
        names_all(&refused);
        let words = self.cli_refusal(job).await;
        for part in [&refused.title, refused.remedy.as_ref().expect("a remedy")] {
            assert!(words.contains(part.as_str()), "{}: {edge}: {part:?} is not in {words:?}", self.name);
        }
        assert_eq!(self.rows(), before, "{}: {edge}: the store holds more than before", self.name);
        self.edge(edge);
        refused
    }

    async fn reach(&self, job: &NewJob) -> Reach {
        let before = self.rows();
        let reach = self.world.operator.post("/api/v1/jobs/reach", job).await.expect("reached");
        assert_eq!(self.rows(), before, "looking ahead stores nothing");
        reach
    }

    /// How many rows each table has, seen from outside.
    fn rows(&self) -> BTreeMap<String, i64> {
        let path = self.world.folder.path().join("data/aright.db");
        let database = rusqlite::Connection::open(path).expect("opens");
        let mut tables = database
            .prepare(
                "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('sessions', 'audit')",
            )
            .expect("asked");
        let names: Vec<String> =
            tables.query_map([], |row| row.get(0)).expect("listed").collect::<Result<_, _>>().expect("names");
        // Whoever logs in is in the audit log; nothing of a refused job may be.
        let mut rows = BTreeMap::from([(
            "audit of jobs".to_owned(),
            count(&database, "SELECT COUNT(*) FROM audit WHERE action LIKE 'job.%'"),
        )]);
        rows.extend(names.into_iter().map(|name| {
            let counted = count(&database, &format!("SELECT COUNT(*) FROM \"{name}\""));
            (name, counted)
        }));
        rows
    }

    /// What `aright job create --file` says on stderr.
    async fn cli_refusal(&self, job: &NewJob) -> String {
        let folder = self.world.folder.path().to_owned();
        let (session, file) = (folder.join("session.toml"), folder.join("job.yaml"));
        // JSON is YAML.
        std::fs::write(&file, serde_json::to_vec(job).expect("json")).expect("written");
        let url = format!("https://{}", self.world.server.addresses.operators);
        let authority = self.world.authority().to_string();
        let said = tokio::task::spawn_blocking(move || {
            let aright = |args: &[&str]| {
                Command::new(cli()).args(args).env("ARIGHT_CONFIG", &session).output().expect("aright runs")
            };
            if !session.exists() {
                let password = folder.join("password");
                std::fs::write(&password, PASSWORD).expect("written");
                let password = password.to_string_lossy().into_owned();
                let args = ["login", &url, "--ca-fingerprint", &authority, "--password-file", &password];
                let login = aright(&args);
                assert!(login.status.success(), "{}", String::from_utf8_lossy(&login.stderr));
            }
            aright(&["job", "create", "--file", &file.to_string_lossy()])
        });
        let output = said.await.expect("aright ran");
        assert_eq!(output.status.code(), Some(1), "{}: it was saved by the command line", self.name);
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Prints what was tried.
    #[expect(clippy::print_stdout, reason = "a line that the test command collects")]
    fn end(self) {
        let edges = self.edges.into_inner().expect("edges");
        println!("figure: rules: {}: {} edges: {}", self.name, edges.len(), edges.join("; "));
    }
}

fn count(database: &rusqlite::Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).expect("counted")
}

/// The finished command line, beside this test's own folder.
fn cli() -> PathBuf {
    let own = std::env::current_exe().expect("has a path");
    let target = own.ancestors().nth(2).expect("a target folder");
    let cli = target.join("aright");
    assert!(cli.exists(), "{}: build it first: cargo build --workspace --bins", cli.display());
    cli
}

/// Everything remediable, pending as long as it must be.
fn job() -> NewJob {
    NewJob { name: "rule".into(), filter: Some(PostureFilter::default()), ..NewJob::default() }
}

/// A host on which everything of the content fails.
async fn failing(rule: &Rule, hostname: &str, tags: &[&str]) -> Agent {
    let mut agent = rule.world.enroll_tagged(hostname, tags).await;
    agent.see_failures();
    agent.report_all().await;
    agent
}

fn text(text: &str) -> Reading {
    Reading::Value(Value::Text(text.into()))
}
