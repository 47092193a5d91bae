//! From runs to tasks to outcomes. A reconciler: each step looks at what the store says and moves it
//! on, whenever it is asked and at every tick; nothing is remembered between.

pub mod deliver;
pub mod end;
mod plan;
mod rollout;
mod sweep;

use std::sync::Arc;

use crate::app::App;
use crate::error::Refused;
use crate::jobs::occur;

/// Moves on whatever is to move now.
///
/// # Errors
/// The store failed.
pub async fn step(app: &Arc<App>) -> Result<(), Refused> {
    let (shared, now) = (app.clone(), app.now());
    let todo = app.store.read(move |conn| sweep::look(&shared, conn, now)).await?;
    app.presence.offer_work(&todo.next);
    // Each for itself: one that cannot go on holds up no other.
    for job in todo.occurring {
        let shared = app.clone();
        if let Err(error) = app.store.write(move |tx| occur::follow(&shared, tx, &job, now)).await {
            tracing::error!(problem = ?error.problem(), "a schedule did not go on");
        }
    }
    for (run, job) in todo.due {
        let shared = app.clone();
        if let Err(error) = app.store.write(move |tx| plan::begin(&shared, tx, &run, &job, now)).await {
            tracing::error!(problem = ?error.problem(), "a run did not begin");
        }
    }
    if !todo.moves {
        return Ok(());
    }
    let shared = app.clone();
    app.store
        .write(move |tx| {
            sweep::move_on(&shared, tx, now)?;
            tx.on_commit(move || shared.changed_for_watchers());
            Ok(())
        })
        .await
}
