//! Agents that we issued certificates to and forgot: after the backup from which we were restored.

use std::sync::Arc;

use aright_shared::time::{HOUR, SECOND};
use http::StatusCode;

use super::agent::PeerCertificate;
use crate::app::App;
use crate::error::Refused;
use crate::store::certificates::{self, Certificate};
use crate::store::{StoreError, audit};

/// Takes up again what the store does not know of. Whoever has no such certificate is left to be refused.
///
/// # Errors
/// Its asset is not known either, or the store failed.
pub async fn certificate(app: &Arc<App>, peer: &PeerCertificate) -> Result<(), Refused> {
    let Some(restored) = app.restored else { return Ok(()) };
    let Ok(recalled) = app.authority().recall(&peer.chain) else { return Ok(()) };
    // A certificate's times are whole seconds, and two machines' clocks are not one.
    let (from, to) = (restored.taken.plus(-SECOND), restored.at.plus(HOUR));
    if recalled.issued < from || recalled.issued > to {
        return Ok(());
    }
    if app.presence.agent(&recalled.asset).is_none() {
        tracing::warn!(asset.id = %recalled.asset, "enrolled after the backup was taken: it must enrol anew");
        let title = "the host was enrolled after the backup from which this controller was restored";
        return Err(Refused::new(StatusCode::FORBIDDEN, "asset-forgotten", title)
            .field("client certificate")
            .value(&recalled.asset)
            .remedy("enrol this host anew"));
    }
    let certificate =
        Certificate { fingerprint: peer.fingerprint, asset: recalled.asset, expires: recalled.expires };
    let (shared, now) = (app.clone(), app.now());
    app.store
        .write(move |tx| {
            certificates::insert(tx, &certificate, recalled.public_key, recalled.issued)?;
            let entry = audit::Entry {
                at: now,
                who: "controller",
                action: "asset.recall",
                subject: certificate.asset.as_str(),
                detail: "a certificate issued after the backup was taken",
            };
            audit::append(tx, &entry)?;
            tx.on_commit(move || shared.presence.add_certificate(certificate));
            Ok::<_, StoreError>(())
        })
        .await?;
    Ok(())
}
