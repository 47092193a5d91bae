//! Units of the service manager, through systemctl(1).

use std::time::{Duration, Instant};

use aright_shared::time::{Clock as _, Millis, SECOND, WallClock};

use super::{Live, tool};
use crate::activate::tool::ToolError;
use crate::mask::mask;

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

    pub fn is_failed(&self) -> bool {
        self.active == "failed"
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

    fn instead_of_staying(&self, name: &str) -> String {
        match self.is_active() {
            true => format!("{name} came back and did not stay: it was started anew"),
            false => format!("{name} came back and did not stay: it is {}", self.active),
        }
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

    pub fn order(&self, arguments: &[&str]) -> Result<(), String> {
        self.systemctl(arguments).map(drop).map_err(|error| match error {
            // What follows the first line tells people where to look by themselves.
            ToolError::Failed { said, .. } if !said.is_empty() => {
                said.lines().next().unwrap_or_default().to_owned()
            }
            other => other.to_string(),
        })
    }

    /// Gives a unit an order (`reload`, `restart` or `start`), and sees that it is active then and stays so.
    ///
    /// # Errors
    /// What it did instead, and its last words.
    pub fn wake(&self, verb: &str, unit: &str) -> Result<Awake, String> {
        let since = WallClock.now();
        let moment = if verb == "reload" { self.moment } else { self.longer_moment };
        if verb != "reload" {
            // A unit that was started often of late is refused, however well it does; an error says it was not.
            let _ = self.order(&["reset-failed", "--", unit]);
        }
        let seen = self.order(&[verb, "--", unit]).and_then(|()| self.stays_active(unit, moment));
        match seen {
            Ok(state) => Ok(Awake { unit: unit.to_owned(), restarts: state.restarts, since }),
            Err(why) => Err(self.with_last_words(unit, since, why)),
        }
    }

    /// Looks once more at a unit that came back.
    ///
    /// # Errors
    /// What it did instead of staying, and its last words.
    pub fn is_still(&self, awake: &Awake) -> Result<(), String> {
        let Awake { unit, restarts, since } = awake;
        let now = self.unit(unit).map_err(|error| error.to_string())?;
        if now.is_active() && now.restarts == *restarts {
            return Ok(());
        }
        Err(self.with_last_words(unit, *since, now.instead_of_staying(unit)))
    }

    /// The unit as it was before, reading the files that are back.
    pub fn bring_back(
        &self,
        unit: &str,
        was_active: bool,
        was_failed: bool,
        deed: &str,
    ) -> Result<(), String> {
        let state = self.unit(unit).map_err(|error| error.to_string())?;
        match (was_active, state.is_active()) {
            (true, true) => self.wake(deed, unit).map(drop),
            // It may hang in its start with the files that were bad: a mere start would wait for that one.
            (true, false) => self.wake("restart", unit).map(drop),
            (false, _) => {
                self.order(&["stop", "--", unit])?;
                if !was_failed {
                    // An error means that it has not failed now.
                    let _ = self.order(&["reset-failed", "--", unit]);
                }
                Ok(())
            }
        }
    }

    pub fn start_if(&self, unit: &str, was_active: bool) -> Result<(), String> {
        if was_active { self.wake("start", unit).map(drop) } else { Ok(()) }
    }

    /// Waits until the unit is active, and sees that it stays so for a moment.
    fn stays_active(&self, name: &str, moment: Duration) -> Result<State, String> {
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
        let steady = Instant::now() + moment;
        while Instant::now() < steady {
            std::thread::sleep(self.glance);
            let now = unit()?;
            if now.active != "active" || now.restarts != seen.restarts {
                return Err(now.instead_of_staying(name));
            }
        }
        Ok(seen)
    }

    /// With what the unit's own processes said since; nothing more where nobody keeps that.
    fn with_last_words(&self, unit: &str, since: Millis, why: String) -> String {
        let said = || -> Result<String, ToolError> {
            let journalctl = self.systemctl.with_file_name("journalctl");
            let show = |what: &str| self.systemctl(&["show", "--value", what, "--", unit]);
            // Of a process that ended at once journald may no longer find out the unit.
            let of_unit = format!("_SYSTEMD_UNIT={}", show("--property=Id")?.trim());
            let of_process = format!("_PID={}", show("--property=ExecMainPID")?.trim());
            let since = format!("--since=@{}.{:03}", since.0 / SECOND, since.0 % SECOND);
            tool::run(&journalctl, &["--sync"], self.patience)?;
            let how = ["--quiet", "--no-pager", "--output=cat", "--lines=3"];
            let all = [&how[..], &[&since, &of_unit, "+", &of_process]].concat();
            tool::run(&journalctl, &all, self.patience)
        };
        let said = said().unwrap_or_default();
        let mut lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.dedup();
        if lines.is_empty() {
            return why;
        }
        let words: String = lines.join(" | ").chars().take(MOST_WORDS).collect();
        format!("{}; its last words: {}", why.trim_end_matches('.'), mask(&words))
    }
}

/// Most characters of a unit's last words.
const MOST_WORDS: usize = 500;

/// A unit that was brought back, and how it stood then.
#[derive(Clone, Debug)]
pub struct Awake {
    unit: String,
    restarts: String,
    since: Millis,
}

impl Awake {
    pub fn is_same(&self, other: &Self) -> bool {
        self.unit == other.unit
    }
}

/// Where systemd says that it runs as the service manager (sd_booted(3)).
pub const MANAGER: &str = "/run/systemd/system";
