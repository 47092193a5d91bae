//! `GET tasks/{id}`: with the order as signed and the agent's whole report.

use std::sync::Arc;

use aright_shared::api::TaskDetail;
use aright_shared::id::TaskId;
use axum::Json;
use axum::extract::State;

use super::view;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::Id;
use crate::store::tasks;

pub async fn handle(State(app): State<Arc<App>>, Id(id): Id<TaskId>) -> Result<Json<TaskDetail>, Refused> {
    app.store
        .read(move |conn| {
            let row = tasks::get(conn, &id)?.ok_or_else(|| Refused::not_found("task", &id))?;
            let (params, targets, digest) = (row.params.clone(), row.targets.clone(), row.script);
            Ok(TaskDetail {
                task: view(conn, row)?,
                digest,
                params,
                targets,
                order: tasks::order(conn, &id)?,
                report: tasks::report(conn, &id)?,
            })
        })
        .await
        .map(Json)
}
