//! `GET postures/{id}`.

use std::sync::Arc;

use aright_shared::api::PostureDetail;
use aright_shared::id::PostureId;
use axum::Json;
use axum::extract::State;

use super::view;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;
use crate::store::{StoreError, postures};

pub async fn handle(
    State(app): State<Arc<App>>,
    Id(id): Id<PostureId>,
) -> Result<Json<PostureDetail>, Refused> {
    let wanted = id.clone();
    let found = app
        .store
        .read(move |conn| {
            let Some(row) = postures::get(conn, &wanted)? else { return Ok::<_, StoreError>(None) };
            let (evidence, managed) = postures::evidence(conn, &row.place)?;
            Ok(Some((row, evidence, managed)))
        })
        .await?;
    let unknown = || Refused::not_found("posture", &id);
    let (row, evidence, managed) = found.ok_or_else(&unknown)?;
    let place = row.place.clone();
    let posture = view(&app, row).ok_or_else(&unknown)?;
    let content = app.content();
    let control = content.control(&place.spot.control).ok_or_else(&unknown)?;
    let on = control.on(&place.spot.technology);
    let scripts = content.offered(&place.policy, &place.spot).map(|own| own.script.key.clone()).collect();
    Ok(Json(PostureDetail {
        posture,
        evidence,
        managed,
        rationale: control.rationale.clone(),
        remediation_text: on.map(|on| on.remediation_text.clone()).unwrap_or_default(),
        scripts,
    }))
}
