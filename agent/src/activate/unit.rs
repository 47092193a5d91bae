//! Units of the service manager, through systemctl(1).

use std::time::Instant;

use super::{Live, tool};
use crate::activate::tool::ToolError;

/// What systemd says of one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    load: String,
    active: String,
    file: String,
    restarts: String,
    can_reload: bool,
}

impl State {
    pub fn exists(&self) -> bool {
        !matches!(self.load.as_str(), "" | "not-found")
    }

    pub fn is_active(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing")
    }

    pub fn can_reload(&self) -> bool {
        self.can_reload
    }

    pub fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "enabled-runtime" | "alias")
    }

    pub fn is_masked(&self) -> bool {
        self.load == "masked" || self.file.starts_with("masked")
    }

    /// Of no install section: nothing that could be enabled or disabled.
    pub fn is_static(&self) -> bool {
        matches!(self.file.as_str(), "static" | "generated" | "transient" | "indirect")
    }
}

impl Live {
    /// Whether a service manager runs here that could be asked.
    pub fn has_manager(&self) -> bool {
        self.manager.is_dir()
    }

    pub fn unit(&self, name: &str) -> Result<State, ToolError> {
        let what = "--property=LoadState,ActiveState,UnitFileState,NRestarts,CanReload";
        let said = self.systemctl(&["show", what, "--", name])?;
        let mut state = State::default();
        for (key, value) in said.lines().filter_map(|line| line.split_once('=')) {
            match key {
                "LoadState" => value.clone_into(&mut state.load),
                "ActiveState" => value.clone_into(&mut state.active),
                "UnitFileState" => value.clone_into(&mut state.file),
                "NRestarts" => value.clone_into(&mut state.restarts),
                "CanReload" => state.can_reload = value == "yes",
                _ => {}
            }
        }
        Ok(state)
    }

    /// The first of `names` that exists.
    pub fn first_unit<'a>(&self, names: &'a [String]) -> Result<Option<(&'a str, State)>, ToolError> {
        for name in names {
            let state = self.unit(name)?;
            if state.exists() {
                return Ok(Some((name, state)));
            }
        }
        Ok(None)
    }

    pub fn systemctl(&self, arguments: &[&str]) -> Result<String, ToolError> {
        let mut all = vec!["--no-pager", "--no-ask-password"];
        all.extend(arguments);
        tool::run(&self.systemctl, &all, self.patience)
    }

    /// Waits until the unit is active, and sees that it stays so for a moment.
    ///
    /// # Errors
    /// One sentence on what it did instead.
    pub fn stays_active(&self, name: &str) -> Result<(), String> {
        let unit = || self.unit(name).map_err(|error| error.to_string());
        let deadline = Instant::now() + self.patience;
        let mut seen = unit()?;
        while seen.active != "active" {
            let on_its_way = matches!(seen.active.as_str(), "activating" | "reloading" | "refreshing");
            if !on_its_way || Instant::now() >= deadline {
                return Err(format!("{name} is {} instead of active", seen.active));
            }
            std::thread::sleep(self.glance);
            seen = unit()?;
        }
        let steady = Instant::now() + self.moment;
        while Instant::now() < steady {
            std::thread::sleep(self.glance);
            let now = unit()?;
            if now.active != "active" || now.restarts != seen.restarts {
                return Err(format!("{name} came back and did not stay: it is {}", now.active));
            }
        }
        Ok(())
    }
}

/// Where systemd says that it runs as the service manager (sd_booted(3)).
pub const MANAGER: &str = "/run/systemd/system";
