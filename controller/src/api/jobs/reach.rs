//! `POST jobs/reach`, `GET jobs/{id}/reach`: what would run where, and why not elsewhere. Nothing is stored.

use std::sync::Arc;

use aright_shared::api::{JobState, NewJob, Reach};
use aright_shared::id::JobId;
use axum::Json;
use axum::extract::State;

use super::{find, script_view};
use crate::app::App;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::jobs::scripts::Selected;
use crate::jobs::select::Chosen;
use crate::jobs::{occur, reach, save, scripts, select};
use crate::store::Conn;

/// As the job would be saved: what may not be chosen is refused as it would be then.
pub async fn of_new(State(app): State<Arc<App>>, Body(new): Body<NewJob>) -> Result<Json<Reach>, Refused> {
    let shared = app.clone();
    app.store
        .read(move |conn| {
            occur::check(&shared, &new)?;
            occur::coming(&new, shared.now())?;
            let (chosen, scripts) = save::what(&shared, conn, &new)?;
            view(&shared, conn, &new, chosen, &scripts)
        })
        .await
        .map(Json)
}

/// As a run of the job would find it now; a draft as it would be saved.
pub async fn of_job(State(app): State<Arc<App>>, Id(id): Id<JobId>) -> Result<Json<Reach>, Refused> {
    let shared = app.clone();
    app.store
        .read(move |conn| {
            let job = find(conn, &id)?;
            let (chosen, scripts) = match job.state {
                JobState::Draft => save::what(&shared, conn, &job.spec)?,
                JobState::Active | JobState::Inactive | JobState::Ended => {
                    let chosen = select::for_run(&shared, conn, &job)?;
                    let scripts = scripts::for_run(&shared, conn, &job, &chosen)?;
                    (chosen, scripts)
                }
            };
            view(&shared, conn, &job.spec, chosen, &scripts)
        })
        .await
        .map(Json)
}

fn view(
    app: &App,
    conn: &Conn,
    job: &NewJob,
    chosen: Chosen,
    scripts: &[Selected],
) -> Result<Reach, Refused> {
    let now = app.now();
    let reach = reach::reach(app, conn, job, chosen, scripts, now)?;
    let shown = scripts.iter().map(|one| script_view(&one.row, one.script.title.clone())).collect();
    Ok(Reach { scripts: shown, next: occur::upcoming(&job.schedule, now), ..reach })
}
