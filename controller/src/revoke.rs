//! The end of a host's trust, by an operator or by the host itself: at once, in an open check-in too.

use std::sync::Arc;

use aright_shared::id::AssetId;
use aright_shared::time::Millis;

use crate::app::App;
use crate::dispatch::end;
use crate::store::tasks::{self, End};
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
        not_begun(app, tx, asset, now)?;
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

/// No run waits for a host that cannot come any more. What runs there ends by itself, unheard.
fn not_begun(app: &Arc<App>, tx: &Tx<'_>, asset: &AssetId, now: Millis) -> Result<(), StoreError> {
    let end = End::cancelled("its host was revoked before it began");
    for task in tasks::not_begun_by(tx, asset)? {
        end::by_us(app, tx, &task, &end, now)?;
    }
    end::finished(tx, now)
}
