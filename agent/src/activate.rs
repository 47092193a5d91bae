//! Typed activation after the commit, by the agent and never by the script: each kind has its check and
//! its inverse, and the inverse is in the journal before the deed is done.

#[cfg_attr(target_os = "linux", path = "activate/linux.rs")]
#[cfg_attr(windows, path = "activate/windows.rs")]
mod system;

use aright_shared::content::script::Activation;
use aright_shared::task::ActivationResult;
use serde::{Deserialize, Serialize};

use system::deeds;
pub use system::*;

/// One activation, as it stands in the journal before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// As declared, e.g. `reload ssh`.
    pub what: String,
    pub inverse: Inverse,
}

/// An activation that did not take. Those before it did.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError<E: std::error::Error + 'static> {
    #[error("{0}")]
    Failed(String),
    /// It could not be written down first: then it was not done.
    #[error(transparent)]
    Journal(#[from] E),
}

/// Does all of `activations` in order. `note` writes each down before it is done. `persisted` is the
/// value that files give a kernel parameter. `results` also holds what was done before a failure. Yields what
/// was reloaded or restarted.
///
/// # Errors
/// The first that did not take, or could not be written down.
pub fn all<E: std::error::Error + 'static>(
    live: &Live,
    activations: &[Activation],
    persisted: &dyn Fn(&str) -> Option<String>,
    mut note: impl FnMut(&Planned) -> Result<(), E>,
    results: &mut Vec<ActivationResult>,
) -> Result<Vec<Awake>, ActivateError<E>> {
    let mut awake = Vec::new();
    for deed in activations.iter().flat_map(deeds) {
        let what = deed.to_string();
        let outcome = match deed.plan(live, persisted) {
            Ok(Plan::Already(word)) => Ok(word),
            Ok(Plan::Do { unit, inverse }) => {
                note(&Planned { what: what.clone(), inverse })?;
                deed.perform(live, unit.as_deref(), persisted).map(|unit| {
                    // The latest order counts: each began a life of its own.
                    awake.retain(|other: &Awake| unit.as_ref().is_none_or(|unit| !unit.is_same(other)));
                    awake.extend(unit);
                    "done"
                })
            }
            Err(error) => Err(error),
        };
        let ok = outcome.is_ok();
        let result = outcome.map_or_else(|error| error, str::to_owned);
        results.push(ActivationResult { what: what.clone(), result: result.clone(), ok });
        if !ok {
            return Err(ActivateError::Failed(format!("{what}: {result}")));
        }
    }
    Ok(awake)
}

/// What one deed comes to, as the host is now.
enum Plan {
    /// Nothing is to be done, and why.
    Already(&'static str),
    Do {
        unit: Option<String>,
        inverse: Inverse,
    },
}

/// Goes back over what was planned, last first. Each is tried, whatever became of the others; one that
/// was never done, or was undone before, is no harm.
pub fn invert(live: &Live, planned: &[Planned]) -> Vec<ActivationResult> {
    let mut seen: Vec<&Inverse> = Vec::new();
    let mut results = Vec::new();
    for Planned { what, inverse } in planned.iter().rev() {
        if seen.contains(&inverse) {
            continue;
        }
        seen.push(inverse);
        let outcome = inverse.perform(live);
        let ok = outcome.is_ok();
        let result = outcome.map_or_else(|error| error, str::to_owned);
        results.push(ActivationResult { what: format!("undo {what}"), result, ok });
    }
    results
}
