//! Choosing: only what failed, only on eligible assets, at most 100 controls; and which assets that
//! leads to.

use std::collections::BTreeSet;

use aright_shared::api::{MAX_CONTROLS, NewJob, Selection};
use aright_shared::content::policy::Tags;
use aright_shared::id::{AssetId, Key};
use aright_shared::posture::Verdict;
use aright_shared::tag::{FORM, is_tag};
use serde_json::json;

use super::members::Members;
use crate::app::App;
use crate::error::Refused;
use crate::store::jobs::{self, Job};
use crate::store::postures::{self, Place, Posture};
use crate::store::{Conn, assets};

/// Most offending rows that a refusal lists.
const LISTED: usize = 1000;

/// What a job works on.
pub struct Chosen {
    /// Each with its verdict of now, if there still is one; of the job's assets only, and in order of them.
    pub places: Vec<(Place, Option<Verdict>)>,
    /// In order of id; with those that were added.
    pub assets: Vec<AssetId>,
}

impl Chosen {
    /// One control on several technologies counts once.
    pub fn controls(&self) -> u32 {
        let controls: BTreeSet<&Key> = self.places.iter().map(|(place, _)| &place.spot.control).collect();
        u32::try_from(controls.len()).unwrap_or(u32::MAX)
    }

    /// The chosen places of one asset.
    pub fn of_asset(&self, asset: &AssetId) -> &[(Place, Option<Verdict>)] {
        let from = self.places.partition_point(|(place, _)| place.asset < *asset);
        let to = from + self.places[from..].partition_point(|(place, _)| place.asset == *asset);
        &self.places[from..to]
    }

    fn of(app: &App, members: &Members<'_>, places: Vec<(Place, Option<Verdict>)>) -> Self {
        let mut places: Vec<_> =
            places.into_iter().filter(|(place, _)| members.keeps_postures(&place.asset)).collect();
        places.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self { places, assets: members.all(app) }
    }
}

/// What `job` chooses, as it is to be saved.
///
/// # Errors
/// Lists what may not be chosen.
pub fn for_saving(app: &App, conn: &Conn, job: &NewJob) -> Result<Chosen, Refused> {
    is_sound(job)?;
    are_known(conn, job)?;
    let mut found = by_id(conn, job)?;
    found.extend(by_filter(app, conn, job)?);
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found.dedup_by(|a, b| a.id == b.id);
    let with_posture = found.iter().map(|posture| posture.place.asset.clone()).collect();
    let members = Members::new(conn, job, with_posture)?;
    found.retain(|posture| members.keeps_postures(&posture.place.asset));
    only_remediable(app, &found)?;
    only_eligible(app, job)?;
    let places = found.into_iter().map(|posture| (posture.place, Some(posture.status))).collect();
    let chosen = Chosen::of(app, &members, places);
    are_few(&chosen)?;
    // What is looked up later may be there later.
    if chosen.assets.is_empty() && job.include_tags.is_none() && job.selection == Selection::Frozen {
        return Err(Refused::invalid("filter", "nothing", "nothing was chosen that could be remediated")
            .remedy("choose failed postures on eligible assets: aright posture list --status fail"));
    }
    Ok(chosen)
}

/// What a saved job works on now: its frozen postures as they are, or those that are found.
///
/// # Errors
/// Too many controls, or the store failed.
pub fn for_run(app: &App, conn: &Conn, job: &Job) -> Result<Chosen, Refused> {
    let places: Vec<_> = match job.spec.selection {
        Selection::Frozen => jobs::postures(conn, &job.id)?,
        Selection::EachRun => by_filter(app, conn, &job.spec)?
            .into_iter()
            .filter(|posture| posture.status == Verdict::Fail)
            .map(|posture| (posture.place, Some(posture.status)))
            .collect(),
    };
    let with_posture = places.iter().map(|(place, _)| place.asset.clone()).collect();
    let chosen = Chosen::of(app, &Members::new(conn, &job.spec, with_posture)?, places);
    are_few(&chosen)?;
    Ok(chosen)
}

fn is_sound(job: &NewJob) -> Result<(), Refused> {
    if job.selection == Selection::EachRun && (job.filter.is_none() || !job.postures.is_empty()) {
        return Err(Refused::invalid(
            "selection",
            job.selection,
            "only a filter can be looked up at each run",
        )
        .remedy("give a filter and no postures by id, or leave the selection frozen"));
    }
    for (field, tags) in [("include_tags", &job.include_tags), ("exclude_tags", &job.exclude_tags)] {
        if let Some(Tags::Any(list) | Tags::All(list)) = tags
            && list.is_empty()
        {
            return Err(Refused::invalid(field, "[]", "no tag is named").remedy("name some, or leave it out"));
        }
        if let Some(Tags::Any(list) | Tags::All(list)) = tags
            && let Some(odd) = list.iter().find(|tag| !is_tag(tag))
        {
            return Err(Refused::invalid(field, odd, "no tag is like this").remedy(FORM));
        }
    }
    Ok(())
}

/// An asset that is left out must be one: a slip of the pen would let it in.
fn are_known(conn: &Conn, job: &NewJob) -> Result<(), Refused> {
    let named = [("exclude_assets", &job.exclude_assets), ("remove_assets", &job.remove_assets)];
    let named = named.into_iter().flat_map(|(field, list)| list.iter().map(move |asset| (field, asset)));
    for (field, asset) in named.chain(job.skip.iter().map(|skip| ("skip.asset", &skip.asset))) {
        if assets::hostname(conn, asset)?.is_none() {
            return Err(Refused::invalid(field, asset, "there is no such asset")
                .remedy("list what there is: aright asset list"));
        }
    }
    Ok(())
}

fn are_few(chosen: &Chosen) -> Result<(), Refused> {
    let controls = chosen.controls();
    if controls as usize <= MAX_CONTROLS {
        return Ok(());
    }
    Err(Refused::invalid("postures", format!("{controls} controls"), "too many controls in one job")
        .remedy(format!("choose at most {MAX_CONTROLS}, and make a second job of the rest")))
}

fn by_id(conn: &Conn, job: &NewJob) -> Result<Vec<Posture>, Refused> {
    let (mut found, mut unknown) = (Vec::new(), Vec::new());
    for id in &job.postures {
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
fn by_filter(app: &App, conn: &Conn, job: &NewJob) -> Result<Vec<Posture>, Refused> {
    let Some(filter) = &job.filter else { return Ok(Vec::new()) };
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

/// Of those added singly.
fn only_eligible(app: &App, job: &NewJob) -> Result<(), Refused> {
    let mut offending = Vec::new();
    for asset in &job.include_assets {
        let reasons = reasons(app, asset);
        if !reasons.is_empty() {
            offending.push(json!({"asset": asset, "not_eligible": reasons}));
        }
    }
    match offending.is_empty() {
        true => Ok(()),
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
