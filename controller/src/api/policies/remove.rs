//! `DELETE policies/{key}`: a custom one goes, with its postures; not while a job counts on them.

use std::sync::Arc;

use aright_shared::id::{JobId, Key};
use axum::Extension;
use axum::extract::State;
use http::StatusCode;

use super::show::unknown;
use crate::app::App;
use crate::auth::operator::User;
use crate::content::Content;
use crate::error::Refused;
use crate::http_in::Id;
use crate::policies::{Done, change};
use crate::store::{Tx, audit, policies};

/// How many jobs are named in a sentence; all are listed.
const NAMED: usize = 3;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(key): Id<Key>,
) -> Result<StatusCode, Refused> {
    let (shared, gone) = (app.clone(), key.clone());
    change(app, key.clone(), move |tx| remove(&shared, tx, &gone, &user.name)).await?;
    tracing::info!(policy = %key, "removed a policy");
    Ok(StatusCode::NO_CONTENT)
}

fn remove(app: &App, tx: &Tx<'_>, key: &Key, user: &str) -> Result<Done<()>, Refused> {
    let content = app.content();
    let Some(row) = policies::get(tx, key)? else {
        return Err(match content.shipped().policy(key) {
            Some(_) => of_the_library(key),
            None => unknown(key),
        });
    };
    if in_force(&content, key) {
        let jobs = policies::jobs(tx, key)?;
        if !jobs.is_empty() {
            return Err(in_use(key, &jobs));
        }
    }
    policies::delete(tx, key)?;
    let entry = audit::Entry {
        at: app.now(),
        who: user,
        action: "policy.remove",
        subject: key.as_str(),
        detail: &format!("version {}", row.version),
    };
    audit::append(tx, &entry)?;
    Ok(Done::Changed(()))
}

/// Whether postures with this key are of the custom policy.
fn in_force(content: &Content, key: &Key) -> bool {
    content.shipped().policy(key).is_none() && content.library().policy(key).is_some()
}

fn of_the_library(key: &Key) -> Refused {
    Refused::conflict("library-policy", "policies of the library are read-only")
        .field("policy")
        .value(key)
        .remedy("leave it; only custom policies can be removed")
}

fn in_use(key: &Key, jobs: &[(JobId, String)]) -> Refused {
    let mut named: Vec<_> = jobs.iter().take(NAMED).map(|(id, name)| format!("{name} ({id})")).collect();
    if let Some(more) = jobs.len().checked_sub(NAMED).filter(|more| *more > 0) {
        named.push(format!("and {more} more"));
    }
    Refused::conflict("policy-in-use", "jobs that have not ended have postures of this policy selected")
        .field("policy")
        .value(key)
        .detail(named.join(", "))
        .remedy("cancel these jobs or let them end, then remove the policy")
        .items(jobs.iter().map(|(id, name)| serde_json::json!({"job": id, "name": name})))
}
