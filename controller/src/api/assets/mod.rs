//! Assets, as operators see them.

pub mod evaluate;
pub mod list;
pub mod preview;
pub mod revoke;
pub mod show;
pub mod tag;
pub mod untag;

use aright_shared::api::{Asset, AssetClock, AssetState};
use aright_shared::id::AssetId;

use crate::app::App;
use crate::error::Refused;
use crate::judging;
use crate::store::{Conn, StoreError, Tx, assets, audit};

/// The stored asset, with what is known of it at this moment.
fn view(app: &App, asset: assets::Asset, tags: Vec<String>) -> Asset {
    let live = app.presence.agent(&asset.id).map(|live| live.state().clone());
    let now = app.now();
    let (last_seen, clock) = match &live {
        Some(live) => (live.last_seen, live.clock),
        None => (asset.seen.last_seen, asset.seen.clock),
    };
    let state = match (asset.revoked, &asset.quarantined) {
        (Some(_), _) => AssetState::Revoked,
        (None, Some(_)) => AssetState::Quarantined,
        (None, None) => AssetState::Active,
    };
    let reasons = live.as_ref().map_or_else(|| vec!["no agent".to_owned()], |live| live.reasons());
    let limit_ms = app.settings.dispatch.clock_limit_ms();
    Asset {
        state,
        eligible: reasons.is_empty(),
        reasons,
        last_seen,
        connected: live.is_some_and(|live| live.connected(now)),
        clock: clock.map(|(reading, at)| AssetClock { reading, verdict: reading.judge(limit_ms), at }),
        id: asset.id,
        facts: asset.facts,
        technologies: asset.technologies,
        tags,
        enrolled: asset.enrolled,
        postures: asset.postures,
    }
}

fn find(conn: &Conn, id: &AssetId) -> Result<Option<(assets::Asset, Vec<String>)>, StoreError> {
    let Some(asset) = assets::get(conn, id)? else { return Ok(None) };
    Ok(Some((asset, assets::tags(conn, id)?)))
}

async fn shown(app: &App, id: AssetId) -> Result<Asset, Refused> {
    let wanted = id.clone();
    let found = app.store.read(move |conn| find(conn, &wanted)).await?;
    let (asset, tags) = found.ok_or_else(|| Refused::not_found("asset", id))?;
    Ok(view(app, asset, tags))
}

/// Its tags are others than before: so are the policies that are for it.
fn retagged(
    app: &App,
    tx: &Tx<'_>,
    asset: &AssetId,
    who: &str,
    action: &str,
    tag: &str,
) -> Result<(), Refused> {
    let now = app.now();
    judging::judge_anew(tx, &app.content(), asset, now)?;
    audit::append(tx, &audit::Entry { at: now, who, action, subject: asset.as_str(), detail: tag })?;
    Ok(())
}
