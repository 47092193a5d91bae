//! `POST jobs/{id}/cancel`: all its runs, and no further ones.

use std::sync::Arc;

use aright_shared::api::{Job, JobState};
use aright_shared::id::JobId;
use axum::extract::State;
use axum::{Extension, Json};

use super::change;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::jobs::cancel;
use crate::store::{audit, jobs, runs};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Refused> {
    change(app, id, move |app, tx, job| {
        let (now, who) = (app.now(), user.name.as_str());
        let open = runs::open(tx, &job.id)?;
        if open.is_empty() && job.next.is_none() {
            return Err(Refused::conflict("nothing-to-cancel", "all runs of the job have ended")
                .field("job")
                .value(&job.id)
                .remedy("to undo what it did, use aright task undo"));
        }
        for run in &open {
            cancel::run(app, tx, run, who, now)?;
        }
        jobs::set_next(tx, &job.id, None)?;
        if job.state == JobState::Inactive {
            jobs::set_state(tx, &job.id, JobState::Active)?;
        }
        jobs::end_if_done(tx, &job.id)?;
        let (action, subject) = ("job.cancel", job.id.as_str());
        Ok(audit::append(tx, &audit::Entry { at: now, who, action, subject, detail: &job.name })?)
    })
    .await
    .map(Json)
}
