//! Custom scripts of a job: approved, and given the parameters that they declare.

use std::collections::BTreeMap;

use aright_shared::api::{CustomScript, ScriptState};
use aright_shared::content::script::{Origin, ParamFrom, Script};
use aright_shared::envelope::Envelope;
use aright_shared::id::Key;
use aright_shared::time::Millis;
use http::StatusCode;

use crate::error::Refused;
use crate::store::{Conn, StoreError, scripts};
use crate::trust::Trust;

/// A stored script, read.
pub struct Known {
    pub row: scripts::Script,
    pub script: Script,
}

/// The newest version of a custom script that may run now.
///
/// # Errors
/// Says who could approve it, or which parameter is wrong.
pub fn find(conn: &Conn, trust: &Trust, custom: &CustomScript, now: Millis) -> Result<Known, Refused> {
    let row = scripts::newest(conn, &custom.key)?.ok_or_else(|| Refused::not_found("script", &custom.key))?;
    if row.origin == Origin::Library {
        return Err(Refused::invalid("custom_scripts", &custom.key, "this is a library script")
            .remedy("choose it by `scripts`: it runs where its control failed"));
    }
    if row.state != ScriptState::Approved || in_force(conn, trust, &row, now)?.is_none() {
        return Err(not_approved(trust, &custom.key, row.state));
    }
    let script: Script = serde_json::from_str(&row.bytes)?;
    check_params(&script, &custom.params)?;
    Ok(Known { row, script })
}

/// An approval that agents will believe now.
///
/// # Errors
/// The store failed.
pub fn in_force(
    conn: &Conn,
    trust: &Trust,
    row: &scripts::Script,
    now: Millis,
) -> Result<Option<Envelope>, StoreError> {
    if trust.document.expires <= now {
        return Ok(None);
    }
    let believed = |envelope: &Envelope| {
        trust
            .document
            .approval(envelope)
            .is_ok_and(|approval| approval.script == row.digest && approval.not_after > now)
    };
    Ok(scripts::approvals(conn, row.digest, now)?.into_iter().find(believed))
}

fn not_approved(trust: &Trust, key: &Key, state: ScriptState) -> Refused {
    let approvers: Vec<_> = trust.document.approvers.iter().map(|approver| approver.name.as_str()).collect();
    Refused::new(StatusCode::CONFLICT, "not-approved", "the script has no approval in force")
        .field("custom_scripts")
        .value(format!("{key} ({state})"))
        .remedy(format!("let {} approve it: aright script approve {key} --key FILE", approvers.join(" or ")))
}

fn check_params(script: &Script, given: &BTreeMap<String, String>) -> Result<(), Refused> {
    let wanted = |name: &String| script.params.get(name).is_some_and(|param| param.from == ParamFrom::Given);
    let names: Vec<_> = script.params.keys().filter(|name| wanted(name)).cloned().collect();
    if let Some(odd) = given.keys().find(|name| !wanted(name)) {
        return Err(Refused::invalid(
            "custom_scripts.params",
            odd,
            format!("{} takes no such parameter", script.key),
        )
        .remedy(format!("it takes: {}", list(&names))));
    }
    if let Some(missing) = names.iter().find(|name| !given.contains_key(*name)) {
        return Err(Refused::invalid(
            "custom_scripts.params",
            missing,
            format!("{} needs this parameter", script.key),
        )
        .remedy(format!("give {}", list(&names))));
    }
    for (name, value) in given {
        if let Some(param) =
            script.params.get(name).filter(|param| !param.accepts(&script.interpreter, value))
        {
            return Err(Refused::invalid(
                "custom_scripts.params",
                format!("{name}: {value}"),
                format!("{} does not take this value", script.key),
            )
            .detail(format!("it must match {:?}, whole", param.pattern))
            .remedy("give one that the approved script admits"));
        }
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
