//! `PUT jobs/{id}`: in place of what it was.

use std::sync::Arc;

use aright_shared::api::{Job, NewJob};
use aright_shared::id::JobId;
use axum::extract::State;
use axum::{Extension, Json};

use super::change;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::jobs::save;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<JobId>,
    Body(new): Body<NewJob>,
) -> Result<Json<Job>, Refused> {
    change(app, id, move |app, tx, job| save::edit(app, tx, job, &new, &user.name)).await.map(Json)
}
