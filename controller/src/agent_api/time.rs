//! `POST time`: NTP's on-wire times (RFC 5905, section 8).

use std::sync::Arc;

use aright_shared::wire::{TimeReply, TimeRequest};
use axum::Json;
use axum::extract::{FromRequest as _, Request, State};

use crate::app::App;
use crate::error::Refused;
use crate::http_in::Body;

pub async fn handle(State(app): State<Arc<App>>, request: Request) -> Result<Json<TimeReply>, Refused> {
    // Before the body is read: what that takes is the controller's time, not the network's.
    let t2 = app.clock.now_micros();
    let Body(TimeRequest { t1 }) = Body::from_request(request, &()).await?;
    Ok(Json(TimeReply { t1, t2, t3: app.clock.now_micros() }))
}
