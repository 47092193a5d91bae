//! From runs to tasks to outcomes. A reconciler: each step looks at what the store says and moves it
//! on, whenever it is asked and at every tick; nothing is remembered between.

pub mod deliver;
pub mod end;
mod plan;
mod sweep;

use std::sync::Arc;

use crate::app::App;
use crate::error::Refused;

/// Moves on whatever is to move now.
///
/// # Errors
/// The store failed.
pub async fn step(app: &Arc<App>) -> Result<(), Refused> {
    let now = app.now();
    let todo = app.store.read(move |conn| sweep::look(conn, now)).await?;
    if todo.is_empty() {
        return Ok(());
    }
    // Each for itself: one that cannot begin holds up no other.
    for (run, job) in todo.due.clone() {
        let shared = app.clone();
        if let Err(error) = app.store.write(move |tx| plan::begin(&shared, tx, &run, &job, now)).await {
            tracing::error!(problem = ?error.problem(), "a run did not begin");
        }
    }
    let shared = app.clone();
    app.store
        .write(move |tx| {
            sweep::move_on(&shared, tx, &todo, now)?;
            tx.on_commit(move || shared.changed_for_watchers());
            Ok(())
        })
        .await
}
