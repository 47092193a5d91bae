//! An operator's wish that something ends: what has not begun does now, what runs is asked to.

use std::sync::Arc;

use aright_shared::api::Run;
use aright_shared::time::Millis;

use crate::app::App;
use crate::dispatch::end;
use crate::error::Refused;
use crate::store::tasks::Task;
use crate::store::{Tx, jobs, runs, tasks};

/// # Errors
/// The store failed.
pub fn run(app: &Arc<App>, tx: &Tx<'_>, run: &Run, who: &str, now: Millis) -> Result<(), Refused> {
    runs::cancel(tx, &run.id, who, now)?;
    end::not_begun(app, tx, &run.id, &format!("cancelled by {who} before it began"), now)?;
    for one in tasks::at_work(tx, &run.id)? {
        task(app, tx, &one, who, now)?;
    }
    // Others that were done meanwhile end with it.
    for (_, job, _) in runs::finish(tx, now)? {
        jobs::end_if_done(tx, &job)?;
    }
    let shared = app.clone();
    tx.on_commit(move || shared.changed());
    Ok(())
}

pub fn task(_app: &Arc<App>, _tx: &Tx<'_>, _task: &Task, _who: &str, _now: Millis) -> Result<(), Refused> {
    Ok(())
}
