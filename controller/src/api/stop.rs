//! `GET stop`, `POST stop`, `DELETE stop`: the switch that stops all remediation.

use std::sync::Arc;

use aright_shared::api::{NewStop, Stop};
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::MaybeBody;
use crate::jobs::stop;

pub async fn show(State(app): State<Arc<App>>) -> Result<Json<Stop>, Refused> {
    Ok(Json(Stop { stopped: app.store.read(stop::current).await? }))
}

pub async fn set(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    MaybeBody(new): MaybeBody<NewStop>,
) -> Result<Json<Stop>, Refused> {
    let (shared, now) = (app.clone(), app.now());
    let stopped = app
        .store
        .write(move |tx| {
            stop::set(&shared, tx, &new.reason, &user.name, now)?;
            Ok::<_, Refused>(stop::current(tx)?)
        })
        .await?;
    Ok(Json(Stop { stopped }))
}

pub async fn release(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
) -> Result<Json<Stop>, Refused> {
    let (shared, now) = (app.clone(), app.now());
    app.store.write(move |tx| stop::release(&shared, tx, &user.name, now)).await?;
    Ok(Json(Stop { stopped: None }))
}
