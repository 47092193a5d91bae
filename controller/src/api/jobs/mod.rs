//! Jobs, as operators see them.

pub mod activate;
pub mod cancel;
pub mod create;
pub mod edit;
pub mod list;
pub mod reach;
pub mod run;
pub mod show;

use std::sync::Arc;

use aright_shared::api::{Job, JobScript};
use aright_shared::content::script::Script;
use aright_shared::id::JobId;

use crate::app::App;
use crate::error::Refused;
use crate::jobs::occur;
use crate::store::{Conn, Tx, jobs, runs, scripts};

fn find(conn: &Conn, id: &JobId) -> Result<jobs::Job, Refused> {
    jobs::get(conn, id)?.ok_or_else(|| Refused::not_found("job", id))
}

fn shown(conn: &Conn, id: &JobId) -> Result<Job, Refused> {
    view(conn, find(conn, id)?)
}

/// Changes a job, then shows it; a refusal changes nothing.
async fn change(
    app: Arc<App>,
    id: JobId,
    change: impl FnOnce(&Arc<App>, &Tx<'_>, &jobs::Job) -> Result<(), Refused> + Send + 'static,
) -> Result<Job, Refused> {
    let shared = app.clone();
    app.store
        .write(move |tx| {
            change(&shared, tx, &find(tx, &id)?)?;
            shown(tx, &id)
        })
        .await
}

fn view(conn: &Conn, job: jobs::Job) -> Result<Job, Refused> {
    let mut scripts_shown = Vec::new();
    for chosen in jobs::scripts(conn, &job.id)? {
        let Some(row) = scripts::get(conn, chosen.digest)? else { continue };
        let title = serde_json::from_str::<Script>(&row.bytes)?.title;
        scripts_shown.push(script_view(&row, title));
    }
    Ok(Job {
        runs: runs::of_job(conn, &job.id)?,
        postures: jobs::count_postures(conn, &job.id)?,
        next: occur::shown(&job),
        id: job.id,
        name: job.name,
        state: job.state,
        created: job.created,
        created_by: job.created_by,
        spec: job.spec,
        controls: job.controls,
        assets: job.assets,
        scripts: scripts_shown,
    })
}

fn script_view(row: &scripts::Script, title: String) -> JobScript {
    JobScript { key: row.key.clone(), version: row.version, digest: row.digest, origin: row.origin, title }
}
