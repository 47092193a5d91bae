//! The first steps of a controller that was restored from a backup: what its agents did after the backup was taken
//! is told by them again, and is not done twice.

use std::sync::Arc;

use anyhow::Result;
use aright_shared::outcome::HostChange;
use aright_shared::time::HOUR;

use crate::app::App;
use crate::dispatch::{self, end};
use crate::error::Refused;
use crate::store::restored::Restored;
use crate::store::tasks::End;
use crate::store::{runs, tasks};

/// For how long agents surely remember what they did: they keep results for an hour more.
const REMEMBERED: i64 = 23 * HOUR;

/// Before any agent can speak; once more does no harm.
///
/// # Errors
/// The store failed.
pub async fn settle(app: &Arc<App>) -> Result<()> {
    let Some(restored) = app.restored else { return Ok(()) };
    tracing::warn!(taken = %restored.taken, at = %restored.at, "restored from a backup");
    if restored.at.since(restored.taken) > REMEMBERED {
        give_up(app, restored).await.map_err(failed)?;
    }
    // Runs that came due meanwhile began then, most likely: their tasks are to be there when agents tell of them.
    // Occurrences become runs, then those begin.
    for _ in 0..2 {
        dispatch::step(app).await.map_err(failed)?;
    }
    Ok(())
}

/// What may have been done and forgotten on both sides is not begun.
async fn give_up(app: &Arc<App>, restored: Restored) -> Result<(), Refused> {
    let (shared, now) = (app.clone(), app.now());
    app.store
        .write(move |tx| {
            let old = format!(
                "restored from a backup of {}, older than agents remember what they did",
                restored.taken
            );
            for (run, _) in runs::due(tx, restored.at)? {
                runs::cancel(tx, &run, &format!("{old}: look at the hosts, then run the job again"), now)?;
            }
            let end = End::interrupted(
                HostChange::Unknown,
                format!("{old}: look at the host, then run the job again"),
            );
            for task in tasks::not_begun_since(tx, restored.taken)? {
                end::by_us(&shared, tx, &task, &end, now)?;
            }
            Ok(())
        })
        .await
}

fn failed(refused: Refused) -> anyhow::Error {
    anyhow::anyhow!("after a restore: {:?}", refused.problem())
}
