//! Custom policies change: one change at a time, in force from its commit on, and all that is stored
//! judged by it before it is told.

use std::sync::Arc;

use anyhow::anyhow;
use aright_shared::id::Key;

use crate::app::App;
use crate::error::Refused;
use crate::judging;
use crate::store::{Tx, content, policies};

/// What a change did.
pub enum Done<T> {
    Changed(T),
    /// It was so before.
    Unchanged(T),
}

/// Once begun it goes on to its end, even if the caller is gone.
///
/// # Errors
/// What `store` returns, and then nothing has changed; or the store failed, and then the next change or
/// start judges what this one did not.
pub async fn change<T: Send + 'static>(
    app: Arc<App>,
    key: Key,
    store: impl FnOnce(&Tx<'_>) -> Result<Done<T>, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let changing = tokio::spawn(async move {
        let _alone = app.policies_change.lock().await;
        let shared = app.clone();
        let done = app.store.write(move |tx| put_in_force(&shared, tx, &key, store(tx)?)).await?;
        judging::follow_policies(&app).await?;
        Ok(done)
    });
    changing.await.map_err(|error| anyhow!("a change of policies: {error}"))?
}

fn put_in_force<T>(app: &Arc<App>, tx: &Tx<'_>, key: &Key, done: Done<T>) -> Result<T, Refused> {
    let changed = match done {
        Done::Unchanged(as_before) => return Ok(as_before),
        Done::Changed(changed) => changed,
    };
    // From here to the end of the judging the store says itself that its postures are not up to date.
    content::unsettle_policy(tx, key)?;
    let fresh = app.content().with_custom(&policies::all(tx)?)?;
    let app = app.clone();
    tx.on_commit(move || app.replace_content(fresh));
    Ok(changed)
}
