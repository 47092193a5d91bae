//! A controller in this process, and clients that talk to it as agents and operators do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use aright_controller::commands::serve::Server;
use aright_controller::config::Settings;
use aright_controller::content::Content;
use aright_shared::api::{EnrollKeyMade, Login, NewEnrollKey, Session};
use aright_shared::client::{Client, ClientError, ClientIdentity, Pinned, tls_config};
use aright_shared::digest::Digest;
use aright_shared::envelope::TASK;
use aright_shared::id::{AssetId, TaskId};
use aright_shared::library::Library;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::posture::{Evidence, Missing, Observation, Reading, Spot, Value};
use aright_shared::problem::Problem;
use aright_shared::task::{Delivery, TaskOrder, TaskReport};
use aright_shared::time::{Clock, Millis, WallClock};
use aright_shared::wire::{
    CheckIn, EnrollReply, EnrollRequest, Facts, Orders, Report, ReportReply, Running, observations_digest,
};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub struct World {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub operator: Client,
    clock: Arc<Shifted>,
}

/// The machine's clock, and how far a test has moved it on.
#[derive(Default)]
pub struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Millis {
        WallClock.now().plus(self.0.load(Ordering::Relaxed))
    }
    fn now_micros(&self) -> i64 {
        WallClock.now_micros() + self.0.load(Ordering::Relaxed) * 1000
    }
}

pub const CONTENT: &str = include_str!("content.yaml");
pub const PASSWORD: &str = "right-password";

impl World {
    pub async fn start() -> Self {
        Self::start_as(true).await
    }

    pub async fn start_as(dev: bool) -> Self {
        Self::start_with(CONTENT, dev).await
    }

    pub async fn start_with(content: &str, dev: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Arc::new(Shifted::default());
        let server = serve(&folder.path().join("data"), content, dev, clock.clone()).await;
        set_password(&server).await;
        let operator = log_in(&server).await;
        Self { folder, server, operator, clock }
    }

    /// Lets time pass for the controller.
    pub fn pass(&self, millis: i64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
        self.server.app.dispatch.notify_one();
    }

    /// A session lasts for half a day.
    pub async fn log_in_again(&mut self) {
        self.operator = log_in(&self.server).await;
    }

    /// Stops it as a signal does, and starts it again from its folder.
    pub async fn restart(self) -> Self {
        self.restart_with(CONTENT).await
    }

    pub async fn restart_with(self, content: &str) -> Self {
        self.restart_after(0, content).await
    }

    /// It is away for so long.
    pub async fn restart_after(self, millis: i64, content: &str) -> Self {
        self.server.stop().await.expect("stops");
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
        let server = serve(&self.folder.path().join("data"), content, true, self.clock.clone()).await;
        let operator = log_in(&server).await;
        Self { folder: self.folder, server, operator, clock: self.clock }
    }

    /// Stops it, lets its data folder be replaced, and starts it on what is there then.
    pub async fn restored(self, replace: impl FnOnce(&std::path::Path)) -> Self {
        self.server.stop().await.expect("stops");
        let data = self.folder.path().join("data");
        replace(&data);
        let server = serve(&data, CONTENT, true, self.clock.clone()).await;
        let operator = log_in(&server).await;
        Self { folder: self.folder, server, operator, clock: self.clock }
    }

    pub fn authority(&self) -> Digest {
        self.server.app.authority().fingerprint()
    }

    pub fn agents_url(&self) -> String {
        format!("https://{}", self.server.addresses.agents)
    }

    /// A client of the agents' port without a certificate.
    pub fn stranger(&self) -> Client {
        client(&self.agents_url(), self.authority(), None)
    }

    pub async fn enroll_key(&self, new: NewEnrollKey) -> EnrollKeyMade {
        self.operator.post("/api/v1/enroll-keys", &new).await.expect("an enrolment key")
    }

    pub async fn enroll(&self, hostname: &str) -> Agent {
        self.enroll_tagged(hostname, &[]).await
    }

    pub async fn enroll_tagged(&self, hostname: &str, tags: &[&str]) -> Agent {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let key = self.enroll_key(NewEnrollKey { tags, ..NewEnrollKey::default() }).await;
        let host = Host::new(hostname);
        let reply: EnrollReply =
            self.stranger().post("/agent/v1/enroll", &host.request(&key.secret)).await.expect("enrols");
        self.agent(host, &reply)
    }

    pub fn agent(&self, host: Host, reply: &EnrollReply) -> Agent {
        let client = client(&self.agents_url(), self.authority(), Some(host.identity(&reply.certificate)));
        Agent {
            asset: reply.asset.clone(),
            reply: reply.clone(),
            host,
            client,
            counter: 0,
            seen: BTreeMap::new(),
        }
    }
}

async fn serve(data: &std::path::Path, content: &str, dev: bool, clock: Arc<Shifted>) -> Server {
    let mut settings = Settings::default();
    settings.agents.listen = ([127, 0, 0, 1], 0).into();
    settings.operators.listen = ([127, 0, 0, 1], 0).into();
    settings.dispatch.lease_s = 1;
    let library = Library::parse(&[("content.yaml", content)]).expect("content");
    let content = Content::of(library).expect("content");
    Server::start(data, settings, content, dev, clock).await.expect("starts")
}

async fn set_password(server: &Server) {
    let hash = aright_controller::auth::password::hash_now(PASSWORD).expect("hashed");
    let store = &server.app.store;
    store
        .write(move |tx| aright_controller::store::users::put(tx, "admin", &hash, Millis(0)))
        .await
        .expect("a password");
}

async fn log_in(server: &Server) -> Client {
    let url = format!("https://{}", server.addresses.operators);
    let client = client(&url, server.app.authority().fingerprint(), None);
    let login = Login { user: "admin".into(), password: PASSWORD.into() };
    let session: Session = client.post("/api/v1/session", &login).await.expect("logs in");
    client.with_token(session.token)
}

pub fn client(url: &str, authority: Digest, identity: Option<ClientIdentity>) -> Client {
    let tls = tls_config(Pinned::to(authority), identity).expect("tls");
    Client::new(url, tls, Duration::from_secs(60)).expect("a client")
}

/// A machine on which an agent could live.
pub struct Host {
    pub key: KeyPair,
    pub machine: Digest,
    pub facts: Facts,
}

impl Host {
    pub fn new(hostname: &str) -> Self {
        let facts = Facts {
            hostname: hostname.into(),
            os: "Debian GNU/Linux 12 (bookworm)".into(),
            kernel: "6.1.0".into(),
            arch: "x86_64".into(),
            memory_mb: 2048,
            cpus: 2,
            boot_time: Millis(1),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            confinement: "staged".into(),
            timezone: "Europe/Berlin".into(),
        };
        let key = KeyPair::generate().expect("a key");
        Self { key, machine: Digest::of(hostname.as_bytes()), facts }
    }

    pub fn csr(&self) -> String {
        let request = CertificateParams::default().serialize_request(&self.key).expect("a request");
        request.pem().expect("pem")
    }

    pub fn request(&self, secret: &str) -> EnrollRequest {
        EnrollRequest {
            trust_fingerprint: None,
            key: secret.into(),
            csr: self.csr(),
            machine: self.machine,
            facts: self.facts.clone(),
        }
    }

    pub fn identity(&self, pem: &str) -> ClientIdentity {
        let chain =
            CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>().expect("a chain");
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        ClientIdentity { chain, key }
    }
}

/// What an agent does on the wire.
pub struct Agent {
    pub asset: AssetId,
    pub reply: EnrollReply,
    pub host: Host,
    pub client: Client,
    pub counter: u64,
    /// What it has observed.
    pub seen: BTreeMap<Spot, Observation>,
}

pub fn spot(control: &str, instance: &str) -> Spot {
    let key = |text: &str| text.parse().expect("a key");
    Spot { control: key(control), technology: key("debian-12"), instance: instance.into() }
}

impl Agent {
    pub fn see(&mut self, control: &str, instance: &str, reading: Reading) {
        self.see_at(spot(control, instance), reading);
    }

    pub fn see_at(&mut self, spot: Spot, reading: Reading) {
        let evidence = vec![Evidence { source: "/etc/x".into(), place: None, text: "x".into() }];
        self.seen.insert(
            spot.clone(),
            Observation { spot, reading, evidence, managed: Vec::new(), at: Millis(5) },
        );
    }

    /// A host on which `max-days` and both instances of `banner` fail.
    pub fn see_failures(&mut self) {
        self.see("max-days", "default", Reading::Value(Value::Int(99_999)));
        self.see("banner", "one", Reading::Value(Value::Text("no".into())));
        self.see("banner", "two", Reading::Absent(Missing::Value));
    }

    pub fn report_of(&self, seen: Vec<Observation>, full: bool) -> Report {
        Report {
            full,
            facts: full.then(|| self.host.facts.clone()),
            technologies: self
                .seen
                .keys()
                .map(|spot| spot.technology.clone())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            observations: seen,
            not_applicable: Vec::new(),
            gone: Vec::new(),
            digest: observations_digest(self.seen.values()),
            at: Millis(5),
            clock: None,
        }
    }

    pub async fn report(&self, report: &Report) -> Result<ReportReply, ClientError> {
        self.client.post("/agent/v1/report", report).await
    }

    pub async fn report_all(&self) {
        let reply = self.report(&self.report_of(self.seen.values().cloned().collect(), true)).await;
        assert!(reply.expect("taken").in_step);
    }

    /// Checks in until there is a task.
    pub async fn task(&mut self) -> (Delivery, TaskOrder) {
        for _ in 0..100 {
            let mut orders = self.check_in(5).await.expect("orders");
            if let Some(delivery) = orders.tasks.pop() {
                let order = delivery.order.open(TASK, &[self.reply.task_key], 1).expect("signed");
                return (delivery, order);
            }
        }
        panic!("no task came")
    }

    pub async fn running(&self, order: &TaskOrder) -> Result<(), ClientError> {
        let running = Running { nonce: order.nonce.clone(), clock: None };
        self.client.post(&format!("/agent/v1/tasks/{}/running", order.task), &running).await
    }

    pub async fn result(&self, report: &TaskReport) -> Result<(), ClientError> {
        self.client.post(&format!("/agent/v1/tasks/{}/result", report.task), report).await
    }

    pub fn told(&mut self, wait_s: u32) -> CheckIn {
        self.counter += 1;
        CheckIn {
            counter: self.counter,
            machine: self.host.machine,
            wait_s,
            observations: None,
            trust_version: 1,
            clock: None,
            disabled: None,
            agent_version: env!("CARGO_PKG_VERSION").into(),
            history: None,
            trust: None,
        }
    }

    pub async fn check_in(&mut self, wait_s: u32) -> Result<Orders, ClientError> {
        let told = self.told(wait_s);
        self.client.post("/agent/v1/check-in", &told).await
    }
}

/// The problem of a refusal.
pub fn problem<T: std::fmt::Debug>(result: Result<T, ClientError>) -> Problem {
    result.expect_err("refused").problem().expect("a problem document").clone()
}

/// That it names field, value and remedy.
pub fn names_all(problem: &Problem) {
    assert!(
        problem.field.is_some() && problem.value.is_some() && problem.remedy.is_some(),
        "field, value or remedy is missing: {problem:?}"
    );
}

/// What an agent would say of a task.
pub fn task_report(task: &TaskId, outcome: Outcome, change: HostChange) -> TaskReport {
    TaskReport::of(task, outcome, change, "done", Millis(1), Millis(2))
}
