//! A proxy on the way to the controller: tunnels by HTTP CONNECT (RFC 9110, section 9.3.6), for all or for who logs in;
//! or one that opens the TLS inside, as inspecting ones do.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, anyhow, ensure};
use aright_shared::digest::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::gate::pass_on;
use crate::lab::Lab;
use crate::network::{self, CONTROLLER, Network};

/// Longest head of a request, in bytes.
const MAX_HEAD: u64 = 8 * 1024;

pub struct Proxy {
    address: SocketAddr,
    post: Arc<Post>,
}

struct Post {
    network: Network,
    /// `user:password`, where it wants one.
    login: Option<String>,
    /// Its own authority, where it opens TLS.
    inspector: Option<Inspector>,
    tunnels: AtomicUsize,
    turned_away: AtomicUsize,
    /// Bytes that it saw of what was inside TLS.
    overheard: AtomicUsize,
}

struct Inspector {
    tls: Arc<ServerConfig>,
    authority: Digest,
}

impl Proxy {
    /// Tunnels for everyone, or for who logs in with `user:password`.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(lab: &Lab, login: Option<&str>) -> anyhow::Result<Self> {
        Self::serve(lab, login, None)
    }

    /// Shows certificates for `name` by an authority of its own, called `issuer`.
    ///
    /// # Errors
    /// No port is free.
    pub fn inspecting(lab: &Lab, issuer: &str, name: &str) -> anyhow::Result<Self> {
        Self::serve(lab, None, Some(Inspector::new(issuer, name)?))
    }

    fn serve(lab: &Lab, login: Option<&str>, inspector: Option<Inspector>) -> anyhow::Result<Self> {
        let post = Arc::new(Post {
            network: Network::of(lab)?,
            login: login.map(str::to_owned),
            inspector,
            tunnels: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            overheard: AtomicUsize::new(0),
        });
        let shared = post.clone();
        let address = network::serve(lab, move |stream| shared.serve(stream))?;
        Ok(Self { address, post })
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many it let through.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.post.tunnels.load(Ordering::Relaxed)
    }

    /// How many lacked the log-in.
    #[must_use]
    pub fn turned_away(&self) -> usize {
        self.post.turned_away.load(Ordering::Relaxed)
    }

    /// How much it could read of what was inside TLS, in bytes.
    #[must_use]
    pub fn overheard(&self) -> usize {
        self.post.overheard.load(Ordering::Relaxed)
    }

    /// Fingerprint of the authority that an inspecting one shows.
    #[must_use]
    pub fn authority(&self) -> Option<Digest> {
        self.post.inspector.as_ref().map(|inspector| inspector.authority)
    }
}

impl Inspector {
    fn new(issuer: &str, name: &str) -> anyhow::Result<Self> {
        let mut root = CertificateParams::default();
        root.distinguished_name.push(DnType::CommonName, issuer);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_key = KeyPair::generate()?;
        let root_cert = root.self_signed(&root_key)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![name.to_owned()])?
            .signed_by(&key, &Issuer::from_params(&root, &root_key))?;
        let private = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow!("{error}"))?;
        let authority = Digest::of(root_cert.der());
        let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone(), root_cert.der().clone()], private)?;
        Ok(Self { tls: Arc::new(tls), authority })
    }
}

impl Post {
    fn serve(&self, stream: TcpStream) -> anyhow::Result<()> {
        let mut head = BufReader::new(stream.try_clone()?).take(MAX_HEAD);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            ensure!(head.read_line(&mut line)? > 0, "hung up");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        // What follows is said only after our answer: nothing of it can be in the buffer.
        let mut stream = stream;
        if !self.lets_in(&lines) {
            self.turned_away.fetch_add(1, Ordering::Relaxed);
            let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"out\"\r\n\
                           Content-Length: 0\r\n\r\n";
            return Ok(stream.write_all(refusal.as_bytes())?);
        }
        let target = lines.first().and_then(|line| line.strip_prefix("CONNECT ")).context("not CONNECT")?;
        let target = target.split(' ').next().unwrap_or_default();
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        match &self.inspector {
            Some(inspector) => {
                stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
                self.overhear(inspector, stream)
            }
            None => self.tunnel(target, stream),
        }
    }

    fn lets_in(&self, lines: &[String]) -> bool {
        let Some(login) = &self.login else { return true };
        let shown = lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim())
        });
        shown == Some(format!("Basic {}", BASE64.encode(login)).as_str())
    }

    /// Every name is the controller's: nobody but the proxy knows them.
    fn tunnel(&self, target: &str, mut stream: TcpStream) -> anyhow::Result<()> {
        let port = target.rsplit_once(':').context("no port")?.1.parse()?;
        let Ok(controller) = self.network.connect(SocketAddr::from((CONTROLLER, port))) else {
            return Ok(stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")?);
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        let (there, back) = (stream.try_clone()?, controller.try_clone()?);
        std::thread::spawn(move || pass_on(there, back));
        pass_on(controller, stream);
        Ok(())
    }

    fn overhear(&self, inspector: &Inspector, stream: TcpStream) -> anyhow::Result<()> {
        let mut inside = StreamOwned::new(ServerConnection::new(inspector.tls.clone())?, stream);
        let mut bytes = [0; 1024];
        loop {
            match inside.read(&mut bytes)? {
                0 => return Ok(()),
                count => self.overheard.fetch_add(count, Ordering::Relaxed),
            };
        }
    }
}
