//! `PUT assets/{id}/tags/{tag}`: tagged, and in the same transaction judged by the policies that are for
//! it now.

use std::sync::Arc;

use aright_shared::api::Asset;
use aright_shared::id::AssetId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::api::tags;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::IdAnd;
use crate::store::{assets, tags as rows};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    IdAnd(id, tag): IdAnd<AssetId>,
) -> Result<Json<Asset>, Refused> {
    tags::check("tag", &tag)?;
    let (shared, asset) = (app.clone(), id.clone());
    app.store
        .write(move |tx| {
            if assets::get(tx, &asset)?.is_none() {
                return Err(Refused::not_found("asset", asset));
            }
            if !rows::add(tx, &asset, &tag)? {
                return Ok(());
            }
            tags::check_count("tags", assets::tags(tx, &asset)?.len())?;
            super::retagged(&shared, tx, &asset, &user.name, "asset.tag", &tag)
        })
        .await?;
    Ok(Json(super::shown(&app, id).await?))
}
