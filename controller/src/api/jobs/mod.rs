//! Jobs, as operators see them.

pub mod cancel;
pub mod create;
pub mod list;
pub mod run;
pub mod show;

use aright_shared::api::{Job, JobScript};
use aright_shared::content::script::Script;
use aright_shared::id::JobId;

use crate::error::Refused;
use crate::store::{Conn, jobs, runs, scripts};

fn find(conn: &Conn, id: &JobId) -> Result<jobs::Job, Refused> {
    jobs::get(conn, id)?.ok_or_else(|| Refused::not_found("job", id))
}

fn view(conn: &Conn, job: jobs::Job) -> Result<Job, Refused> {
    let (postures, assets) = jobs::counts(conn, &job.id)?;
    let mut shown = Vec::new();
    for chosen in jobs::scripts(conn, &job.id)? {
        let Some(row) = scripts::get(conn, chosen.digest)? else { continue };
        let script: Script = serde_json::from_str(&row.bytes)?;
        shown.push(JobScript {
            key: row.key,
            version: row.version,
            digest: row.digest,
            origin: row.origin,
            title: script.title,
        });
    }
    Ok(Job {
        runs: runs::of_job(conn, &job.id)?,
        id: job.id,
        name: job.name,
        state: job.state,
        created: job.created,
        created_by: job.created_by,
        spec: job.spec,
        next: Vec::new(),
        postures,
        controls: job.controls,
        assets,
        scripts: shown,
    })
}
