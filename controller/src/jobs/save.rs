//! Saving a job: chosen, offered, resolved; then stored with its coming run, or nothing is. So for a new one, an
//! edited one and a draft that becomes one.

use std::collections::BTreeMap;
use std::sync::Arc;

use aright_shared::api::{JobState, NewJob, NewRun, RunState, Schedule};
use aright_shared::id::{AssetId, JobId, RunId};
use aright_shared::time::Millis;

use super::occur;
use super::scripts::{self, Selected};
use super::select::{self, Chosen};
use super::values::{resolve, targets};
use crate::app::App;
use crate::content::Content;
use crate::error::Refused;
use crate::http_in::check_line;
use crate::store::jobs::{self, Job, Selection};
use crate::store::postures::Place;
use crate::store::{Tx, audit, runs};

/// # Errors
/// What is wrong with it; nothing is stored then.
pub fn create(app: &Arc<App>, tx: &Tx<'_>, new: &NewJob, user: &str) -> Result<JobId, Refused> {
    check(app, new)?;
    let job = Job {
        id: JobId::new(),
        name: new.name.clone(),
        state: if new.draft { JobState::Draft } else { JobState::Active },
        spec: new.clone(),
        controls: 0,
        assets: 0,
        created: app.now(),
        created_by: user.to_owned(),
        next: None,
    };
    jobs::insert(tx, &job)?;
    if !new.draft {
        choose(app, tx, &job.id, new)?;
        occur::settle(app, tx, &job.id, new, None, user)?;
    }
    note(tx, &job.id, "job.create", &job.name, user, app.now())?;
    Ok(job.id)
}

/// In place of what the job was; its pending run waits the hold time anew, or gives way to another time of the
/// schedule. Of a job that repeats a run under way goes on as it began.
///
/// # Errors
/// What is wrong with it; nothing is changed then.
pub fn edit(app: &Arc<App>, tx: &Tx<'_>, job: &Job, new: &NewJob, user: &str) -> Result<(), Refused> {
    check(app, new)?;
    if job.state == JobState::Ended {
        return Err(Refused::conflict("job-ended", "the job has ended")
            .field("job")
            .value(&job.id)
            .remedy("make a new one of it: aright job show --spec, then aright job create --file"));
    }
    if new.draft && job.state != JobState::Draft {
        return Err(Refused::conflict("no-draft", "the job is no draft any more")
            .field("draft")
            .value(job.state)
            .remedy("leave `draft` out; to keep it from running: aright job deactivate"));
    }
    let under_way = runs::open(tx, &job.id)?.into_iter().find(|run| run.state != RunState::Pending);
    if let Some(run) = under_way.filter(|_| !matches!(new.schedule, Schedule::Repeat(_))) {
        return Err(Refused::conflict("run-under-way", "what it did so far cannot be edited")
            .field("job")
            .value(format!("run {} is {}", run.id, run.state))
            .remedy("wait for its end, or cancel it, and make a new job"));
    }
    jobs::set_spec(tx, &job.id, new)?;
    if !new.draft {
        choose(app, tx, &job.id, new)?;
    }
    if job.state == JobState::Draft && !new.draft {
        jobs::set_state(tx, &job.id, JobState::Active)?;
    }
    let settles = match job.state {
        JobState::Draft => !new.draft,
        JobState::Active => true,
        JobState::Inactive | JobState::Ended => false,
    };
    if settles {
        occur::settle(app, tx, &job.id, new, Some(job), user)?;
    }
    note(tx, &job.id, "job.edit", &new.name, user, app.now())
}

/// A draft is saved; a job that was deactivated goes on.
///
/// # Errors
/// It is neither, or what is wrong with the draft.
pub fn activate(app: &Arc<App>, tx: &Tx<'_>, job: &Job, user: &str) -> Result<(), Refused> {
    match job.state {
        JobState::Draft => {
            let whole = NewJob { draft: false, ..job.spec.clone() };
            return edit(app, tx, job, &whole, user);
        }
        JobState::Inactive => {}
        JobState::Active | JobState::Ended => {
            return Err(Refused::conflict(
                "not-inactive",
                "only a draft or an inactive job can be activated",
            )
            .field("job")
            .value(job.state)
            .remedy("to run it once more: aright job run"));
        }
    }
    jobs::set_state(tx, &job.id, JobState::Active)?;
    occur::settle(app, tx, &job.id, &job.spec, None, user)?;
    note(tx, &job.id, "job.activate", &job.name, user, app.now())
}

/// No further runs, until it is activated again; a pending one is cancelled, one under way goes on.
///
/// # Errors
/// It is not active.
pub fn deactivate(app: &Arc<App>, tx: &Tx<'_>, job: &Job, user: &str) -> Result<(), Refused> {
    if job.state != JobState::Active {
        return Err(Refused::conflict("not-active", "only an active job can be deactivated")
            .field("job")
            .value(job.state)
            .remedy("list those that are: aright job list"));
    }
    for run in runs::open(tx, &job.id)?.into_iter().filter(|run| run.state == RunState::Pending) {
        runs::cancel(tx, &run.id, &format!("the job was deactivated by {user}"), app.now())?;
    }
    jobs::set_next(tx, &job.id, None)?;
    jobs::set_state(tx, &job.id, JobState::Inactive)?;
    note(tx, &job.id, "job.deactivate", &job.name, user, app.now())?;
    app.changed_on_commit(tx);
    Ok(())
}

/// A run besides the schedule, from the same selection.
///
/// # Errors
/// A draft, or a run that has not ended.
pub fn once_more(app: &Arc<App>, tx: &Tx<'_>, job: &Job, new: &NewRun, user: &str) -> Result<RunId, Refused> {
    if job.state == JobState::Draft {
        return Err(Refused::conflict("is-draft", "a draft has chosen nothing yet")
            .field("job")
            .value(&job.name)
            .remedy("save it first: aright job activate"));
    }
    if let Some(run) = runs::open(tx, &job.id)?.first() {
        return Err(Refused::conflict("run-under-way", "the job has a run that has not ended")
            .field("job")
            .value(format!("run {} is {}", run.id, run.state))
            .remedy("wait for its end, or cancel it"));
    }
    let spec = NewJob {
        hold_s: new.hold_s.or(job.spec.hold_s),
        expiry_s: new.expiry_s.or(job.spec.expiry_s),
        ..job.spec.clone()
    };
    let run = occur::once_more(app, tx, &job.id, &spec, user)?;
    if job.state == JobState::Ended {
        jobs::set_state(tx, &job.id, JobState::Active)?;
    }
    note(tx, &job.id, "job.run", run.as_str(), user, app.now())?;
    Ok(run)
}

fn note(tx: &Tx<'_>, job: &JobId, action: &str, detail: &str, who: &str, at: Millis) -> Result<(), Refused> {
    Ok(audit::append(tx, &audit::Entry { at, who, action, subject: job.as_str(), detail })?)
}

/// What holds for a draft too.
fn check(app: &App, new: &NewJob) -> Result<(), Refused> {
    if new.name.trim().is_empty() {
        return Err(
            Refused::invalid("name", &new.name, "a job has a name").remedy("1 to 200 bytes, one line")
        );
    }
    check_line("name", &new.name, 200)?;
    occur::check(app, new)
}

fn choose(app: &App, tx: &Tx<'_>, id: &JobId, new: &NewJob) -> Result<(), Refused> {
    let (chosen, scripts) = what(app, tx, new)?;
    jobs::select(tx, id, &selection(&chosen, &scripts))?;
    Ok(())
}

/// What a job leads to if it is saved now.
///
/// # Errors
/// What may not be chosen.
pub fn what(app: &App, tx: &crate::store::Conn, new: &NewJob) -> Result<(Chosen, Vec<Selected>), Refused> {
    let chosen = select::for_saving(app, tx, new)?;
    let scripts = scripts::for_saving(app, tx, new, &chosen, app.now())?;
    let content = app.content();
    scripts.iter().try_for_each(|one| values_agree(&content, one, &chosen))?;
    Ok((chosen, scripts))
}

/// As it is stored.
pub fn selection(chosen: &Chosen, scripts: &[Selected]) -> Selection {
    Selection {
        postures: chosen.places.iter().map(|(place, _)| place.clone()).collect(),
        scripts: scripts.iter().map(Selected::stored).collect(),
        controls: chosen.controls(),
        assets: u32::try_from(chosen.assets.len()).unwrap_or(u32::MAX),
    }
}

/// That on every asset where it would run one value serves all who want one.
fn values_agree(content: &Content, one: &Selected, chosen: &Chosen) -> Result<(), Refused> {
    let mut by_asset: BTreeMap<&AssetId, Vec<Place>> = BTreeMap::new();
    if !one.is_library() {
        by_asset.extend(chosen.assets.iter().map(|asset| (asset, Vec::new())));
    }
    let places = chosen.places.iter().map(|(place, _)| place);
    for place in places.filter(|place| targets(&one.script, place)) {
        by_asset.entry(&place.asset).or_default().push(place.clone());
    }
    for places in by_asset.values() {
        resolve(content, &one.script, places, &one.params).map_err(|error| {
            Refused::conflict("no-value", "no value serves all that was chosen")
                .field("scripts")
                .value(&one.row.key)
                .detail(error.to_string())
                .remedy("leave out the script, choose a failed posture of its control, or leave out the postures of all but one of the policies named")
        })?;
    }
    Ok(())
}
