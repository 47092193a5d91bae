//! Agents: identity by the certificate's fingerprint, looked up on every request, so that revocation
//! acts at once. Expiry and revocation are judged here and not by TLS, since a resumed session does
//! not verify again, and an expired certificate may still renew.

use std::sync::Arc;

use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::time::Millis;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use rustls::pki_types::CertificateDer;

use super::recall;
use crate::app::App;
use crate::error::Refused;
use crate::presence::Live;

const FIELD: &str = "client certificate";

/// The client certificate of a connection, if it showed one: an extension of every request.
#[derive(Clone, Debug)]
pub struct PeerCertificate {
    pub fingerprint: Digest,
    pub issuer: String,
    /// As it was shown, the leaf first.
    pub chain: Arc<[CertificateDer<'static>]>,
}

/// Who is asking: an extension of every request behind [`demand`].
#[derive(Clone)]
pub struct Agent(pub Arc<Live>);

/// Lets in whose certificate is known, in force and not revoked.
pub async fn demand(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Refused> {
    let now = app.clock.now();
    admit(&app, request, next, |expires| expires > now).await
}

/// As [`demand`], for a year past the certificate's end.
pub async fn demand_for_renewal(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    let now = app.clock.now();
    admit(&app, request, next, |expires| expires.plus(crate::app::RENEWABLE) > now).await
}

async fn admit(
    app: &Arc<App>,
    mut request: Request,
    next: Next,
    serves: impl Fn(Millis) -> bool,
) -> Result<Response, Refused> {
    let peer = request.extensions().get::<PeerCertificate>().cloned();
    if let Some(peer) = peer.as_ref().filter(|peer| app.presence.certificate(&peer.fingerprint).is_none()) {
        recall::certificate(app, peer).await?;
    }
    let agent = identify(app, peer.as_ref(), serves)?;
    request.extensions_mut().insert(agent);
    Ok(next.run(request).await)
}

/// Whoever was let in before may be refused later: a check-in is held for a while.
pub fn revoked(asset: &AssetId) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, "revoked", "this host is revoked")
        .field("asset")
        .value(asset)
        .remedy("if it is to come back: aright-agent enroll --again, then restart the service")
}

fn identify(
    app: &App,
    peer: Option<&PeerCertificate>,
    serves: impl Fn(Millis) -> bool,
) -> Result<Agent, Refused> {
    let enroll = "enrol this host: aright-agent enroll";
    let refused = |kind: &str, title: &str| Refused::new(StatusCode::FORBIDDEN, kind, title).field(FIELD);
    let Some(peer) = peer else {
        return Err(Refused::new(
            StatusCode::UNAUTHORIZED,
            "certificate-required",
            "this route needs a client certificate",
        )
        .field(FIELD)
        .value("none")
        .remedy(enroll));
    };
    let unknown = || {
        refused("certificate-unknown", "this controller did not issue the certificate")
            .value(format!("{} issued by {}", peer.fingerprint, peer.issuer))
            .remedy(enroll)
    };
    let certificate = app.presence.certificate(&peer.fingerprint).ok_or_else(unknown)?;
    let live = app.presence.agent(&certificate.asset).ok_or_else(unknown)?;
    if live.state().revoked {
        return Err(revoked(&certificate.asset));
    }
    if !serves(certificate.expires) {
        return Err(refused("certificate-expired", "the certificate has expired")
            .value(certificate.expires)
            .remedy("renew it, or enrol this host anew"));
    }
    Ok(Agent(live))
}
