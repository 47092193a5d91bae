//! Tasks, as operators see them.

pub mod list;
pub mod show;

use aright_shared::api::Task;
use aright_shared::content::script::Script;

use crate::error::Refused;
use crate::store::{Conn, assets, scripts, tasks};

fn view(conn: &Conn, row: tasks::Task) -> Result<Task, Refused> {
    let script = scripts::get(conn, row.script)?.ok_or_else(|| Refused::not_found("script", row.script))?;
    let title = serde_json::from_str::<Script>(&script.bytes)?.title;
    let hostname = assets::hostname(conn, &row.asset)?.unwrap_or_default();
    let end = row.end;
    Ok(Task {
        id: row.id,
        job: row.job,
        run: row.run,
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
