//! `POST jobs/{id}/runs`: once more, besides its schedule.

use std::sync::Arc;

use aright_shared::api::{JobState, NewJob, NewRun, Run};
use aright_shared::id::JobId;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use super::find;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Id, MaybeBody};
use crate::jobs::occur;
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
            if job.state == JobState::Draft {
                return Err(Refused::conflict("is-draft", "a draft has chosen nothing yet")
                    .field("job")
                    .value(&job.name)
                    .remedy("save it first: aright job activate"));
            }
            if let Some(run) = runs::open(tx, &id)?.first() {
                return Err(Refused::conflict("run-under-way", "the job has a run that has not ended")
                    .field("job")
                    .value(format!("run {} is {}", run.id, run.state))
                    .remedy("wait for its end, or cancel it"));
            }
            let spec = NewJob { hold_s: new.hold_s.or(job.spec.hold_s), ..job.spec };
            let run = occur::once_more(&shared, tx, &id, &spec)?;
            if job.state == JobState::Ended {
                jobs::set_state(tx, &id, JobState::Active)?;
            }
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
