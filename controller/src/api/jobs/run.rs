//! `POST jobs/{id}/runs`: once more, from the same selection.

use std::sync::Arc;

use aright_shared::api::{JobState, NewRun, Run};
use aright_shared::id::JobId;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use super::find;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Id, MaybeBody};
use crate::jobs::save;
use crate::store::{audit, jobs, runs};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
    MaybeBody(new): MaybeBody<NewRun>,
) -> Result<(StatusCode, Json<Run>), Refused> {
    let (shared, now) = (app.clone(), app.now());
    let run = app
        .store
        .write(move |tx| {
            let job = find(tx, &id)?;
            if let Some(run) = runs::of_job(tx, &id)?.into_iter().find(|run| !run.state.is_final()) {
                return Err(Refused::conflict("run-under-way", "the job has a run that has not ended")
                    .field("job")
                    .value(format!("run {} is {}", run.id, run.state))
                    .remedy("wait for its end, or cancel it"));
            }
            let hold_ms = save::hold_ms(&shared, new.hold_s.or(job.spec.hold_s))?;
            let expiry_ms = save::expiry_ms(&shared, &job.spec)?;
            let run = save::add_run(&shared, tx, &id, hold_ms, expiry_ms)?;
            jobs::set_state(tx, &id, JobState::Active)?;
            let entry = audit::Entry {
                at: now,
                who: &user.name,
                action: "job.run",
                subject: id.as_str(),
                detail: run.as_str(),
            };
            audit::append(tx, &entry)?;
            runs::get(tx, &run)?.ok_or_else(|| Refused::not_found("run", run))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(run)))
}
