//! A task is handed to its agent: signed anew each time it is delivered, so that its validity is fresh,
//! under a lease until the agent says that it runs.

use std::sync::Arc;

use aright_shared::content::script::Origin;
use aright_shared::envelope::{Envelope, TASK};
use aright_shared::id::AssetId;
use aright_shared::outcome::Refusal;
use aright_shared::task::{Delivery, TaskKind, TaskOrder};
use aright_shared::time::{MINUTE, Millis, SECOND};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::{end, rollout};
use crate::app::App;
use crate::error::Refused;
use crate::jobs::{custom, stop};
use crate::store::tasks::{End, Task};
use crate::store::{StoreError, Tx, assets, run_assets, runs, scripts, tasks};

/// How long an order may be obeyed; it is judged in controller time, which agents know to within the
/// clock limit.
const VALID: i64 = 10 * MINUTE;

/// The next task of this asset, if it may have one now.
///
/// # Errors
/// The store failed.
pub async fn claim(app: &Arc<App>, asset: &AssetId) -> Result<Option<Delivery>, Refused> {
    let (shared, asset) = (app.clone(), asset.clone());
    app.store
        .write(move |tx| {
            let now = shared.now();
            // By the store: what memory says may be older than what stands before us in the queue of writes.
            if !assets::may_have_tasks(tx, &asset)? {
                return Ok(None);
            }
            for task in tasks::candidates(tx, &asset, now)? {
                // One that may not be delivered any more ends here, and the next one is looked at.
                if may_begin(tx, &task)?
                    && let Some(delivery) = deliver(&shared, tx, &task, now)?
                {
                    return Ok(Some(delivery));
                }
            }
            Ok(None)
        })
        .await
}

/// Whether its run lets its asset go on, or begin.
fn may_begin(tx: &Tx<'_>, task: &Task) -> Result<bool, StoreError> {
    let Some(run) = task.run() else { return Ok(true) };
    if stop::current(tx)?.is_some() {
        return Ok(false);
    }
    if run_assets::has_begun(tx, run, &task.asset)? {
        return Ok(true);
    }
    Ok(runs::standing(tx, run)?.is_some_and(|standing| rollout::room(&standing) > 0))
}

fn deliver(app: &Arc<App>, tx: &Tx<'_>, task: &Task, now: Millis) -> Result<Option<Delivery>, Refused> {
    let row = scripts::get(tx, task.script)?;
    let approval = match &row {
        Some(row) if row.origin != Origin::Library => custom::in_force(tx, &app.trust, row, now)?,
        _ => None,
    };
    // Nothing of a script runs when its change goes back: then it may have been found bad, and deprecated.
    let may_go = task.kind == TaskKind::Undo || approval.is_some();
    let Some(row) = row.filter(|row| may_go || row.origin == Origin::Library) else {
        let again = task.kind.again();
        let why = format!("the script has no approval in force: approve it and {again}");
        let end = End::refused(Refusal::NotApproved, why);
        end::by_us(app, tx, task, &end, now)?;
        return Ok(None);
    };
    let order = order(app, task, approval.as_ref(), now)?;
    let envelope = Envelope::seal(TASK, &order, &[&app.trust.task_key])?;
    let lease_until = now.plus(i64::from(app.settings.dispatch.lease_s) * SECOND);
    tasks::deliver(tx, &task.id, &order.nonce, &envelope, now, lease_until)?;
    if let Some(run) = task.run() {
        run_assets::begin(tx, run, &task.asset, now)?;
        runs::touch(tx, Some(run))?;
    }
    let shared = app.clone();
    tx.on_commit(move || shared.changed_for_watchers());
    tracing::info!(task.id = %task.id, asset.id = %task.asset, "delivering");
    Ok(Some(Delivery { task: task.id.clone(), order: envelope, script: row.bytes, approval }))
}

fn order(app: &App, task: &Task, approval: Option<&Envelope>, now: Millis) -> Result<TaskOrder, Refused> {
    // A task offered again has the nonce it had: whichever copy reaches its agent, it is obeyed once.
    let nonce = match &task.nonce {
        Some(nonce) => nonce.clone(),
        None => new_nonce()?,
    };
    Ok(TaskOrder {
        task: task.id.clone(),
        run: task.run().cloned(),
        asset: task.asset.clone(),
        kind: task.kind,
        script: task.script,
        approval: approval.map(Envelope::digest).transpose()?,
        params: task.params.clone(),
        targets: task.targets.clone(),
        undo_of: task.undo_of.clone(),
        not_before: now.plus(-MINUTE),
        not_after: now.plus(VALID),
        nonce,
        confirm_s: app.settings.dispatch.confirm_s,
        clock_limit_ms: app.settings.dispatch.clock_limit_ms(),
    })
}

fn new_nonce() -> anyhow::Result<String> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    Ok(BASE64.encode(nonce))
}
