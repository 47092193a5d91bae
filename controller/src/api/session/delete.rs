//! `DELETE session`: the token is void.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::store::{audit, sessions};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
) -> Result<StatusCode, Refused> {
    let now = app.now();
    app.store
        .write(move |tx| {
            sessions::delete(tx, user.token)?;
            let entry = audit::Entry {
                at: now,
                who: &user.name,
                action: "session.delete",
                subject: &user.name,
                detail: "logged out",
            };
            audit::append(tx, &entry)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
