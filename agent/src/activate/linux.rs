//! Linux: units by systemctl, parameters and mounts of the kernel, modules.
//!
//! | kind | done by | holds already | checked | inverse |
//! |---|---|---|---|---|
//! | reload, restart | systemctl | never (an inactive unit need not reload) | active, and stays so until the end | the same, once the files are back; stop what was not active |
//! | enable | systemctl | enabled | enabled | disable |
//! | disable, mask | systemctl, `--now` | disabled or masked, and inactive | the same | enable or unmask; start what was active |
//! | sysctl | `/proc/sys` | value equal | value read back | the old value |
//! | remount | mount | options of fstab in force | the same | the old options |
//! | `load_audit_rules` | augenrules | never | its exit code | the same, once the files are back |
//! | `unload_module` | modprobe | not loaded | not loaded | load |

pub mod kernel;
pub mod tool;
pub mod unit;

use std::path::PathBuf;
use std::time::Duration;

use aright_shared::content::script::Activation;
use serde::{Deserialize, Serialize};

use super::Plan;
use kernel::{Parameters, fstab_options, module_loaded, mount_options, words};
pub use unit::Awake;
use unit::State;

/// The running system, as activations meet it.
#[derive(Clone, Debug)]
pub struct Live {
    pub systemctl: PathBuf,
    /// There while the service manager runs.
    pub manager: PathBuf,
    /// Of the host: `proc`, `sys`, `etc/fstab` are looked for below it.
    pub root: PathBuf,
    /// How long one tool, or one unit on its way, may take.
    pub patience: Duration,
    /// How long a unit must stay active after a reload to count as back.
    pub moment: Duration,
    /// The same after a restart: a program takes its time to find its settings wrong.
    pub longer_moment: Duration,
    /// Between two looks.
    pub glance: Duration,
}

impl Live {
    /// This machine.
    pub fn here() -> Self {
        Self {
            systemctl: tool::find("systemctl").unwrap_or_else(|| "/usr/bin/systemctl".into()),
            manager: unit::MANAGER.into(),
            root: "/".into(),
            patience: Duration::from_secs(90),
            moment: Duration::from_millis(250),
            longer_moment: Duration::from_secs(1),
            glance: Duration::from_millis(25),
        }
    }

    fn parameters(&self) -> Parameters {
        Parameters::at(&self.root.join("proc/sys"))
    }
}

/// How to go back, with what was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inverse {
    Reload {
        unit: String,
        was_active: bool,
    },
    Restart {
        unit: String,
        was_active: bool,
        #[serde(default)]
        was_failed: bool,
    },
    Disable {
        unit: String,
    },
    Enable {
        unit: String,
        was_active: bool,
    },
    Unmask {
        unit: String,
        was_active: bool,
        was_enabled: bool,
    },
    Sysctl {
        name: String,
        old: String,
        set: String,
    },
    Remount {
        path: String,
        options: String,
    },
    LoadAuditRules,
    LoadModule {
        name: String,
    },
}

/// One thing of an [`Activation`], whose lists name several (or, for units, alternatives).
#[derive(Clone, Copy, Debug)]
pub(super) enum Deed<'a> {
    Reload(&'a [String]),
    Restart(&'a [String]),
    Enable(&'a [String]),
    Disable(&'a [String]),
    Mask(&'a [String]),
    Sysctl(&'a str),
    Remount(&'a str),
    LoadAuditRules,
    UnloadModule(&'a str),
}

pub(super) fn deeds(activation: &Activation) -> Vec<Deed<'_>> {
    match activation {
        Activation::Reload(units) => vec![Deed::Reload(units)],
        Activation::Restart(units) => vec![Deed::Restart(units)],
        Activation::Enable(units) => vec![Deed::Enable(units)],
        Activation::Disable(units) => vec![Deed::Disable(units)],
        Activation::Mask(units) => vec![Deed::Mask(units)],
        Activation::Sysctl(names) => names.iter().map(|name| Deed::Sysctl(name)).collect(),
        Activation::Remount(paths) => paths.iter().map(|path| Deed::Remount(path)).collect(),
        Activation::LoadAuditRules(wanted) => wanted.then_some(Deed::LoadAuditRules).into_iter().collect(),
        Activation::UnloadModule(names) => names.iter().map(|name| Deed::UnloadModule(name)).collect(),
    }
}

impl std::fmt::Display for Deed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reload(units) => write!(f, "reload {}", units.join(" or ")),
            Self::Restart(units) => write!(f, "restart {}", units.join(" or ")),
            Self::Enable(units) => write!(f, "enable {}", units.join(" or ")),
            Self::Disable(units) => write!(f, "disable {}", units.join(" or ")),
            Self::Mask(units) => write!(f, "mask {}", units.join(" or ")),
            Self::Sysctl(name) => write!(f, "sysctl {name}"),
            Self::Remount(path) => write!(f, "remount {path}"),
            Self::LoadAuditRules => f.write_str("load_audit_rules"),
            Self::UnloadModule(name) => write!(f, "unload_module {name}"),
        }
    }
}

const HELD: &str = "already held";
const NOT_RUNNING: &str = "not running";

impl Deed<'_> {
    /// Looks, and changes nothing.
    pub(super) fn plan(
        self,
        live: &Live,
        persisted: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Plan, String> {
        match self {
            Self::Reload(units)
            | Self::Restart(units)
            | Self::Enable(units)
            | Self::Disable(units)
            | Self::Mask(units) => {
                if !live.has_manager() {
                    return Ok(Plan::Already(NOT_RUNNING));
                }
                match live.first_unit(units).map_err(|error| error.to_string())? {
                    None => Ok(Plan::Already("no such unit")),
                    Some((unit, state)) => self.plan_unit(unit, &state),
                }
            }
            Self::Sysctl(name) => {
                let wanted = persisted(name).ok_or_else(|| format!("no file gives {name} a value"))?;
                match live.parameters().get(name)? {
                    None => Err("this kernel has no such parameter".to_owned()),
                    Some(now) if now == words(&wanted) => Ok(Plan::Already(HELD)),
                    Some(old) => {
                        Ok(does(None, Inverse::Sysctl { name: name.to_owned(), old, set: words(&wanted) }))
                    }
                }
            }
            Self::Remount(path) => {
                let (now, wanted) = (live.mounted(path)?, live.fstab(path)?);
                if holds(&now, &wanted) {
                    return Ok(Plan::Already(HELD));
                }
                Ok(does(None, Inverse::Remount { path: path.to_owned(), options: now.join(",") }))
            }
            Self::LoadAuditRules => Ok(does(None, Inverse::LoadAuditRules)),
            Self::UnloadModule(name) if live.loaded(name) => {
                Ok(does(None, Inverse::LoadModule { name: name.to_owned() }))
            }
            Self::UnloadModule(_) => Ok(Plan::Already(HELD)),
        }
    }

    fn plan_unit(self, unit: &str, state: &State) -> Result<Plan, String> {
        let (name, was_active, was_enabled) = (unit.to_owned(), state.is_active(), state.is_enabled());
        let was_failed = state.is_failed();
        let inverse = match self {
            Self::Reload(_) if !was_active => return Ok(Plan::Already(NOT_RUNNING)),
            Self::Reload(_) if !state.can_reload() => {
                return Err(format!("{unit} cannot reload: declare a restart"));
            }
            Self::Reload(_) => Inverse::Reload { unit: name, was_active },
            Self::Restart(_) => Inverse::Restart { unit: name, was_active, was_failed },
            Self::Enable(_) if was_enabled || state.is_static() => return Ok(Plan::Already(HELD)),
            Self::Enable(_) => Inverse::Disable { unit: name },
            Self::Disable(_) if !was_enabled && !was_active => return Ok(Plan::Already(HELD)),
            Self::Disable(_) if was_enabled => Inverse::Enable { unit: name, was_active },
            Self::Disable(_) => Inverse::Restart { unit: name, was_active, was_failed },
            Self::Mask(_) if state.is_masked() && !was_active => return Ok(Plan::Already(HELD)),
            _ => Inverse::Unmask { unit: name, was_active, was_enabled },
        };
        Ok(does(Some(unit.to_owned()), inverse))
    }

    pub(super) fn perform(
        self,
        live: &Live,
        unit: Option<&str>,
        persisted: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Awake>, String> {
        let unit = unit.unwrap_or_default();
        match self {
            Self::Reload(_) => return live.wake("reload", unit).map(Some),
            Self::Restart(_) => return live.wake("restart", unit).map(Some),
            Self::Enable(_) => {
                live.order(&["enable", "--", unit])?;
                live.is_now(unit, "enabled", State::is_enabled)
            }
            Self::Disable(_) => {
                live.order(&["disable", "--now", "--", unit])?;
                live.is_now(unit, "disabled and stopped", |state| !state.is_enabled() && !state.is_active())
            }
            Self::Mask(_) => {
                live.order(&["mask", "--now", "--", unit])?;
                live.is_now(unit, "masked and stopped", |state| state.is_masked() && !state.is_active())
            }
            Self::Sysctl(name) => live.parameters().set(name, &persisted(name).unwrap_or_default()),
            Self::Remount(path) => {
                live.tool("mount", &["-o", "remount", "--", path])?;
                let (now, wanted) = (live.mounted(path)?, live.fstab(path)?);
                match holds(&now, &wanted) {
                    true => Ok(()),
                    false => Err(format!(
                        "{path} is mounted {} after it was to be {}",
                        now.join(","),
                        wanted.join(",")
                    )),
                }
            }
            Self::LoadAuditRules => live.tool("augenrules", &["--load"]),
            Self::UnloadModule(name) => {
                live.tool("modprobe", &["-r", "--", name])?;
                if live.loaded(name) { Err(format!("{name} is still loaded")) } else { Ok(()) }
            }
        }
        .map(|()| None)
    }
}

fn does(unit: Option<String>, inverse: Inverse) -> Plan {
    Plan::Do { unit, inverse }
}

/// Options that say nothing about a mount in force, or are the mount program's own.
fn holds(now: &[String], wanted: &[String]) -> bool {
    let silent = |option: &str| {
        let own = [
            "defaults", "auto", "noauto", "nofail", "user", "nouser", "users", "_netdev", "rw", "suid",
            "dev", "exec",
        ];
        own.contains(&option) || option.starts_with("x-") || option.starts_with("comment=")
    };
    wanted.iter().filter(|option| !silent(option)).all(|option| now.contains(option))
}

impl Inverse {
    pub(super) fn perform(&self, live: &Live) -> Result<&'static str, String> {
        let manager =
            || if live.has_manager() { Ok(()) } else { Err("the service manager is gone".to_owned()) };
        match self {
            Self::Reload { unit, was_active } => {
                manager()?;
                live.bring_back(unit, *was_active, false, "reload")?;
            }
            Self::Restart { unit, was_active, was_failed } => {
                manager()?;
                live.bring_back(unit, *was_active, *was_failed, "restart")?;
            }
            Self::Disable { unit } => live.order(&["disable", "--", unit])?,
            Self::Enable { unit, was_active } => {
                live.order(&["enable", "--", unit])?;
                live.start_if(unit, *was_active)?;
            }
            Self::Unmask { unit, was_active, was_enabled } => {
                live.order(&["unmask", "--", unit])?;
                if *was_enabled {
                    live.order(&["enable", "--", unit])?;
                }
                live.start_if(unit, *was_active)?;
            }
            Self::Sysctl { name, old, set } => return live.set_back(name, old, set),
            Self::Remount { path, options } => {
                live.tool("mount", &["-o", &format!("remount,{options}"), "--", path])?
            }
            Self::LoadAuditRules => live.tool("augenrules", &["--load"])?,
            Self::LoadModule { name } if live.loaded(name) => return Ok(HELD),
            Self::LoadModule { name } => live.tool("modprobe", &["--", name])?,
        }
        Ok("done")
    }
}

impl Live {
    fn tool(&self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let path = tool::find(name).ok_or_else(|| format!("{name} is not installed"))?;
        tool::run(&path, arguments, self.patience).map(drop).map_err(|error| error.to_string())
    }

    fn is_now(&self, unit: &str, what: &str, holds: impl Fn(&State) -> bool) -> Result<(), String> {
        let state = self.unit(unit).map_err(|error| error.to_string())?;
        if holds(&state) { Ok(()) } else { Err(format!("{unit} is not {what}: {state:?}")) }
    }

    /// A value that somebody else has set since is left alone.
    fn set_back(&self, name: &str, old: &str, set: &str) -> Result<&'static str, String> {
        match self.parameters().get(name)? {
            Some(now) if now == old => Ok(HELD),
            Some(now) if now == set => self.parameters().set(name, old).map(|()| "done"),
            now => Err(format!("{name} is {} and was set to {set}: left as it is", now.unwrap_or_default())),
        }
    }

    fn mounted(&self, path: &str) -> Result<Vec<String>, String> {
        let options = mount_options(&self.root.join("proc/self/mountinfo"), path)?;
        options.ok_or_else(|| format!("nothing is mounted on {path}"))
    }

    fn fstab(&self, path: &str) -> Result<Vec<String>, String> {
        let options = fstab_options(&self.root.join("etc/fstab"), path)?;
        options.ok_or_else(|| format!("/etc/fstab has no entry for {path}"))
    }

    fn loaded(&self, name: &str) -> bool {
        module_loaded(&self.root.join("sys/module"), name)
    }
}

#[cfg(test)]
mod tests;
