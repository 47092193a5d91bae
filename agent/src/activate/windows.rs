//! Windows: services by the service control manager.

use std::time::Duration;

use aright_shared::content::script::Activation;
use serde::{Deserialize, Serialize};
use windows_service::service::ServiceState;

use super::Plan;
use crate::commit::place::Thing;
use crate::meta::Kind;
use crate::windows::services;

/// Start types (CreateService).
const AUTO: u32 = 2;
const ON_DEMAND: u32 = 3;
const DISABLED: u32 = 4;

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

impl Awake {
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// How to go back, with what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inverse {
    service: String,
    start: u32,
    delayed: bool,
    ran: bool,
}

/// One activation; what only Linux has is refused by name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed<'a>(&'a Activation);

pub(super) fn deeds(activation: &Activation) -> Vec<Deed<'_>> {
    vec![Deed(activation)]
}

impl std::fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Activation::Restart(names) => write!(f, "restart {}", names.join(" or ")),
            Activation::Enable(names) => write!(f, "enable {}", names.join(" or ")),
            Activation::Disable(names) => write!(f, "disable {}", names.join(" or ")),
            other => f.write_str(&serde_json::to_string(other).unwrap_or_default()),
        }
    }
}

impl Deed<'_> {
    /// Looks, and changes nothing. Of alternatives the first that exists is meant.
    pub(super) fn plan(self, _: &Live, _: &dyn Fn(&str) -> Option<String>) -> Result<Plan, String> {
        let (Activation::Restart(names) | Activation::Enable(names) | Activation::Disable(names)) = self.0
        else {
            return Err("this system has no such activation: restart, enable or disable a service".into());
        };
        for service in names {
            if let Some(state) = services::state(service).map_err(|error| error.to_string())? {
                let meta = Thing::Service(service.clone()).look().map_err(|error| error.to_string())?;
                let Some(Kind::Start { start, delayed }) = meta.map(|meta| meta.kind) else {
                    return Err(format!("{service} has no start type"));
                };
                match self.0 {
                    Activation::Enable(_) if start == AUTO && !delayed => {
                        return Ok(Plan::Already("already enabled"));
                    }
                    Activation::Disable(_) if start == DISABLED && state == ServiceState::Stopped => {
                        return Ok(Plan::Already("already disabled"));
                    }
                    _ => {}
                }
                let ran = matches!(state, ServiceState::Running | ServiceState::StartPending);
                let inverse = Inverse { service: service.clone(), start, delayed, ran };
                return Ok(Plan::Do { unit: Some(service.clone()), inverse });
            }
        }
        Ok(Plan::Already("no such service"))
    }

    pub(super) fn perform(
        self,
        live: &Live,
        service: Option<&str>,
        _: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Awake>, String> {
        let service = service.unwrap_or_default();
        let said = |error: std::io::Error| error.to_string();
        match self.0 {
            Activation::Restart(_) => {
                services::stop(service).map_err(said)?;
                services::start(service).map_err(said)?;
                std::thread::sleep(live.moment);
                let awake = Awake(service.to_owned());
                live.is_still(&awake).map(|()| Some(awake))
            }
            Activation::Enable(_) => services::set_start(service, AUTO, false).map_err(said).map(|()| None),
            _ => {
                services::set_start(service, DISABLED, false).map_err(said)?;
                services::stop(service).map_err(said).map(|()| None)
            }
        }
    }
}

impl Inverse {
    pub(super) fn perform(&self, _: &Live) -> Result<&'static str, String> {
        let Self { service, start, delayed, ran } = self;
        let back = || {
            if *ran && *start == DISABLED {
                // It ran although it was disabled: as such it cannot be started.
                services::set_start(service, ON_DEMAND, false)?;
                services::start(service)?;
                return services::set_start(service, DISABLED, false);
            }
            services::set_start(service, *start, *delayed)?;
            if *ran { services::start(service) } else { services::stop(service) }
        };
        back().map(|()| "done").map_err(|error: std::io::Error| error.to_string())
    }
}
