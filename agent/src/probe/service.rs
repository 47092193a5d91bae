//! `service`: whether a unit is installed and enabled, by the files of systemd.unit(5), and whether it is
//! active, by the service manager, which is asked once for all units.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aright_shared::content::probe::Service;
use aright_shared::posture::{ErrorCode, Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence, record};
use crate::activate::tool;

/// In order of precedence (systemd.unit(5)); /lib is /usr/lib where the two are one.
const FOLDERS: &[&str] = &[
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
];
/// Where links enable units: for good, and until the next boot.
const ENABLING: &[(&str, &str)] = &[
    ("/etc/systemd/system", "enabled"),
    ("/run/systemd/system", "enabled-runtime"),
    ("/run/systemd/generator.early", "enabled-runtime"),
    ("/run/systemd/generator", "enabled-runtime"),
    ("/run/systemd/generator.late", "enabled-runtime"),
];
/// What sd_booted(3) asks.
const BOOTED: &str = "/run/systemd/system";
const LIMIT: Duration = Duration::from_secs(10);
/// Most that the manager may say, in bytes: some ten thousand units.
const MOST_SAID: u64 = 4 * 1024 * 1024;

/// A record `installed, enabled, active`; a name without a type is that of a service.
pub(super) fn see(look: &Look<'_>, with: &Service) -> Seen {
    let unit = if with.name.contains('.') { with.name.clone() } else { format!("{}.service", with.name) };
    let pending = look.pending().is_some_and(|pending| {
        pending.units.iter().any(|name| *name == unit || Some(name.as_str()) == unit.strip_suffix(".service"))
    });
    let active = if pending { Reading::Pending } else { look.systemd().active(&unit) };
    let file = match file_of(look, &unit) {
        Ok(file) => file,
        Err(failed) => return Seen::of(failed.reading()),
    };
    let Some(path) = file else {
        let none = || Reading::Absent(Missing::Value);
        let fields =
            [("installed", Reading::Value(Value::Bool(false))), ("enabled", none()), ("active", none())];
        return Seen::value(record(fields), Vec::new());
    };
    let state = match state(look, &unit, &path) {
        Ok(state) => state,
        Err(failed) => return Seen::of(failed.reading()),
    };
    // An activation that enables or masks does it after the commit.
    let enabled = if pending { Reading::Pending } else { Reading::Value(Value::Text(state.to_owned())) };
    let shown = evidence(&path, Some(unit), &format!("{state}, {active}"));
    let fields = [("installed", Reading::Value(Value::Bool(true))), ("enabled", enabled), ("active", active)];
    Seen::value(record(fields), vec![shown])
}

/// The file of a unit, or of the template that it is made from.
fn file_of(look: &Look<'_>, unit: &str) -> Result<Option<String>, Failed> {
    let template = unit
        .split_once('@')
        .and_then(|(name, rest)| rest.rsplit_once('.').map(|(_, kind)| format!("{name}@.{kind}")));
    for name in [Some(unit.to_owned()), template].into_iter().flatten() {
        for folder in FOLDERS {
            let path = format!("{folder}/{name}");
            match look.root().meta(&path, false).map_err(Failed::from) {
                Ok(_) => return Ok(Some(path)),
                Err(Failed::Absent) => {}
                Err(failed) => return Err(failed),
            }
        }
    }
    Ok(None)
}

/// As `systemctl is-enabled` says it.
fn state(look: &Look<'_>, unit: &str, path: &str) -> Result<&'static str, Failed> {
    if let Ok(to) = look.root().link(path) {
        let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
        match to.as_str() {
            "/dev/null" if path.starts_with("/run/") => return Ok("masked-runtime"),
            "/dev/null" => return Ok("masked"),
            to if name(to) != name(path) => return Ok("alias"),
            _ => {}
        }
    }
    let text = match look.text(path) {
        Ok(text) => text,
        // A link that leads nowhere.
        Err(Failed::Absent) => return Ok("bad"),
        Err(failed) => return Err(failed),
    };
    if text.is_empty() {
        return Ok("masked");
    }
    if path.starts_with("/run/systemd/generator") {
        return Ok("generated");
    }
    if path.starts_with("/run/systemd/transient/") {
        return Ok("transient");
    }
    for (folder, word) in ENABLING {
        if wanted_in(look, folder, unit)? {
            return Ok(word);
        }
    }
    let installable = text.lines().any(|line| line.trim() == "[Install]");
    Ok(if installable { "disabled" } else { "static" })
}

/// Whether a link in a folder of wants or requirements names the unit, or an alias leads to its file.
fn wanted_in(look: &Look<'_>, folder: &str, unit: &str) -> Result<bool, Failed> {
    let names = match look.root().list(folder).map_err(Failed::from) {
        Ok(names) => names,
        Err(Failed::Absent) => return Ok(false),
        Err(failed) => return Err(failed),
    };
    for name in names {
        let path = format!("{folder}/{name}");
        let there = if name.ends_with(".wants") || name.ends_with(".requires") {
            named_in(look, &path, unit)?
        } else {
            let leads = |to: String| Path::new(&to).file_name().is_some_and(|file| file == unit);
            name != unit && look.root().link(&path).is_ok_and(leads)
        };
        if there {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The unit itself, or any that a template makes.
fn named_in(look: &Look<'_>, folder: &str, unit: &str) -> Result<bool, Failed> {
    let Some((template, kind)) = unit.split_once("@.") else {
        return Ok(look.root().link(&format!("{folder}/{unit}")).is_ok());
    };
    let made =
        |name: &String| name.starts_with(&format!("{template}@")) && name.ends_with(&format!(".{kind}"));
    Ok(look.root().list(folder).map_err(Failed::from)?.iter().any(made))
}

/// What the service manager says of its units.
#[derive(Debug)]
pub(crate) enum Units {
    /// Active state by name, aliases too; a unit that is not loaded is not there.
    Known(BTreeMap<String, String>),
    NoManager,
    Failed(String),
}

impl Units {
    pub(crate) fn ask(look: &Look<'_>) -> Self {
        if !look.is_of_this_host() || !Path::new(BOOTED).is_dir() {
            return Self::NoManager;
        }
        let Some(systemctl) = tool::find("systemctl") else { return Self::NoManager };
        let arguments = ["--no-pager", "show", "--property=Names,ActiveState", "--", "*"];
        match tool::ask(&systemctl, &arguments, LIMIT, MOST_SAID) {
            Ok(said) if said.len() as u64 >= MOST_SAID => {
                Self::Failed("the manager lists too many units".into())
            }
            Ok(said) => Self::Known(states(&said)),
            Err(error) => Self::Failed(error.to_string()),
        }
    }

    fn active(&self, unit: &str) -> Reading {
        let error = |code, detail: &str| Reading::Error { code, detail: detail.to_owned() };
        match self {
            Self::Known(states) => {
                let state = states.get(unit).map_or("inactive", String::as_str);
                Reading::Value(Value::Text(state.to_owned()))
            }
            Self::NoManager => error(ErrorCode::NotSupported, "no systemd runs here"),
            Self::Failed(why) => error(ErrorCode::ProbeFailed, why),
        }
    }
}

/// Paragraphs of `Names=a b` and `ActiveState=active`.
fn states(said: &str) -> BTreeMap<String, String> {
    let mut states = BTreeMap::new();
    for paragraph in said.split("\n\n") {
        let value = |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let (Some(names), Some(state)) = (value("Names"), value("ActiveState")) else { continue };
        states.extend(names.split(' ').map(|name| (name.to_owned(), state.to_owned())));
    }
    states
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::testing::{look_at, look_in};
    use super::super::{Pending, View};
    use super::*;

    const INSTALL: &str = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    const LIB: &str = "usr/lib/systemd/system";

    /// The enabled state of `ssh` in a tree with these links; each folder is made.
    fn enabled(unit: &str, text: &str, links: &[(&str, &str)]) -> String {
        let mut state = String::new();
        look_at(&[(&format!("{LIB}/ssh.service"), text), (&format!("{LIB}/getty@.service"), text)], |look| {
            for (link, to) in links {
                let link = look.on_disk(link);
                std::fs::create_dir_all(link.parent().expect("a folder")).expect("folder");
                symlink(to, link).expect("link");
            }
            let Reading::Value(Value::Record(fields)) = see(look, &Service { name: unit.into() }).reading
            else {
                panic!("a record")
            };
            state = format!("{} {}", fields["installed"], fields["enabled"]);
        });
        state
    }

    #[test]
    fn states_are_those_of_systemctl() {
        let to = "/usr/lib/systemd/system/ssh.service";
        let wants = [("etc/systemd/system/multi-user.target.wants/ssh.service", to)];
        assert_eq!(enabled("ssh", INSTALL, &wants), "true enabled");
        assert_eq!(enabled("ssh.service", INSTALL, &[]), "true disabled");
        assert_eq!(enabled("ssh", INSTALL, &[("etc/systemd/system/sshd.service", to)]), "true enabled");
        assert_eq!(enabled("ssh", "[Service]\n", &[]), "true static");
        assert_eq!(
            enabled("ssh", INSTALL, &[("etc/systemd/system/ssh.service", "/dev/null")]),
            "true masked"
        );
        let runtime = [("run/systemd/system/multi-user.target.wants/ssh.service", to)];
        assert_eq!(enabled("ssh", INSTALL, &runtime), "true enabled-runtime");
        let generated = [("run/systemd/generator/multi-user.target.wants/ssh.service", to)];
        assert_eq!(enabled("ssh", INSTALL, &generated), "true enabled-runtime");
        assert_eq!(enabled("ssh", "", &[]), "true masked");
        assert_eq!(enabled("telnet", INSTALL, &[]), "false absent");
        let getty = [("etc/systemd/system/getty.target.wants/getty@tty1.service", "x")];
        assert_eq!(enabled("getty@tty1.service", INSTALL, &getty), "true enabled");
        assert_eq!(enabled("getty@tty2.service", INSTALL, &getty), "true disabled");
        assert_eq!(enabled("getty@.service", INSTALL, &getty), "true enabled");
        assert_eq!(enabled("sshd", INSTALL, &[("etc/systemd/system/sshd.service", to)]), "true alias");
    }

    /// A service of /etc/init.d is one of the manager's through a generator.
    #[test]
    fn units_that_no_package_brings_are_installed_too() {
        let of = |folder: &str| {
            let mut state = String::new();
            look_at(&[(&format!("run/systemd/{folder}/old.service"), "[Service]\n")], |look| {
                state = see(look, &Service { name: "old".into() }).reading.to_string();
            });
            state
        };
        assert!(of("generator.late").contains("enabled generated, installed true"));
        assert!(of("transient").contains("enabled transient, installed true"));
    }

    #[test]
    fn a_prepared_tree_has_no_manager_and_an_activation_is_pending() {
        let files = [("usr/lib/systemd/system/ssh.service", INSTALL)];
        let with = Service { name: "ssh".into() };
        look_at(&files, |look| assert!(see(look, &with).reading.to_string().contains("not_supported")));
        let pending = Pending { units: ["ssh".into()].into(), ..Pending::default() };
        look_in(&View::Stage(pending), &files, |look| {
            let seen = see(look, &with).reading.to_string();
            assert_eq!(seen, "active pending, enabled pending, installed true");
        });
    }

    /// On a host with a manager, of every unit that has a file.
    #[test]
    fn the_manager_of_this_host_says_the_same() {
        let Some(systemctl) = tool::find("systemctl").filter(|_| Path::new(BOOTED).is_dir()) else {
            eprintln!("skipped: no systemd runs here");
            return;
        };
        let arguments = ["--no-pager", "show", "--property=Id,UnitFileState,ActiveState", "--", "*"];
        let said = tool::ask(&systemctl, &arguments, LIMIT, MOST_SAID).expect("says");
        let (root, view) = (crate::root::Root::live().expect("opens"), View::Live);
        let look = Look::new(&root, &view);
        let mut wrong = Vec::new();
        for paragraph in said.split("\n\n") {
            let value =
                |key: &str| paragraph.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            let (unit, state, active) = (value("Id="), value("UnitFileState="), value("ActiveState="));
            if state.is_empty() {
                continue;
            }
            let seen = see(&look, &Service { name: unit.into() }).reading.to_string();
            if seen != format!("active {active}, enabled {state}, installed true") {
                wrong.push(format!("{unit} is {state}, {active}: {seen}"));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn what_the_manager_says_is_kept_under_every_name() {
        let states = states(
            "Names=ssh.service sshd.service\nActiveState=active\n\nActiveState=failed\nNames=x.timer\n",
        );
        assert_eq!(states["sshd.service"], "active");
        assert_eq!(states["x.timer"], "failed");
        let known = Units::Known(states);
        assert_eq!(known.active("none.service"), Reading::Value(Value::Text("inactive".into())));
    }
}
