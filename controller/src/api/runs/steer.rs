//! `POST runs/{id}/pause`, `resume`, `cancel`.

use std::sync::Arc;

use aright_shared::api::{Run, RunState};
use aright_shared::id::RunId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::jobs::cancel;
use crate::store::{Tx, audit, runs, tasks};

/// Nothing more of it begins; what is under way ends by itself.
pub async fn pause(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<RunId>,
) -> Result<Json<Run>, Refused> {
    steer(app, user, id, "run.pause", |app, tx, run, who| {
        if !runs::pause(tx, &run.id, who, app.now())? {
            let refused = not(run, "only an executing run can be paused", "edit or cancel a pending one");
            // One that executes, and of which nothing more begins.
            let ending = run.state == RunState::Executing;
            return Err(if ending { refused.value(&run.detail) } else { refused });
        }
        Ok(())
    })
    .await
}

/// It goes on, with the time to wait for hosts that it had left.
pub async fn resume(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<RunId>,
) -> Result<Json<Run>, Refused> {
    steer(app, user, id, "run.resume", |app, tx, run, _| {
        if !runs::resume(tx, &run.id, app.now())? {
            return Err(not(
                run,
                "only a paused run can be resumed",
                "run its job once more: aright job run",
            ));
        }
        let (shared, waiting) = (app.clone(), tasks::assets_waiting(tx, Some(&run.id))?);
        tx.on_commit(move || shared.presence.offer_work(&waiting));
        Ok(())
    })
    .await
}

/// What is pending or queued ends, what runs is asked to.
pub async fn cancel(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<RunId>,
) -> Result<Json<Run>, Refused> {
    steer(app, user, id, "run.cancel", |app, tx, run, who| {
        if run.state.is_final() {
            return Err(not(run, "the run has ended", "undo what it did: aright task undo"));
        }
        Ok(cancel::run(app, tx, run, who, app.now())?)
    })
    .await
}

async fn steer(
    app: Arc<App>,
    user: User,
    id: RunId,
    action: &'static str,
    change: impl FnOnce(&Arc<App>, &Tx<'_>, &Run, &str) -> Result<(), Refused> + Send + 'static,
) -> Result<Json<Run>, Refused> {
    let shared = app.clone();
    app.store
        .write(move |tx| {
            let find = || runs::get(tx, &id)?.ok_or_else(|| Refused::not_found("run", &id));
            let run = find()?;
            change(&shared, tx, &run, &user.name)?;
            let entry = audit::Entry {
                at: shared.now(),
                who: &user.name,
                action,
                subject: id.as_str(),
                detail: run.job.as_str(),
            };
            audit::append(tx, &entry)?;
            let after = find()?;
            shared.changed_on_commit(tx);
            Ok(after)
        })
        .await
        .map(Json)
}

fn not(run: &Run, title: &str, remedy: &str) -> Refused {
    Refused::conflict("not-so", title).field("run").value(run.state).remedy(remedy)
}
