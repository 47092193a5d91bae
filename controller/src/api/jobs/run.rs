//! `POST jobs/{id}/runs`: once more, besides its schedule.

use std::sync::Arc;

use aright_shared::api::{NewRun, Run};
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
use crate::store::runs;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
    MaybeBody(new): MaybeBody<NewRun>,
) -> Result<(StatusCode, Json<Run>), Refused> {
    let shared = app.clone();
    let run = app
        .store
        .write(move |tx| {
            let run = save::once_more(&shared, tx, &find(tx, &id)?, &new, &user.name)?;
            runs::get(tx, &run)?.ok_or_else(|| Refused::not_found("run", run))
        })
        .await?;
    Ok((StatusCode::CREATED, Json(run)))
}
