//! `GET assets`.

use std::sync::Arc;

use aright_shared::api::{Asset, AssetFilter, Page};
use axum::Json;
use axum::extract::State;

use super::view;
use crate::api::{bad_cursor, page};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Paged;
use crate::store::{StoreError, assets};

pub async fn handle(
    State(app): State<Arc<App>>,
    paged: Paged<AssetFilter>,
) -> Result<Json<Page<Asset>>, Refused> {
    let after = paged.cursor.as_deref().map(|cursor| {
        let (hostname, id) = cursor.rsplit_once('/').ok_or_else(|| bad_cursor(cursor))?;
        Ok::<_, Refused>((hostname.to_owned(), id.to_owned()))
    });
    let AssetFilter { hostname, tag, state } = paged.filter;
    let selection = assets::Selection { hostname, tag, state, after: after.transpose()? };
    let limit = paged.limit;
    let found = app
        .store
        .read(move |conn| {
            let rows = assets::list(conn, &selection, limit + 1)?;
            rows.into_iter()
                .map(|asset| assets::tags(conn, &asset.id).map(|tags| (asset, tags)))
                .collect::<Result<Vec<_>, StoreError>>()
        })
        .await?;
    let rows = found.into_iter().map(|(asset, tags)| view(&app, asset, tags)).collect();
    Ok(Json(page(rows, limit, |asset: &Asset| format!("{}/{}", asset.facts.hostname, asset.id))))
}
