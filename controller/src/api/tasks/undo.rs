//! `POST tasks/{id}/undo`: brings back what the task changed; the task that does it.

use std::sync::Arc;

use aright_shared::api::Task;
use aright_shared::id::TaskId;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use super::shown;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Id;
use crate::jobs::single;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<TaskId>,
) -> Result<(StatusCode, Json<Task>), Refused> {
    let shared = app.clone();
    app.store
        .write(move |tx| {
            let task = single::undo(&shared, tx, &id, &user.name)?;
            shown(tx, &task)
        })
        .await
        .map(|task| (StatusCode::CREATED, Json(task)))
}
