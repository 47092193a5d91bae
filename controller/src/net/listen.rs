//! The accept loop of one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aright_shared::digest::Digest;
use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::auth::agent::PeerCertificate;

const HANDSHAKE: Duration = Duration::from_secs(10);
/// For a request's head, and so for how long a connection may idle between two.
const HEADERS: Duration = Duration::from_secs(60);
/// Largest request head, in bytes.
const HEAD: usize = 32 * 1024;
/// How long connections may take to finish when we stop.
const DRAIN: Duration = Duration::from_secs(5);

/// The peer's address: an extension of every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

pub struct Port {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl Port {
    /// # Errors
    /// Names the address.
    pub async fn bind(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Serves until `stopped`, then lets what runs finish.
    pub async fn serve(
        self,
        tls: Arc<ServerConfig>,
        router: Router,
        at_once: usize,
        stopped: impl Future<Output = ()>,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let graceful = GracefulShutdown::new();
        let permits = Arc::new(Semaphore::new(at_once));
        tokio::pin!(stopped);
        loop {
            // The permit comes first: what is over the limit waits in the kernel's queue.
            let permit = tokio::select! {
                permit = permits.clone().acquire_owned() => permit,
                () = &mut stopped => break,
            };
            let (stream, peer) = tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of descriptors, most likely: do not spin.
                        tracing::warn!(error = %error, "could not accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
                () = &mut stopped => break,
            };
            let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
            tokio::spawn(async move {
                let _permit = permit;
                if let Err(error) = connection(stream, peer, acceptor, router, watcher).await {
                    tracing::debug!(peer = %peer, error = format!("{error:#}"), "a connection ended");
                }
            });
        }
        drop(self.listener);
        if timeout(DRAIN, graceful.shutdown()).await.is_err() {
            tracing::warn!("connections were cut that did not end in time");
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream =
        timeout(HANDSHAKE, acceptor.accept(stream)).await.context("TLS handshake took too long")??;
    let certificate = stream.get_ref().1.peer_certificates().and_then(peer_certificate);
    let service = tower_service(router, Peer(peer), certificate);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    Ok(watcher.watch(serving).await?)
}

fn peer_certificate(chain: &[rustls::pki_types::CertificateDer<'_>]) -> Option<PeerCertificate> {
    let leaf = chain.first()?;
    let (_, parsed) = x509_parser::parse_x509_certificate(leaf).ok()?;
    let issuer = parsed.issuer().to_string().chars().take(120).collect();
    let chain = chain.iter().map(|one| one.clone().into_owned()).collect();
    Some(PeerCertificate { fingerprint: Digest::of(leaf), issuer, chain })
}

fn tower_service(
    router: Router,
    peer: Peer,
    certificate: Option<PeerCertificate>,
) -> impl hyper::service::Service<
    http::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> {
    let inner = TowerToHyperService::new(router);
    hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        request.extensions_mut().insert(peer);
        if let Some(certificate) = certificate.clone() {
            request.extensions_mut().insert(certificate);
        }
        hyper::service::Service::call(&inner, request)
    })
}
