//! `POST jobs/{id}/activate`, `POST jobs/{id}/deactivate`: whether there are further runs.

use std::sync::Arc;

use aright_shared::api::Job;
use aright_shared::id::JobId;
use axum::extract::State;
use axum::{Extension, Json};

use super::change;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::jobs::save;

pub async fn activate(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Refused> {
    change(app, id, move |app, tx, job| save::activate(app, tx, job, &user.name)).await.map(Json)
}

pub async fn deactivate(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Refused> {
    change(app, id, move |app, tx, job| save::deactivate(app, tx, job, &user.name)).await.map(Json)
}
