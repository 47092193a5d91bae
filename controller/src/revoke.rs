//! The end of a host's trust, by an operator or by the host itself: at once, in an open check-in too.

use std::sync::Arc;

use aright_shared::id::AssetId;
use aright_shared::time::Millis;

use crate::app::App;
use crate::store::{StoreError, Tx, assets, audit};

/// Refuses the asset from the commit on. Said again, it changes nothing and is not audited again.
///
/// # Errors
/// The store failed.
pub fn revoke(
    app: &Arc<App>,
    tx: &Tx<'_>,
    asset: &AssetId,
    who: &str,
    reason: &str,
    now: Millis,
) -> Result<(), StoreError> {
    if assets::revoke(tx, asset, now)? {
        let entry =
            audit::Entry { at: now, who, action: "asset.revoke", subject: asset.as_str(), detail: reason };
        audit::append(tx, &entry)?;
    }
    let (app, asset, who) = (app.clone(), asset.clone(), who.to_owned());
    tx.on_commit(move || {
        if let Some(live) = app.presence.agent(&asset) {
            live.state().revoked = true;
            live.wake();
        }
        tracing::info!(asset.id = %asset, who, "revoked");
    });
    Ok(())
}
