//! Typed activation of services: each kind has its check and its inverse, and the inverse is in the journal
//! before the deed is done. What Linux alone has (reload, mask, sysctl, mounts, modules) is refused by name.

use std::time::Duration;

use aright_shared::content::script::Activation;
use aright_shared::task::ActivationResult;
use serde::{Deserialize, Serialize};
use windows_service::service::ServiceState;

use crate::commit::place::Thing;
use crate::meta::Kind;
use crate::windows::services;

/// The running system, as activations meet it.
#[derive(Clone, Debug)]
pub struct Live {
    /// How long a service must run after a restart to count as back.
    pub moment: Duration,
}

impl Live {
    /// This machine.
    pub fn here() -> Self {
        Self { moment: Duration::from_secs(1) }
    }

    /// # Errors
    /// What it did instead of staying.
    pub fn is_still(&self, awake: &Awake) -> Result<(), String> {
        match services::state(&awake.0) {
            Ok(Some(ServiceState::Running)) => Ok(()),
            Ok(Some(other)) => Err(format!("{} did not keep running: {}", awake.0, services::word(other))),
            Ok(None) => Err(format!("{} is gone", awake.0)),
            Err(error) => Err(format!("{}: {error}", awake.0)),
        }
    }
}

/// A service that was restarted and is to stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awake(String);

/// One activation, as it stands in the journal before it is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// As declared, e.g. `restart Spooler`.
    pub what: String,
    pub inverse: Inverse,
}

/// How to go back, with what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inverse {
    service: String,
    start: u32,
    delayed: bool,
    ran: bool,
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

/// Does all of `activations` in order. `note` writes each down before it is done. `results` also holds what was
/// done before a failure. Yields the services that were restarted.
///
/// # Errors
/// The first that did not take, or could not be written down.
pub fn all<E: std::error::Error + 'static>(
    live: &Live,
    activations: &[Activation],
    _persisted: &dyn Fn(&str) -> Option<String>,
    mut note: impl FnMut(&Planned) -> Result<(), E>,
    results: &mut Vec<ActivationResult>,
) -> Result<Vec<Awake>, ActivateError<E>> {
    let mut awake = Vec::new();
    for activation in activations {
        let what = words(activation);
        let outcome = match plan(activation) {
            Ok(None) => Ok("no such service".to_owned()),
            Ok(Some(inverse)) => {
                let service = inverse.service.clone();
                note(&Planned { what: what.clone(), inverse })?;
                perform(live, activation, &service).map(|woken| {
                    awake.extend(woken);
                    "done".to_owned()
                })
            }
            Err(error) => Err(error),
        };
        let ok = outcome.is_ok();
        let result = outcome.unwrap_or_else(|error| error);
        results.push(ActivationResult { what: what.clone(), result: result.clone(), ok });
        if !ok {
            return Err(ActivateError::Failed(format!("{what}: {result}")));
        }
    }
    Ok(awake)
}

fn words(activation: &Activation) -> String {
    match activation {
        Activation::Restart(names) => format!("restart {}", names.join(" or ")),
        Activation::Enable(names) => format!("enable {}", names.join(" or ")),
        Activation::Disable(names) => format!("disable {}", names.join(" or ")),
        other => serde_json::to_string(other).unwrap_or_default(),
    }
}

/// Looks, and changes nothing. Of alternatives the first that exists is meant.
fn plan(activation: &Activation) -> Result<Option<Inverse>, String> {
    let (Activation::Restart(names) | Activation::Enable(names) | Activation::Disable(names)) = activation
    else {
        return Err("this system has no such activation: restart, enable or disable a service".into());
    };
    for service in names {
        if let Some(state) = services::state(service).map_err(|error| error.to_string())? {
            let meta = Thing::Service(service.clone()).look().map_err(|error| error.to_string())?;
            let Some(Kind::Start { start, delayed }) = meta.map(|meta| meta.kind) else {
                return Err(format!("{service} has no start type"));
            };
            let ran = state == ServiceState::Running;
            return Ok(Some(Inverse { service: service.clone(), start, delayed, ran }));
        }
    }
    Ok(None)
}

fn perform(live: &Live, activation: &Activation, service: &str) -> Result<Option<Awake>, String> {
    let said = |error: std::io::Error| error.to_string();
    match activation {
        Activation::Restart(_) => {
            services::stop(service).map_err(said)?;
            services::start(service).map_err(said)?;
            std::thread::sleep(live.moment);
            let awake = Awake(service.to_owned());
            live.is_still(&awake).map(|()| Some(awake))
        }
        Activation::Enable(_) => services::set_start(service, 2, false).map_err(said).map(|()| None),
        _ => {
            services::set_start(service, 4, false).map_err(said)?;
            services::stop(service).map_err(said).map(|()| None)
        }
    }
}

/// Goes back over what was planned, last first. Each is tried, whatever became of the others.
pub fn invert(_live: &Live, planned: &[Planned]) -> Vec<ActivationResult> {
    let one = |Planned { what, inverse }: &Planned| {
        let Inverse { service, start, delayed, ran } = inverse;
        let back = services::set_start(service, *start, *delayed)
            .and_then(|()| if *ran { services::start(service) } else { services::stop(service) });
        let result = back.as_ref().map_or_else(ToString::to_string, |()| "done".to_owned());
        ActivationResult { what: format!("undo {what}"), result, ok: back.is_ok() }
    };
    planned.iter().rev().map(one).collect()
}
