//! Whoever stole the controller's keys and stands between it and its agents: opens the agents' TLS with a
//! certificate of the controller's own authority, passes everything on, and changes replies at will.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, anyhow, ensure};
use aright_shared::client::{ClientIdentity, Pinned, tls_config};
use aright_shared::digest::Digest;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection, StreamOwned};

use crate::controller::Controller;
use crate::network::{self, CONTROLLER, Network};

/// Largest body that is passed on, in bytes.
const MAX_BODY: usize = 16 * 1024 * 1024;

/// What an agent asked, and what the controller answered.
pub struct Exchange<'a> {
    pub path: &'a str,
    pub request: &'a [u8],
    /// JSON, to be changed in place.
    pub reply: &'a mut Vec<u8>,
}

pub struct Impostor {
    address: SocketAddr,
}

/// What every connection needs.
struct Post {
    network: Network,
    controller: SocketAddr,
    authority: Digest,
    tls: Arc<ServerConfig>,
    victim: PathBuf,
    change: Box<dyn Fn(Exchange<'_>) + Send + Sync>,
}

impl Impostor {
    /// Takes its post before a running controller. `victim` is the folder of the agent's state: its key and
    /// certificate, once it has them, are shown to the controller.
    ///
    /// # Errors
    /// The controller's keys cannot be read.
    pub fn start(
        controller: &Controller,
        victim: PathBuf,
        change: impl Fn(Exchange<'_>) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let folder = controller.data().join("authority");
        let root = CertificateDer::from_pem_file(folder.join("root.crt"))?;
        let post = Arc::new(Post {
            network: Network::of(controller.lab())?,
            controller: controller.agents_address(),
            authority: Digest::of(&root),
            tls: Arc::new(server(&folder, root)?),
            victim,
            change: Box::new(change),
        });
        let listener = network::listen(controller.lab())?;
        let address = listener.local_addr()?;
        // Ends with the test's process.
        std::thread::spawn(move || accept(&listener, &post));
        Ok(Self { address })
    }

    /// Where agents believe the controller to be.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

/// A certificate that the controller's intermediate key signs for its address.
fn server(folder: &Path, root: CertificateDer<'static>) -> anyhow::Result<ServerConfig> {
    let intermediate = CertificateDer::from_pem_file(folder.join("intermediate.pem"))?;
    let stolen = KeyPair::from_pem(&std::fs::read_to_string(folder.join("intermediate.pem"))?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(CONTROLLER)));
    let leaf = params.signed_by(&key, &Issuer::from_ca_cert_der(&intermediate, stolen)?)?;
    let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow!("{error}"))?;
    Ok(ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone(), intermediate, root], private)?)
}

fn accept(listener: &TcpListener, post: &Arc<Post>) {
    for stream in listener.incoming().flatten() {
        let post = post.clone();
        // A connection that breaks is asked for anew by whoever wants it.
        std::thread::spawn(move || post.serve(stream));
    }
}

impl Post {
    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        let tls = ServerConnection::new(self.tls.clone())?;
        let mut agent = BufReader::new(StreamOwned::new(tls, stream));
        let mut controller = None;
        while let Some(request) = Message::read(&mut agent)? {
            let controller = match &mut controller {
                Some(controller) => controller,
                none => none.insert(self.reach()?),
            };
            controller.get_mut().write_all(&request.bytes())?;
            let mut reply = Message::read(controller)?.context("the controller hung up")?;
            let path = request.first.split(' ').nth(1).unwrap_or_default();
            (self.change)(Exchange { path, request: &request.body, reply: &mut reply.body });
            agent.get_mut().write_all(&reply.bytes())?;
        }
        Ok(())
    }

    /// To the real controller, as the victim.
    fn reach(&self) -> anyhow::Result<BufReader<StreamOwned<ClientConnection, TcpStream>>> {
        let tls = tls_config(Pinned::to(self.authority), self.identity()?)?;
        let name = ServerName::from(self.controller.ip());
        let stream = self.network.connect(self.controller)?;
        Ok(BufReader::new(StreamOwned::new(ClientConnection::new(Arc::new(tls), name)?, stream)))
    }

    fn identity(&self) -> anyhow::Result<Option<ClientIdentity>> {
        let chain = self.victim.join("certificate.pem");
        if !chain.exists() {
            return Ok(None);
        }
        Ok(Some(ClientIdentity {
            chain: CertificateDer::pem_file_iter(chain)?.collect::<Result<_, _>>()?,
            key: PrivateKeyDer::from_pem_file(self.victim.join("key.pem"))?,
        }))
    }
}

/// HTTP/1.1 as our own programs speak it: bodies with a length.
struct Message {
    first: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Message {
    /// `None` where the other side has hung up.
    fn read<S: Read>(stream: &mut BufReader<S>) -> anyhow::Result<Option<Self>> {
        let mut first = String::new();
        if stream.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        ensure!(!headers.contains_key("transfer-encoding"), "a body in chunks");
        let length = headers.get("content-length").map_or(Ok(0), |length| length.parse())?;
        ensure!(length <= MAX_BODY, "a body of {length} bytes");
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        Ok(Some(Self { first: first.trim_end().to_owned(), headers, body }))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{}\r\n", self.first);
        for (name, value) in self.headers.iter().filter(|(name, _)| *name != "content-length") {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}
