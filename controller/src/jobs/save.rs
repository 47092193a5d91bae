//! Saving a job: chosen, offered, resolved; then stored with its first run, or nothing is.

use std::collections::BTreeMap;
use std::sync::Arc;

use aright_shared::api::{JobState, MAX_SCRIPTS, MIN_HOLD_S, NewJob};
use aright_shared::content::script::Script;
use aright_shared::id::{AssetId, JobId, RunId};
use aright_shared::time::SECOND;

use super::custom;
use super::select::{Chosen, choose};
use super::values::{resolve, targets};
use crate::app::App;
use crate::content::{Content, LibraryScript, fixes};
use crate::error::Refused;
use crate::store::jobs::{Job, JobScript, Selection};
use crate::store::postures::Place;
use crate::store::{Tx, audit, jobs, runs};

const MAX_HOLD_S: u32 = 30 * 24 * 3600;
const MAX_EXPIRY_S: u32 = 90 * 24 * 3600;

/// # Errors
/// What is wrong with it; nothing is stored then.
pub fn save(app: &Arc<App>, tx: &Tx<'_>, new: &NewJob, user: &str) -> Result<JobId, Refused> {
    let now = app.now();
    check(new)?;
    let (hold_ms, expiry_ms) = (hold_ms(app, new.hold_s)?, expiry_ms(app, new)?);
    let chosen = choose(app, tx, new)?;
    let content = app.content();
    let library = library_scripts(&content, &chosen, new)?;
    let mut scripts: Vec<JobScript> =
        library.iter().map(|own| JobScript { digest: own.digest, params: BTreeMap::new() }).collect();
    for one in &new.custom_scripts {
        let known = custom::find(tx, &app.trust, one, now)?;
        values_agree(&content, &known.script, &chosen, &one.params, true)?;
        scripts.push(JobScript { digest: known.row.digest, params: one.params.clone() });
    }
    check_scripts(&scripts)?;
    for own in &library {
        values_agree(&content, &own.script, &chosen, &BTreeMap::new(), false)?;
    }
    let job = Job {
        id: JobId::new(),
        name: new.name.clone(),
        state: JobState::Active,
        spec: new.clone(),
        controls: u32::try_from(chosen.controls).unwrap_or(u32::MAX),
        created: now,
        created_by: user.to_owned(),
    };
    let postures = chosen.postures.into_iter().map(|posture| posture.place).collect();
    jobs::insert(tx, &job, &Selection { postures, assets: chosen.assets, scripts })?;
    add_run(app, tx, &job.id, hold_ms, expiry_ms)?;
    let entry = audit::Entry {
        at: now,
        who: user,
        action: "job.create",
        subject: job.id.as_str(),
        detail: &job.name,
    };
    audit::append(tx, &entry)?;
    Ok(job.id)
}

/// One more run, pending for the hold time.
///
/// # Errors
/// The store failed.
pub fn add_run(
    app: &Arc<App>,
    tx: &Tx<'_>,
    job: &JobId,
    hold_ms: i64,
    expiry_ms: i64,
) -> Result<RunId, Refused> {
    let (id, now) = (RunId::new(), app.now());
    let due = now.plus(hold_ms);
    runs::insert(tx, &id, job, now, due, due.plus(expiry_ms))?;
    let shared = app.clone();
    tx.on_commit(move || shared.changed());
    Ok(id)
}

fn check(new: &NewJob) -> Result<(), Refused> {
    if new.name.trim().is_empty() || new.name.len() > 200 || new.name.chars().any(char::is_control) {
        return Err(
            Refused::invalid("name", &new.name, "no job is called so").remedy("1 to 200 bytes, one line")
        );
    }
    Ok(())
}

/// # Errors
/// Too short without `--dev`, or too long.
pub fn hold_ms(app: &App, hold_s: Option<u32>) -> Result<i64, Refused> {
    let hold = hold_s.unwrap_or(MIN_HOLD_S);
    let least = if app.dev { 0 } else { MIN_HOLD_S };
    if !(least..=MAX_HOLD_S).contains(&hold) {
        return Err(Refused::invalid("hold_s", hold, "a run cannot be pending for so long")
            .remedy(format!("{least} to {MAX_HOLD_S} s; under {MIN_HOLD_S} only with serve --dev")));
    }
    Ok(i64::from(hold) * SECOND)
}

/// # Errors
/// Out of range.
pub fn expiry_ms(app: &App, new: &NewJob) -> Result<i64, Refused> {
    let expiry = new.expiry_s.unwrap_or(app.settings.dispatch.expiry_s);
    let least = if app.dev { 1 } else { 60 };
    if !(least..=MAX_EXPIRY_S).contains(&expiry) {
        return Err(Refused::invalid("expiry_s", expiry, "a run cannot wait for so long")
            .remedy(format!("{least} to {MAX_EXPIRY_S} s")));
    }
    Ok(i64::from(expiry) * SECOND)
}

/// The library scripts offered for what was chosen, less those that were not wanted; in order of the
/// lowest control number they are for.
fn library_scripts<'a>(
    content: &'a Content,
    chosen: &Chosen,
    new: &NewJob,
) -> Result<Vec<&'a LibraryScript>, Refused> {
    let mut offered: Vec<(u32, &LibraryScript)> = Vec::new();
    for own in content.scripts() {
        let for_it =
            chosen.postures.iter().filter(|one| fixes(&own.script, &one.place.policy, &one.place.spot));
        if let Some(number) = for_it
            .filter_map(|one| content.control(&one.place.spot.control))
            .map(|control| control.number)
            .min()
        {
            offered.push((number, own));
        }
    }
    offered.sort_by(|(a, one), (b, other)| (a, &one.script.key).cmp(&(b, &other.script.key)));
    let mut offered: Vec<_> = offered.into_iter().map(|(_, own)| own).collect();
    if let Some(wanted) = &new.scripts {
        if let Some(odd) = wanted.iter().find(|key| !offered.iter().any(|own| own.script.key == **key)) {
            let keys: Vec<_> = offered.iter().map(|own| own.script.key.as_str()).collect();
            return Err(Refused::invalid(
                "scripts",
                odd,
                "this library script is not offered for what was chosen",
            )
            .remedy(format!(
                "offered are: {}",
                if keys.is_empty() { "none".into() } else { keys.join(", ") }
            )));
        }
        offered.retain(|own| wanted.contains(&own.script.key));
    }
    Ok(offered)
}

fn check_scripts(scripts: &[JobScript]) -> Result<(), Refused> {
    if scripts.is_empty() {
        return Err(Refused::invalid("scripts", "none", "no script would run")
            .remedy("choose postures for which a fix is available, or give a custom script"));
    }
    if scripts.len() > MAX_SCRIPTS {
        return Err(Refused::invalid("scripts", scripts.len(), "too many scripts in one job")
            .remedy(format!("choose at most {MAX_SCRIPTS}")));
    }
    for (n, script) in scripts.iter().enumerate() {
        if scripts[..n].iter().any(|other| other.digest == script.digest) {
            return Err(Refused::invalid("custom_scripts", script.digest, "one script comes twice")
                .remedy("give it once"));
        }
    }
    Ok(())
}

/// That on every asset where it would run one value serves all who want one.
fn values_agree(
    content: &Content,
    script: &Script,
    chosen: &Chosen,
    given: &BTreeMap<String, String>,
    everywhere: bool,
) -> Result<(), Refused> {
    let mut by_asset: BTreeMap<&AssetId, Vec<Place>> = BTreeMap::new();
    if everywhere {
        by_asset.extend(chosen.assets.iter().map(|asset| (asset, Vec::new())));
    }
    for place in chosen.postures.iter().map(|posture| &posture.place).filter(|place| targets(script, place)) {
        by_asset.entry(&place.asset).or_default().push(place.clone());
    }
    for places in by_asset.values() {
        resolve(content, script, places, given).map_err(|error| {
            Refused::conflict("no-value", "no value serves all that was chosen")
                .field("postures")
                .value(&script.key)
                .detail(error.to_string())
                .remedy("leave out the script, or the postures of all but one of the policies named")
        })?;
    }
    Ok(())
}
