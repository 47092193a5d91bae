//! `POST assets/{id}/previews`: a script tried on the host's stage; the task that does it.

use std::sync::Arc;

use aright_shared::api::{NewPreview, Task};
use aright_shared::id::AssetId;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use crate::api::tasks::shown;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::jobs::single;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<AssetId>,
    Body(new): Body<NewPreview>,
) -> Result<(StatusCode, Json<Task>), Refused> {
    let shared = app.clone();
    app.store
        .write(move |tx| {
            let task = single::preview(&shared, tx, &id, &new, &user.name)?;
            shown(tx, &task)
        })
        .await
        .map(|task| (StatusCode::CREATED, Json(task)))
}
