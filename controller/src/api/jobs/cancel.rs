//! `POST jobs/{id}/cancel`: what is pending or has not begun ends now, what runs ends by itself.

use std::sync::Arc;

use aright_shared::api::Job;
use aright_shared::id::JobId;
use aright_shared::outcome::{HostChange, Outcome};
use axum::extract::State;
use axum::{Extension, Json};

use super::{find, view};
use crate::app::App;
use crate::auth::operator::User;
use crate::dispatch::end;
use crate::error::Refused;
use crate::http_in::Id;
use crate::store::tasks::End;
use crate::store::{audit, jobs, runs, tasks};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Refused> {
    let (shared, now) = (app.clone(), app.now());
    app.store
        .write(move |tx| {
            let job = find(tx, &id)?;
            if runs::of_job(tx, &id)?.iter().all(|run| run.state.is_final()) {
                return Err(Refused::conflict("nothing-to-cancel", "all runs of the job have ended")
                    .field("job")
                    .value(&id)
                    .remedy("to undo what it did, use aright task undo"));
            }
            let ended = End {
                outcome: Outcome::Cancelled,
                refusal: None,
                change: HostChange::None,
                detail: format!("cancelled by {} before it began", user.name),
            };
            for task in tasks::not_begun(tx, &id)? {
                end::by_us(&shared, tx, &task, &ended, now)?;
            }
            runs::cancel(tx, &id, now)?;
            runs::finish(tx, now)?;
            jobs::end_if_done(tx, &id)?;
            let entry = audit::Entry {
                at: now,
                who: &user.name,
                action: "job.cancel",
                subject: id.as_str(),
                detail: &job.name,
            };
            audit::append(tx, &entry)?;
            tx.on_commit(move || shared.changed());
            let job = find(tx, &id)?;
            view(tx, job)
        })
        .await
        .map(Json)
}
