//! The first steps of a controller that was restored from a backup: what its agents did after the backup was taken
//! is told by them again, and is not done twice.

use std::sync::Arc;

use anyhow::Result;

use crate::app::App;
use crate::dispatch;
use crate::error::Refused;

/// Before any agent can speak; once more does no harm.
///
/// # Errors
/// The store failed.
pub async fn settle(app: &Arc<App>) -> Result<()> {
    let Some(restored) = app.restored else { return Ok(()) };
    tracing::warn!(taken = %restored.taken, at = %restored.at, "restored from a backup");
    // Runs that came due meanwhile began then, most likely: their tasks are to be there when agents tell of them.
    // Occurrences become runs, then those begin.
    for _ in 0..2 {
        dispatch::step(app).await.map_err(failed)?;
    }
    Ok(())
}

fn failed(refused: Refused) -> anyhow::Error {
    anyhow::anyhow!("after a restore: {:?}", refused.problem())
}
