//! A run begins: selection, eligibility, posture, licence, approval and values are looked at again, and every
//! script that was chosen for an asset becomes a task, queued, or ended at once with its reason.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use aright_shared::api::Selection;
use aright_shared::content::script::Origin;
use aright_shared::digest::Digest;
use aright_shared::id::{AssetId, JobId, RunId, TaskId};
use aright_shared::task::{TaskKind, TaskState};
use aright_shared::time::{Millis, SECOND};
use aright_shared::values::Resolved;

use crate::app::App;
use crate::error::Refused;
use crate::jobs::reach::{Fate, Judge};
use crate::jobs::scripts::Selected;
use crate::jobs::{save, scripts, select, stop};
use crate::schedule;
use crate::store::jobs::Job;
use crate::store::tasks::{Cause, Task};
use crate::store::{Tx, assets, jobs, run_assets, runs, tasks};

pub fn begin(app: &Arc<App>, tx: &Tx<'_>, run: &RunId, job: &JobId, now: Millis) -> Result<(), Refused> {
    let Some(job) = jobs::get(tx, job)? else { return Ok(()) };
    if stop::current(tx)?.is_some() {
        return Ok(());
    }
    if !runs::begin(tx, run, &job.spec.rollout, now)? {
        return Ok(());
    }
    match plan(app, tx, run, &job, now) {
        // What is found anew may break a rule that held when the job was saved.
        Err(refused) if refused.problem().status < 500 => {
            let problem = refused.problem();
            let value = problem.value.as_deref().map(|value| format!(" ({value})")).unwrap_or_default();
            runs::halt(tx, run, &format!("halted: {}{value}", problem.title), now).map(drop)?;
            Ok(())
        }
        other => other,
    }
}

fn plan(app: &Arc<App>, tx: &Tx<'_>, run: &RunId, job: &Job, now: Millis) -> Result<(), Refused> {
    let chosen = select::for_run(app, tx, job)?;
    let scripts = scripts::for_run(app, tx, job, &chosen)?;
    if job.spec.selection == Selection::EachRun {
        jobs::select(tx, &job.id, &save::selection(&chosen, &scripts))?;
    }
    let judge = Judge::new(app, tx, &job.spec, &scripts, now)?;
    let local_due = runs::get(tx, run)?.and_then(|run| run.local_due);
    let (ranks, mut waiting) = (ranks(&scripts), HashSet::new());
    for asset in &chosen.assets {
        let not_before = match local_due {
            Some(local) => Some(schedule::instant(local, &zone(tx, asset)?).max(now)),
            None => None,
        };
        let mut position = 0;
        for (one, fate) in judge.fates(asset, chosen.of_asset(asset)) {
            let rank = ranks.get(&one.row.digest).copied().unwrap_or_default();
            let Some(task) = task(run, &job.id, asset, (one, rank), fate, now) else { continue };
            let task = Task { position, not_before, ..task };
            if task.state == TaskState::Queued && waiting.insert(asset.clone()) {
                run_assets::insert(tx, run, asset)?;
            }
            tasks::insert(tx, &task)?;
            position += 1;
        }
    }
    if chosen.assets.is_empty() {
        runs::set_detail(tx, run, "nothing was found to remediate")?;
    }
    tracing::info!(run.id = %run, job.id = %job.id, assets = chosen.assets.len(), waiting = waiting.len(), "a run begins");
    // Where only some may begin the dispatcher says which.
    let (shared, all_at_once) = (app.clone(), job.spec.rollout == Default::default());
    tx.on_commit(move || {
        if all_at_once {
            shared.presence.offer_work(&waiting);
        }
        shared.changed();
    });
    Ok(())
}

/// By its own clock; UTC where it has not said.
fn zone(tx: &Tx<'_>, asset: &AssetId) -> Result<String, Refused> {
    Ok(assets::get(tx, asset)?.map(|asset| asset.facts.timezone).unwrap_or_default())
}

/// In the order of the scripts; one of people's own has the same whatever library scripts are offered beside it.
fn ranks(scripts: &[Selected]) -> HashMap<Digest, u16> {
    let (mut library, mut own) = (0.., 0x8000..);
    let mut next = |one: &Selected| match one.row.origin {
        Origin::Library => library.next(),
        _ => own.next(),
    };
    scripts.iter().filter_map(|one| Some((one.row.digest, next(one)?))).collect()
}

fn task(
    run: &RunId,
    job: &JobId,
    asset: &AssetId,
    (one, rank): (&Selected, u16),
    fate: Fate,
    now: Millis,
) -> Option<Task> {
    let (resolved, end) = match fate {
        Fate::Runs(resolved) => (resolved, None),
        Fate::Ends(end) => (Resolved::default(), Some(end)),
        Fate::Nothing(_) => return None,
    };
    let cause = Cause::Run { job: job.clone(), run: run.clone() };
    let timeout_ms = i64::from(one.script.timeout_s) * SECOND;
    Some(Task {
        id: TaskId::of(run, asset, one.row.digest, rank),
        state: if end.is_some() { TaskState::Ended } else { TaskState::Queued },
        ended: end.as_ref().map(|_| now),
        end,
        ..Task::queued(TaskKind::Run, cause, asset, one.row.digest, timeout_ms, resolved, now)
    })
}
