//! `POST tasks/{id}/cancel`: it ends where it has not begun, and is asked to where it runs.

use std::sync::Arc;

use aright_shared::api::Task;
use aright_shared::id::TaskId;
use axum::extract::State;
use axum::{Extension, Json};

use super::shown;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::jobs::cancel;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<TaskId>,
) -> Result<Json<Task>, Refused> {
    let shared = app.clone();
    app.store
        .write(move |tx| {
            cancel::one(&shared, tx, &id, &user.name)?;
            shown(tx, &id)
        })
        .await
        .map(Json)
}
