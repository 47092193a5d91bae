//! Tasks, as operators see them.

pub mod cancel;
pub mod list;
pub mod show;
pub mod undo;

use aright_shared::api::Task;
use aright_shared::content::script::Script;
use aright_shared::id::TaskId;
use aright_shared::outcome::Outcome;

use crate::error::Refused;
use crate::store::{Conn, assets, scripts, tasks};

/// # Errors
/// There is no such task, or the store failed.
pub fn shown(conn: &Conn, id: &TaskId) -> Result<Task, Refused> {
    let row = tasks::get(conn, id)?.ok_or_else(|| Refused::not_found("task", id))?;
    view(conn, row)
}

fn view(conn: &Conn, row: tasks::Task) -> Result<Task, Refused> {
    let script = scripts::get(conn, row.script)?.ok_or_else(|| Refused::not_found("script", row.script))?;
    let title = serde_json::from_str::<Script>(&script.bytes)?.title;
    let hostname = assets::hostname(conn, &row.asset)?.unwrap_or_default();
    let end = row.end.clone();
    let is_cancelled =
        row.running.is_some() || end.as_ref().is_some_and(|end| end.outcome == Outcome::Cancelled);
    let cancel_by = if is_cancelled { tasks::cancel_by(conn, &row.id)? } else { None };
    Ok(Task {
        id: row.id.clone(),
        kind: row.kind,
        job: row.job().cloned(),
        run: row.run().cloned(),
        asked_by: row.asked_by().map(str::to_owned),
        undo_of: row.undo_of,
        cancel_by,
        asset: row.asset,
        hostname,
        script: script.key,
        version: script.version,
        title,
        state: row.state,
        outcome: end.as_ref().map(|end| end.outcome),
        refusal: end.as_ref().and_then(|end| end.refusal),
        change: end.as_ref().map(|end| end.change),
        detail: end.map(|end| end.detail).unwrap_or_default(),
        queued: row.queued,
        delivered: row.delivered,
        running: row.running,
        ended: row.ended,
    })
}
