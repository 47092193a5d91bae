//! `POST jobs`.

use std::sync::Arc;

use aright_shared::api::{Job, NewJob};
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use super::shown;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Body;
use crate::jobs::save;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Body(new): Body<NewJob>,
) -> Result<(StatusCode, Json<Job>), Refused> {
    let shared = app.clone();
    let job = app
        .store
        .write(move |tx| {
            let id = save::create(&shared, tx, &new, &user.name)?;
            shown(tx, &id)
        })
        .await?;
    tracing::info!(job.id = %job.id, postures = job.postures, assets = job.assets, "saved a job");
    Ok((StatusCode::CREATED, Json(job)))
}
