//! `POST enroll-keys/{id}/revoke`: no host enrols with it from now on; those that have stay.

use std::sync::Arc;

use aright_shared::api::{EnrollKey, NewRevocation};
use aright_shared::id::EnrollKeyId;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Id, MaybeBody, check_line};
use crate::store::{audit, enroll_keys};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(id): Id<EnrollKeyId>,
    MaybeBody(NewRevocation { reason }): MaybeBody<NewRevocation>,
) -> Result<Json<EnrollKey>, Refused> {
    check_line("reason", &reason, 1024)?;
    let now = app.now();
    let key = app
        .store
        .write(move |tx| {
            let Some(key) = enroll_keys::end(tx, &id, now)? else {
                return Err(Refused::not_found("enrolment key", id));
            };
            let entry = audit::Entry {
                at: now,
                who: &user.name,
                action: "enroll-key.revoke",
                subject: key.id.as_str(),
                detail: &reason,
            };
            audit::append(tx, &entry)?;
            Ok(key)
        })
        .await?;
    Ok(Json(key))
}
