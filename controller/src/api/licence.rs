//! `GET licence`, `PUT licence`.

use std::sync::Arc;

use aright_shared::api::Licence;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Body;
use crate::jobs::licence;

pub async fn show(State(app): State<Arc<App>>) -> Result<Json<Licence>, Refused> {
    Ok(Json(app.store.read(licence::current).await?))
}

pub async fn set(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Body(new): Body<Licence>,
) -> Result<Json<Licence>, Refused> {
    let now = app.now();
    app.store.write(move |tx| licence::set(tx, &new, &user.name, now)).await?;
    Ok(Json(new))
}
