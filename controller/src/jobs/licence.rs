//! The licence: an administrator's setting. Custom scripts may be chosen with `trial` or `full`, and run
//! with `full` only.

use aright_shared::api::{Licence, LicenceKind};
use aright_shared::time::Millis;

use crate::error::Refused;
use crate::store::{Conn, StoreError, Tx, audit, settings};

const SETTING: &str = "licence";

/// As it was set; a fresh controller has `full`.
///
/// # Errors
/// The store failed.
pub fn current(conn: &Conn) -> Result<Licence, StoreError> {
    match settings::get(conn, SETTING)? {
        Some(text) => Ok(serde_json::from_str(&text)?),
        None => Ok(Licence { kind: LicenceKind::Full, until: None }),
    }
}

/// What it is worth now: a trial that is over is none.
///
/// # Errors
/// The store failed.
pub fn in_force(conn: &Conn, now: Millis) -> Result<LicenceKind, StoreError> {
    let Licence { kind, until } = current(conn)?;
    let over = kind == LicenceKind::Trial && until.is_none_or(|until| until <= now);
    Ok(if over { LicenceKind::None } else { kind })
}

/// # Errors
/// A trial without an end, another licence with one.
pub fn set(tx: &Tx<'_>, licence: &Licence, who: &str, now: Millis) -> Result<(), Refused> {
    match (licence.kind, licence.until) {
        (LicenceKind::Trial, Some(until)) if until > now => {}
        (LicenceKind::Trial, until) => {
            let value = until.map_or_else(|| "none".to_owned(), |until| until.to_string());
            return Err(Refused::invalid("until", value, "a trial has an end that is to come")
                .remedy("give the day it ends: aright licence set trial --until 2027-01-31"));
        }
        (_, Some(until)) => {
            return Err(Refused::invalid("until", until, "only a trial has an end").remedy("leave it out"));
        }
        (_, None) => {}
    }
    settings::put(tx, SETTING, &serde_json::to_string(licence)?)?;
    let detail = licence
        .until
        .map_or_else(|| licence.kind.to_string(), |until| format!("{} until {until}", licence.kind));
    audit::append(
        tx,
        &audit::Entry { at: now, who, action: "licence.set", subject: SETTING, detail: &detail },
    )?;
    Ok(())
}
