//! `POST jobs/{id}/cancel`: all its runs, and no further ones.

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
use crate::jobs::cancel;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, Refused> {
    change(app, id, move |app, tx, job| cancel::job(app, tx, job, &user.name)).await.map(Json)
}
