//! `DELETE assets/{id}/tags/{tag}`: a tag less, and in the same transaction judged by the policies that
//! are for it now.

use std::sync::Arc;

use aright_shared::api::Asset;
use aright_shared::id::AssetId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::IdAnd;
use crate::store::{assets, tags};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    IdAnd(id, tag): IdAnd<AssetId>,
) -> Result<Json<Asset>, Refused> {
    let (shared, asset) = (app.clone(), id.clone());
    app.store
        .write(move |tx| {
            if assets::get(tx, &asset)?.is_none() {
                return Err(Refused::not_found("asset", asset));
            }
            match tags::remove(tx, &asset, &tag)? {
                true => super::retagged(&shared, tx, &asset, &user.name, "asset.untag", &tag),
                false => Ok(()),
            }
        })
        .await?;
    Ok(Json(super::shown(&app, id).await?))
}
