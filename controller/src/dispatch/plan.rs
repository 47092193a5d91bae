//! A run begins: eligibility, posture, approval and values are looked at again, and every script that
//! was chosen for an asset becomes a task, queued, or ended at once with its reason.

use std::collections::BTreeMap;
use std::sync::Arc;

use aright_shared::content::script::{Origin, Script};
use aright_shared::id::{AssetId, JobId, RunId};
use aright_shared::outcome::{HostChange, Outcome, Refusal};
use aright_shared::posture::Verdict;
use aright_shared::task::{TaskKind, TaskState};
use aright_shared::time::{Millis, SECOND};
use aright_shared::values::Resolved;

use crate::app::App;
use crate::error::Refused;
use crate::jobs::values::{resolve, targets};
use crate::presence::LiveState;
use crate::store::jobs::JobScript;
use crate::store::postures::Place;
use crate::store::tasks::{Cause, End, Task};
use crate::store::{Tx, jobs, runs, scripts, tasks};

/// A chosen place with its verdict of now.
type Now = (Place, Option<Verdict>);

pub fn begin(app: &Arc<App>, tx: &Tx<'_>, run: &RunId, job: &JobId, now: Millis) -> Result<(), Refused> {
    if !runs::begin(tx, run, now)? {
        return Ok(());
    }
    let mut places: BTreeMap<AssetId, Vec<Now>> = BTreeMap::new();
    for (place, verdict) in jobs::postures(tx, job)? {
        places.entry(place.asset.clone()).or_default().push((place, verdict));
    }
    let scripts = known_scripts(tx, job)?;
    let assets = jobs::assets(tx, job)?;
    let mut queued = Vec::new();
    for asset in &assets {
        let of_asset = places.get(asset).map_or(&[][..], Vec::as_slice);
        let mut position = 0;
        for (chosen, row, script) in &scripts {
            let Some(plan) = one(app, row.origin, script, chosen, asset, of_asset) else { continue };
            let task = task(run, job, asset, row, script, position, plan, now);
            if task.state == TaskState::Queued {
                queued.push(asset.clone());
            }
            tasks::insert(tx, &task)?;
            position += 1;
        }
    }
    tracing::info!(run.id = %run, job.id = %job, assets = assets.len(), queued = queued.len(), "a run begins");
    let shared = app.clone();
    tx.on_commit(move || shared.presence.offer_work(&queued));
    Ok(())
}

fn known_scripts(tx: &Tx<'_>, job: &JobId) -> Result<Vec<(JobScript, scripts::Script, Script)>, Refused> {
    let mut known = Vec::new();
    for chosen in jobs::scripts(tx, job)? {
        if let Some(row) = scripts::get(tx, chosen.digest)? {
            let script = serde_json::from_str(&row.bytes)?;
            known.push((chosen, row, script));
        }
    }
    Ok(known)
}

enum Plan {
    Queue(Resolved),
    End(End),
}

/// What becomes of one script on one asset; `None` where it has nothing to do with it.
fn one(
    app: &App,
    origin: Origin,
    script: &Script,
    chosen: &JobScript,
    asset: &AssetId,
    places: &[Now],
) -> Option<Plan> {
    let concerned: Vec<&Now> = places.iter().filter(|(place, _)| targets(script, place)).collect();
    let library = origin == Origin::Library;
    if library && concerned.is_empty() {
        return None;
    }
    let live = app.presence.agent(asset).map(|live| live.state().clone());
    if let Some(end) = not_eligible(live.as_ref()) {
        return Some(Plan::End(end));
    }
    let failed: Vec<Place> = concerned
        .iter()
        .filter(|(_, verdict)| *verdict == Some(Verdict::Fail))
        .map(|(place, _)| place.clone())
        .collect();
    if library && failed.is_empty() {
        return Some(Plan::End(nothing_failed(&concerned)));
    }
    Some(match resolve(&app.content(), script, &failed, &chosen.params) {
        Ok(resolved) => Plan::Queue(resolved),
        Err(error) => Plan::End(refused(Refusal::BadParameter, format!("{error}; save the job anew"))),
    })
}

fn not_eligible(live: Option<&LiveState>) -> Option<End> {
    let Some(live) = live else { return Some(undelivered("the asset has no agent".to_owned())) };
    let reason = live.reasons().into_iter().next()?;
    Some(match (live.revoked || live.quarantined.is_some(), &live.disabled) {
        (true, _) => undelivered(format!("the asset is {reason}")),
        (false, Some(_)) => refused(Refusal::Disabled, reason),
        (false, None) => refused(Refusal::Unsupported, reason),
    })
}

fn nothing_failed(concerned: &[&Now]) -> End {
    match concerned.iter().find(|(_, verdict)| *verdict != Some(Verdict::Pass)) {
        None => End {
            outcome: Outcome::AlreadyCompliant,
            refusal: None,
            change: HostChange::None,
            detail: "all its postures passed when the run began".into(),
        },
        Some((place, verdict)) => {
            let now = verdict.map_or("no longer there", Verdict::as_str);
            refused(Refusal::NotFailed, format!("{} is {now} when the run begins", place.spot.control))
        }
    }
}

fn refused(refusal: Refusal, detail: String) -> End {
    End { outcome: Outcome::Refused, refusal: Some(refusal), change: HostChange::None, detail }
}

fn undelivered(detail: String) -> End {
    End { outcome: Outcome::Undelivered, refusal: None, change: HostChange::None, detail }
}

#[expect(clippy::too_many_arguments, reason = "a row is made of what names it")]
fn task(
    run: &RunId,
    job: &JobId,
    asset: &AssetId,
    row: &scripts::Script,
    script: &Script,
    position: u32,
    plan: Plan,
    now: Millis,
) -> Task {
    let (resolved, end) = match plan {
        Plan::Queue(resolved) => (resolved, None),
        Plan::End(end) => (Resolved::default(), Some(end)),
    };
    let cause = Cause::Run { job: job.clone(), run: run.clone() };
    let timeout_ms = i64::from(script.timeout_s) * SECOND;
    Task {
        position,
        state: if end.is_some() { TaskState::Ended } else { TaskState::Queued },
        ended: end.as_ref().map(|_| now),
        end,
        ..Task::queued(TaskKind::Run, cause, asset, row.digest, timeout_ms, resolved, now)
    }
}
