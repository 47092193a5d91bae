//! `POST renew`: another certificate for the same asset.

use std::sync::Arc;

use aright_shared::wire::{RenewReply, RenewRequest};
use axum::extract::State;
use axum::{Extension, Json};

use super::enroll::bad_csr;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::error::Refused;
use crate::http_in::Body;
use crate::store::{StoreError, certificates};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Body(request): Body<RenewRequest>,
) -> Result<Json<RenewReply>, Refused> {
    let now = app.now();
    let issued = app
        .authority()
        .issue_agent(&live.asset, &request.csr, now)?
        .map_err(|error| bad_csr(&request.csr, &error))?;
    let certificate = certificates::Certificate {
        fingerprint: issued.fingerprint,
        asset: live.asset.clone(),
        expires: issued.expires,
    };
    let shared = app.clone();
    app.store
        .write(move |tx| {
            certificates::insert(tx, &certificate, issued.public_key, now)?;
            tx.on_commit(move || shared.presence.add_certificate(certificate));
            Ok::<_, StoreError>(())
        })
        .await?;
    tracing::info!(asset.id = %live.asset, "renewed a certificate");
    Ok(Json(RenewReply { certificate: issued.pem }))
}
