//! A controller in this process, and clients that talk to it as agents and operators do.

use std::time::Duration;

use aright_controller::commands::serve::Server;
use aright_controller::config::Settings;
use aright_shared::api::{EnrollKeyMade, Login, NewEnrollKey, Session};
use aright_shared::client::{Client, ClientError, ClientIdentity, Pinned, tls_config};
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::problem::Problem;
use aright_shared::time::Millis;
use aright_shared::wire::{CheckIn, EnrollReply, EnrollRequest, Facts, Orders};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub struct World {
    pub folder: tempfile::TempDir,
    pub server: Server,
    pub operator: Client,
}

pub const PASSWORD: &str = "right-password";

impl World {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let server = serve(&folder.path().join("data")).await;
        set_password(&server).await;
        let operator = log_in(&server).await;
        Self { folder, server, operator }
    }

    /// Stops it as a signal does, and starts it again from its folder.
    pub async fn restart(self) -> Self {
        self.server.stop().await.expect("stops");
        let server = serve(&self.folder.path().join("data")).await;
        let operator = log_in(&server).await;
        Self { folder: self.folder, server, operator }
    }

    pub fn authority(&self) -> Digest {
        self.server.app.authority.fingerprint()
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
        let key = self.enroll_key(NewEnrollKey::default()).await;
        let host = Host::new(hostname);
        let reply: EnrollReply =
            self.stranger().post("/agent/v1/enroll", &host.request(&key.secret)).await.expect("enrols");
        self.agent(host, &reply)
    }

    pub fn agent(&self, host: Host, reply: &EnrollReply) -> Agent {
        let client = client(&self.agents_url(), self.authority(), Some(host.identity(&reply.certificate)));
        Agent { asset: reply.asset.clone(), reply: reply.clone(), host, client, counter: 0 }
    }
}

async fn serve(data: &std::path::Path) -> Server {
    let mut settings = Settings::default();
    settings.agents.listen = ([127, 0, 0, 1], 0).into();
    settings.operators.listen = ([127, 0, 0, 1], 0).into();
    settings.dispatch.lease_s = 1;
    Server::start(data, settings, true).await.expect("starts")
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
    let client = client(&url, server.app.authority.fingerprint(), None);
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
}

impl Agent {
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
