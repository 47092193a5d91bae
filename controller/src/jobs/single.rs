//! One script on one host, asked for by a person and of no run: a preview, an undo.

use std::sync::Arc;

use aright_shared::api::{CustomScript, NewPreview};
use aright_shared::content::script::{Origin, Script};
use aright_shared::id::{AssetId, TaskId};
use aright_shared::outcome::HostChange;
use aright_shared::task::TaskKind;
use aright_shared::time::{DAY, HOUR, Millis, SECOND};
use aright_shared::values::{Resolved, failing_or_all};
use http::StatusCode;

use super::custom::{self, Known};
use super::select::reasons;
use super::values::resolve;
use crate::app::App;
use crate::content::fixes;
use crate::error::Refused;
use crate::store::postures::{self, Place};
use crate::store::tasks::{self, Cause, Task};
use crate::store::{Conn, Tx, assets, audit, scripts};

/// How long a preview waits for its host: whoever asked is watching.
const PREVIEW_WAITS: i64 = HOUR;
/// How long an undo does.
const UNDO_WAITS: i64 = 7 * DAY;
/// So many may one person ask for: an undo reopens what was closed.
pub const UNDOS_A_MINUTE: usize = 30;

/// A task that shows what a script would do to a host; with the values a job would give it now.
///
/// # Errors
/// No such asset or script, not eligible, not approved, no value: nothing is stored then.
pub fn preview(
    app: &Arc<App>,
    tx: &Tx<'_>,
    asset: &AssetId,
    new: &NewPreview,
    user: &str,
) -> Result<TaskId, Refused> {
    let now = app.now();
    eligible(app, tx, asset)?;
    let Known { row, script } = known(app, tx, new, now)?;
    let places = concerned(tx, asset, &script)?;
    if places.is_empty() && script.origin == Origin::Library {
        return Err(Refused::conflict("not-concerned", "the script has nothing to do with this asset")
            .field("script")
            .value(&new.script)
            .remedy("choose one that is offered for its controls: aright posture show"));
    }
    let resolved = resolve(&app.content(), &script, &places, &new.params).map_err(|error| {
        Refused::invalid("params", &new.script, error.to_string()).remedy("give what the script asks for")
    })?;
    let cause = Cause::Person { name: user.to_owned(), expires: now.plus(PREVIEW_WAITS) };
    let timeout_ms = i64::from(script.timeout_s) * SECOND;
    let task = Task::queued(TaskKind::Preview, cause, asset, row.digest, timeout_ms, resolved, now);
    store(app, tx, &task, ("asset.preview", asset.as_str()), &format!("{} by task {}", new.script, task.id))?;
    Ok(task.id)
}

/// A task that brings back what another one changed.
///
/// # Errors
/// There is nothing to bring back, somebody asked before, or the user asked too often: nothing is stored then.
pub fn undo(app: &Arc<App>, tx: &Tx<'_>, id: &TaskId, user: &str) -> Result<TaskId, Refused> {
    let now = app.now();
    let undone = tasks::get(tx, id)?.ok_or_else(|| Refused::not_found("task", id))?;
    let change = undone.end.as_ref().map(|end| end.change);
    // A host undoes once: what it left alone is mended by hand.
    if undone.kind != TaskKind::Run || change != Some(HostChange::Kept) {
        return Err(Refused::conflict("nothing-to-undo", "the task keeps no change on its host")
            .field("task")
            .value(change.map_or_else(|| undone.state.to_string(), |change| format!("change {change}")))
            .remedy("choose one whose change is kept: aright task list"));
    }
    if let Some(other) = tasks::undo_under_way(tx, id)? {
        return Err(Refused::conflict("undo-under-way", "an undo of this task waits or runs already")
            .field("task")
            .value(&other)
            .remedy(format!("follow that one: aright task show {other}")));
    }
    eligible(app, tx, &undone.asset)?;
    not_too_many(app, user, now)?;
    let cause = Cause::Person { name: user.to_owned(), expires: now.plus(UNDO_WAITS) };
    // Its parameters stand in the order for the record: nothing of the script runs.
    let resolved = Resolved { params: undone.params.clone(), targets: Vec::new() };
    let task = Task {
        undo_of: Some(id.clone()),
        ..Task::queued(TaskKind::Undo, cause, &undone.asset, undone.script, undone.timeout_ms, resolved, now)
    };
    store(app, tx, &task, ("task.undo", id.as_str()), &format!("by task {}", task.id))?;
    Ok(task.id)
}

/// Counts this one too, if it is not.
fn not_too_many(app: &App, user: &str, now: Millis) -> Result<(), Refused> {
    let name = [user.to_owned()];
    if let Some(seconds) = app.undos.shut_for(&name, now) {
        let title = "too many undos by one person";
        return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "too-many-undos", title)
            .field("user")
            .value(user)
            .detail(format!("at most {UNDOS_A_MINUTE} a minute: each reopens what a fix has closed"))
            .remedy(format!("wait {seconds} s"))
            .retry_after(seconds));
    }
    app.undos.count(&name, now);
    Ok(())
}

fn eligible(app: &App, conn: &Conn, asset: &AssetId) -> Result<(), Refused> {
    if assets::get(conn, asset)?.is_none() {
        return Err(Refused::not_found("asset", asset));
    }
    match reasons(app, asset).first() {
        None => Ok(()),
        Some(reason) => Err(Refused::conflict("not-eligible", "the asset is not eligible")
            .field("asset")
            .value(reason)
            .remedy("mend that first: aright asset show")),
    }
}

fn known(app: &App, conn: &Conn, new: &NewPreview, now: Millis) -> Result<Known, Refused> {
    if let Some(own) = app.content().scripts().iter().find(|own| own.script.key == new.script)
        && let Some(row) = scripts::get(conn, own.digest)?
    {
        return Ok(Known { row, script: own.script.clone() });
    }
    let custom = CustomScript { key: new.script.clone(), params: new.params.clone() };
    custom::find(conn, &app.trust(), &custom, now)
}

/// What fails of all that the script is for; where nothing fails all of it.
fn concerned(conn: &Conn, asset: &AssetId, script: &Script) -> Result<Vec<Place>, Refused> {
    let mut places = postures::of_asset(conn, asset)?;
    places.retain(|(place, _)| fixes(script, &place.policy, &place.spot));
    Ok(failing_or_all(places))
}

/// With what was done to what, for the audit log.
fn store(
    app: &Arc<App>,
    tx: &Tx<'_>,
    task: &Task,
    (action, subject): (&str, &str),
    detail: &str,
) -> Result<(), Refused> {
    tasks::insert(tx, task)?;
    let who = task.asked_by().unwrap_or_default();
    audit::append(tx, &audit::Entry { at: task.queued, who, action, subject, detail })?;
    let (shared, asset) = (app.clone(), task.asset.clone());
    tx.on_commit(move || shared.presence.offer_work([&asset]));
    Ok(())
}
