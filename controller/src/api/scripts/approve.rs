//! `POST scripts/{key}/approvals`: an approver's signature, verified here as agents will verify it.

use std::sync::Arc;

use aright_shared::api::{ScriptApproval, ScriptDetail, ScriptState};
use aright_shared::envelope::OpenError;
use aright_shared::id::Key;
use aright_shared::time::Millis;
use aright_shared::trust::Approval;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::{Body, Id};
use crate::store::{audit, scripts};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Id(key): Id<Key>,
    Body(given): Body<ScriptApproval>,
) -> Result<Json<ScriptDetail>, Refused> {
    let now = app.now();
    let approval = open(&app, &given, &key, now)?;
    app.store
        .write(move |tx| {
            let row = scripts::get(tx, approval.script)?.filter(|row| row.key == key);
            let row = row.ok_or_else(|| {
                Refused::invalid(
                    "envelope",
                    approval.script,
                    "no version of this script has the digest approved",
                )
                .remedy("upload the script first, then approve the digest shown")
            })?;
            if matches!(row.state, ScriptState::Rejected | ScriptState::Deprecated) {
                return Err(Refused::conflict(
                    "script-closed",
                    "this version is not to be approved any more",
                )
                .field("script")
                .value(format!("{key} version {} is {}", row.version, row.state))
                .remedy("upload a new version"));
            }
            scripts::approve(tx, &given.envelope, &approval, now)?;
            scripts::set_state(tx, row.digest, ScriptState::Approved)?;
            let entry = audit::Entry {
                at: now,
                who: &user.name,
                action: "script.approve",
                subject: key.as_str(),
                detail: &format!("version {}, {}, signed by {}", row.version, row.digest, approval.approver),
            };
            audit::append(tx, &entry)?;
            let row = scripts::get(tx, row.digest)?.unwrap_or(row);
            super::detail(tx, row)
        })
        .await
        .map(Json)
}

fn open(app: &App, given: &ScriptApproval, key: &Key, now: Millis) -> Result<Approval, Refused> {
    let trust = app.trust();
    let document = &trust.document;
    if document.expires <= now {
        return Err(Refused::conflict("trust-expired", "the trust document has expired")
            .field("trust")
            .value(document.expires)
            .remedy("let the holder of the root key sign a newer one"));
    }
    let approval = document.approval(&given.envelope).map_err(|error| not_believed(app, &error))?;
    if approval.key != *key {
        return Err(Refused::invalid("envelope", &approval.key, "the approval is of another script")
            .remedy(format!("approve {key}")));
    }
    if approval.not_after <= now {
        return Err(Refused::invalid("not_after", approval.not_after, "the approval is over already")
            .remedy("sign one that lasts"));
    }
    Ok(approval)
}

fn not_believed(app: &App, error: &OpenError) -> Refused {
    let document = &app.trust().document;
    let approvers: Vec<_> = document
        .approvers
        .iter()
        .map(|approver| format!("{} ({})", approver.name, approver.key.fingerprint().hex()))
        .collect();
    Refused::new(StatusCode::UNPROCESSABLE_ENTITY, "approval-not-believed", "the approval is not believed")
        .field("envelope")
        .value(error)
        .remedy(format!("sign with {} key(s) of: {}", document.threshold, approvers.join(", ")))
}
