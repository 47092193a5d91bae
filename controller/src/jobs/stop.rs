//! *Stop all remediation*: one switch. While it is set no run begins and nothing of a run is delivered or
//! started; what a person asks of one host, an undo or a preview, still goes.

use std::sync::Arc;

use aright_shared::api::Stopped;
use aright_shared::time::Millis;

use super::cancel;
use crate::app::App;
use crate::error::Refused;
use crate::http_in::check_line;
use crate::store::tasks::End;
use crate::store::{Conn, StoreError, Tx, audit, runs, settings, tasks};

const SETTING: &str = "stop";

/// Who set it, if it is set.
///
/// # Errors
/// The store failed.
pub fn current(conn: &Conn) -> Result<Option<Stopped>, StoreError> {
    match settings::get(conn, SETTING)? {
        Some(text) => Ok(serde_json::from_str(&text)?),
        None => Ok(None),
    }
}

/// Sets it: what is queued waits, what is delivered ends, what runs is asked to.
///
/// # Errors
/// The store failed, or the reason is no line of text.
pub fn set(app: &Arc<App>, tx: &Tx<'_>, reason: &str, who: &str, now: Millis) -> Result<(), Refused> {
    check_line("reason", reason, 500)?;
    // Set again it takes the new reason, if there is one.
    let before = current(tx)?;
    if before.is_none() || !reason.is_empty() {
        let at = before.map_or(now, |before| before.at);
        let stopped = Stopped { at, by: who.to_owned(), reason: reason.to_owned() };
        settings::put(tx, SETTING, &serde_json::to_string(&Some(stopped))?)?;
    }
    for task in tasks::of_runs_under_way(tx)? {
        cancel::task(app, tx, &task, who, now)?;
    }
    note(app, tx, "stop.set", reason, who, now)
}

/// Lets everything go on, with the time to wait for hosts that it had left.
///
/// # Errors
/// The store failed.
pub fn release(app: &Arc<App>, tx: &Tx<'_>, who: &str, now: Millis) -> Result<(), Refused> {
    if let Some(stopped) = current(tx)? {
        runs::extend(tx, stopped.at, now)?;
    }
    settings::put(tx, SETTING, "null")?;
    let (shared, waiting) = (app.clone(), tasks::assets_waiting(tx, None)?);
    tx.on_commit(move || shared.presence.offer_work(&waiting));
    note(app, tx, "stop.release", "", who, now)
}

/// How a task ends that was about to start.
pub fn stopped_before_it_began(who: &str) -> End {
    End::cancelled(format!("all remediation was stopped by {who} before it began"))
}

fn note(
    app: &Arc<App>,
    tx: &Tx<'_>,
    action: &str,
    detail: &str,
    who: &str,
    at: Millis,
) -> Result<(), Refused> {
    tracing::warn!(action, who, "the switch that stops all remediation");
    audit::append(tx, &audit::Entry { at, who, action, subject: SETTING, detail })?;
    app.changed_on_commit(tx);
    Ok(())
}
