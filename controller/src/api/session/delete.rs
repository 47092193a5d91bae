//! `DELETE session`: the token is void.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::store::sessions;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
) -> Result<StatusCode, Refused> {
    app.store.write(move |tx| sessions::delete(tx, user.token)).await?;
    Ok(StatusCode::NO_CONTENT)
}
