//! The scripts of a job: the library scripts offered for what was chosen, less those not wanted, and the
//! custom ones.

use std::collections::BTreeMap;

use aright_shared::api::{LicenceKind, MAX_SCRIPTS, NewJob, Selection};
use aright_shared::content::script::{Origin, Script};
use aright_shared::id::Key;
use aright_shared::time::Millis;

use super::select::Chosen;
use super::{custom, licence};
use crate::app::App;
use crate::content::{Content, LibraryScript, fixes};
use crate::error::Refused;
use crate::store::jobs::{self, Job, JobScript};
use crate::store::{Conn, scripts};

/// One of a job's.
pub struct Selected {
    pub row: scripts::Script,
    pub script: Script,
    /// What the job gives it.
    pub params: BTreeMap<String, String>,
}

impl Selected {
    pub fn is_library(&self) -> bool {
        self.row.origin == Origin::Library
    }

    pub fn stored(&self) -> JobScript {
        JobScript { digest: self.row.digest, params: self.params.clone() }
    }
}

/// For a job that is to be saved: library scripts in order of their lowest control number, then the custom ones.
///
/// # Errors
/// One that is not offered, not approved, not licensed or given twice; none at all, or too many.
pub fn for_saving(
    app: &App,
    conn: &Conn,
    job: &NewJob,
    chosen: &Chosen,
    now: Millis,
) -> Result<Vec<Selected>, Refused> {
    let content = app.content();
    are_known(&content, conn, job)?;
    let offered = offered(&content, chosen);
    if let Some(wanted) = &job.scripts {
        are_offered(&offered, wanted)?;
    }
    let mut selected = library(conn, job, &offered)?;
    if !job.custom_scripts.is_empty() {
        may_be_chosen(conn, &job.custom_scripts[0].key, now)?;
    }
    for one in &job.custom_scripts {
        let known = custom::find(conn, &app.trust(), one, now)?;
        if selected.iter().any(|other| other.row.digest == known.row.digest) {
            return Err(
                Refused::invalid("custom_scripts", &one.key, "one script comes twice").remedy("give it once")
            );
        }
        selected.push(Selected { row: known.row, script: known.script, params: one.params.clone() });
    }
    if selected.is_empty() && job.selection == Selection::Frozen {
        return Err(Refused::invalid("scripts", "none", "no script would run")
            .remedy("choose postures for which a fix is available, or give a custom script"));
    }
    are_few(&selected)?;
    Ok(selected)
}

/// For a run that begins: as saved, but of each library script the version that we have now; where the
/// selection is looked up at each run, what is offered for it now.
///
/// # Errors
/// Too many, or the store failed.
pub fn for_run(app: &App, conn: &Conn, job: &Job, chosen: &Chosen) -> Result<Vec<Selected>, Refused> {
    let content = app.content();
    let looked_up = job.spec.selection == Selection::EachRun;
    let mut selected = match looked_up {
        true => library(conn, &job.spec, &offered(&content, chosen))?,
        false => Vec::new(),
    };
    for stored in jobs::scripts(conn, &job.id)? {
        let Some(row) = scripts::get(conn, stored.digest)? else { continue };
        if row.origin != Origin::Library {
            let script = serde_json::from_str(&row.bytes)?;
            selected.push(Selected { row, script, params: stored.params });
        } else if !looked_up {
            let ours = content.scripts().iter().find(|own| own.script.key == row.key);
            let row = match ours.filter(|own| own.digest != row.digest) {
                Some(own) => scripts::get(conn, own.digest)?.unwrap_or(row),
                None => row,
            };
            let script = serde_json::from_str(&row.bytes)?;
            selected.push(Selected { row, script, params: stored.params });
        }
    }
    are_few(&selected)?;
    Ok(selected)
}

/// All and only those that match control, technology and policy of the selection.
fn offered<'a>(content: &'a Content, chosen: &Chosen) -> Vec<&'a LibraryScript> {
    let mut offered: Vec<(u32, &LibraryScript)> = Vec::new();
    for own in content.scripts() {
        let concerned =
            chosen.places.iter().filter(|(place, _)| fixes(&own.script, &place.policy, &place.spot));
        let numbers = concerned.filter_map(|(place, _)| Some(content.control(&place.spot.control)?.number));
        if let Some(number) = numbers.min() {
            offered.push((number, own));
        }
    }
    offered.sort_by(|(a, one), (b, other)| (a, &one.script.key).cmp(&(b, &other.script.key)));
    offered.into_iter().map(|(_, own)| own).collect()
}

/// Those of the offered that are wanted.
fn library(conn: &Conn, job: &NewJob, offered: &[&LibraryScript]) -> Result<Vec<Selected>, Refused> {
    let wanted = |key: &Key| {
        job.scripts.as_ref().is_none_or(|only| only.contains(key)) && !job.exclude_scripts.contains(key)
    };
    let mut selected = Vec::new();
    for own in offered.iter().filter(|own| wanted(&own.script.key)) {
        if let Some(row) = scripts::get(conn, own.digest)? {
            selected.push(Selected { row, script: own.script.clone(), params: BTreeMap::new() });
        }
    }
    Ok(selected)
}

fn are_offered(offered: &[&LibraryScript], wanted: &[Key]) -> Result<(), Refused> {
    let Some(odd) = wanted.iter().find(|key| !offered.iter().any(|own| own.script.key == **key)) else {
        return Ok(());
    };
    let keys: Vec<_> = offered.iter().map(|own| own.script.key.as_str()).collect();
    let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
    Err(Refused::invalid("scripts", odd, "this library script is not offered for what was chosen")
        .remedy(format!("offered are: {keys}")))
}

/// A script that is left out must be one: a slip of the pen would let it run.
fn are_known(content: &Content, conn: &Conn, job: &NewJob) -> Result<(), Refused> {
    let excluded = job.exclude_scripts.iter().map(|key| ("exclude_scripts", key));
    for (field, key) in excluded.chain(job.skip.iter().map(|skip| ("skip.script", &skip.script))) {
        if content.library().script(key).is_none() && scripts::newest(conn, key)?.is_none() {
            return Err(Refused::invalid(field, key, "there is no such script")
                .remedy("list what there is: aright script list"));
        }
    }
    Ok(())
}

fn may_be_chosen(conn: &Conn, key: &Key, now: Millis) -> Result<(), Refused> {
    if licence::in_force(conn, now)? != LicenceKind::None {
        return Ok(());
    }
    let given = licence::current(conn)?;
    let value = match given.until {
        Some(until) => format!("{key}: the trial ended at {until}"),
        None => format!("{key}: the licence is {}", given.kind),
    };
    Err(Refused::conflict("licence", "the licence does not cover custom scripts")
        .field("custom_scripts")
        .value(value)
        .remedy("leave them out, or let an administrator set another: aright licence set full"))
}

fn are_few(selected: &[Selected]) -> Result<(), Refused> {
    if selected.len() <= MAX_SCRIPTS {
        return Ok(());
    }
    Err(Refused::invalid("scripts", selected.len(), "too many scripts in one job")
        .remedy(format!("choose at most {MAX_SCRIPTS}, and make a second job of the rest")))
}
