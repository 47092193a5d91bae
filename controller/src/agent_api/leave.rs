//! `POST leave`: a host ends its own trust, when its agent is taken away. What is revoked is refused before this.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::agent::Agent;
use crate::error::Refused;
use crate::revoke::revoke;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
) -> Result<StatusCode, Refused> {
    let (shared, now) = (app.clone(), app.now());
    let who = live.asset.clone();
    app.store
        .write(move |tx| revoke(&shared, tx, &who, who.as_str(), "the host left by itself", now))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
