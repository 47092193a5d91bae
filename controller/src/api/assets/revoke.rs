//! `POST assets/{id}/revoke`: acts at once, in an open check-in too.

use std::sync::Arc;

use aright_shared::api::Asset;
use aright_shared::id::AssetId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::store::{assets, audit};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<AssetId>,
) -> Result<Json<Asset>, Refused> {
    let (shared, asset, now) = (app.clone(), id.clone(), app.now());
    app.store
        .write(move |tx| {
            if assets::get(tx, &asset)?.is_none() {
                return Err(Refused::not_found("asset", asset));
            }
            if assets::revoke(tx, &asset, now)? {
                let entry = audit::Entry {
                    at: now,
                    who: &user.name,
                    action: "asset.revoke",
                    subject: asset.as_str(),
                    detail: "",
                };
                audit::append(tx, &entry)?;
            }
            tx.on_commit(move || {
                if let Some(live) = shared.presence.agent(&asset) {
                    live.state().revoked = true;
                    live.wake();
                }
            });
            Ok(())
        })
        .await?;
    tracing::info!(asset.id = %id, "revoked");
    Ok(Json(super::shown(&app, id).await?))
}
