//! Choosing: only what failed, only on eligible assets, at most 100 controls.

use std::collections::BTreeSet;

use aright_shared::api::{MAX_CONTROLS, NewJob};
use aright_shared::id::AssetId;
use aright_shared::posture::Verdict;
use serde_json::json;

use crate::app::App;
use crate::error::Refused;
use crate::store::postures::{self, Posture};
use crate::store::{Conn, assets};

/// Most offending rows that a refusal lists.
const LISTED: usize = 1000;

/// What a job works on.
pub struct Chosen {
    pub postures: Vec<Posture>,
    /// Sorted; with those that were added singly.
    pub assets: Vec<AssetId>,
    pub controls: usize,
}

/// Finds what `new` chooses.
///
/// # Errors
/// Lists what may not be chosen.
pub fn choose(app: &App, conn: &Conn, new: &NewJob) -> Result<Chosen, Refused> {
    let excluded = |asset: &AssetId| new.exclude_assets.contains(asset);
    let mut found = by_id(conn, new)?;
    found.extend(by_filter(app, conn, new)?);
    found.retain(|posture| !excluded(&posture.place.asset));
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    only_remediable(app, &found)?;
    let mut chosen: BTreeSet<AssetId> = found.iter().map(|posture| posture.place.asset.clone()).collect();
    chosen.extend(singly(app, conn, new)?.into_iter().filter(|asset| !excluded(asset)));
    let controls: BTreeSet<_> = found.iter().map(|posture| &posture.place.spot.control).collect();
    let controls = controls.len();
    if controls > MAX_CONTROLS {
        return Err(Refused::invalid(
            "postures",
            format!("{controls} controls"),
            "too many controls in one job",
        )
        .remedy(format!("choose at most {MAX_CONTROLS}, and make a second job of the rest")));
    }
    if chosen.is_empty() {
        return Err(Refused::invalid("filter", "nothing", "nothing was chosen that could be remediated")
            .remedy("choose failed postures on eligible assets: aright posture list --status fail"));
    }
    Ok(Chosen { postures: found, assets: chosen.into_iter().collect(), controls })
}

fn by_id(conn: &Conn, new: &NewJob) -> Result<Vec<Posture>, Refused> {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for id in &new.postures {
        match postures::get(conn, id)? {
            Some(posture) => found.push(posture),
            None => unknown.push(json!({"posture": id})),
        }
    }
    match unknown.is_empty() {
        true => Ok(found),
        false => Err(Refused::invalid("postures", unknown.len(), "some postures do not exist")
            .remedy("list what there is: aright posture list")
            .items(unknown.into_iter().take(LISTED))),
    }
}

/// Without a status the remediable ones are meant; with one what it finds is taken at its word.
fn by_filter(app: &App, conn: &Conn, new: &NewJob) -> Result<Vec<Posture>, Refused> {
    let Some(filter) = &new.filter else { return Ok(Vec::new()) };
    if !filter.status.is_empty() {
        return Ok(postures::list(conn, filter, None, None)?);
    }
    let mut filter = filter.clone();
    filter.status = vec![Verdict::Fail];
    let mut found = postures::list(conn, &filter, None, None)?;
    found.retain(|posture| reasons(app, &posture.place.asset).is_empty());
    Ok(found)
}

fn only_remediable(app: &App, found: &[Posture]) -> Result<(), Refused> {
    let offending: Vec<_> = found
        .iter()
        .filter_map(|posture| {
            let reasons = reasons(app, &posture.place.asset);
            (posture.status != Verdict::Fail || !reasons.is_empty()).then(|| {
                json!({
                    "posture": posture.id,
                    "hostname": posture.hostname,
                    "control": posture.place.spot.control,
                    "instance": posture.place.spot.instance,
                    "policy": posture.place.policy,
                    "status": posture.status,
                    "not_eligible": reasons,
                })
            })
        })
        .collect();
    if offending.is_empty() {
        return Ok(());
    }
    let title = "only failed postures on eligible assets can be remediated";
    Err(Refused::conflict("not-remediable", title)
        .field("postures")
        .value(format!("{} of {}", offending.len(), found.len()))
        .remedy("leave out those listed")
        .items(offending.into_iter().take(LISTED)))
}

fn singly(app: &App, conn: &Conn, new: &NewJob) -> Result<Vec<AssetId>, Refused> {
    let mut offending = Vec::new();
    for asset in &new.include_assets {
        let known = assets::get(conn, asset)?.is_some();
        let reasons = if known { reasons(app, asset) } else { vec!["no such asset".to_owned()] };
        if !reasons.is_empty() {
            offending.push(json!({"asset": asset, "not_eligible": reasons}));
        }
    }
    match offending.is_empty() {
        true => Ok(new.include_assets.clone()),
        false => Err(Refused::conflict("not-eligible", "some assets are not eligible")
            .field("include_assets")
            .value(offending.len())
            .remedy("leave out those listed")
            .items(offending.into_iter().take(LISTED))),
    }
}

/// Why nothing may be remediated on an asset; empty when it may.
pub fn reasons(app: &App, asset: &AssetId) -> Vec<String> {
    app.presence.agent(asset).map_or_else(|| vec!["no agent".to_owned()], |live| live.state().reasons())
}
