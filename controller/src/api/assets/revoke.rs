//! `POST assets/{id}/revoke`: acts at once, in an open check-in too.

use std::sync::Arc;

use aright_shared::api::{Asset, NewRevocation};
use aright_shared::id::AssetId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Id, MaybeBody, check_line};
use crate::revoke::revoke;
use crate::store::assets;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<AssetId>,
    MaybeBody(NewRevocation { reason }): MaybeBody<NewRevocation>,
) -> Result<Json<Asset>, Refused> {
    check_line("reason", &reason, 1024)?;
    let (shared, asset, now) = (app.clone(), id.clone(), app.now());
    app.store
        .write(move |tx| {
            if assets::get(tx, &asset)?.is_none() {
                return Err(Refused::not_found("asset", asset));
            }
            Ok(revoke(&shared, tx, &asset, &user.name, &reason, now)?)
        })
        .await?;
    Ok(Json(super::shown(&app, id).await?))
}
