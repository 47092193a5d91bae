//! What a check looks at: one variant a probe, its parameters checked when content is loaded.
//! The probes themselves live in the agent.

use serde::{Deserialize, Serialize};

use super::control::DataType;
use super::pattern::Pattern;

/// A probe with its parameters: `probe: NAME`, `with: {…}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "probe", content = "with", rename_all = "snake_case", deny_unknown_fields)]
pub enum Probe {
    FileContent(FileContent),
    ConfigValue(ConfigValue),
    FileAttributes(FileAttributes),
    Package(Package),
    Service(Service),
    Account(Account),
    KernelParameter(KernelParameter),
    Mount(Mount),
    KernelModule(KernelModule),
    SshdOption(SshdOption),
    RegistryValue(RegistryValue),
    Os(Os),
}

/// Matches of a pattern in one or more files: a list of the first group, else of the whole match.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileContent {
    /// Paths or globs, in order.
    pub files: Vec<String>,
    /// At most one group.
    pub regex: String,
    #[serde(default)]
    pub ignore_case: bool,
    /// Lines that begin with `#` are left out.
    #[serde(default)]
    pub skip_comments: bool,
}

/// The value of a key in configuration files.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigValue {
    /// In the order in which the program reads them; globs are sorted by name.
    pub files: Vec<String>,
    pub syntax: Syntax,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    pub key: String,
    /// Which occurrence the program believes.
    #[serde(default)]
    pub wins: Wins,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Syntax {
    /// `KEY value`, as login.defs(5).
    KeySpace,
    /// `KEY=value` from the first column, taken as it stands: /etc/default/useradd.
    KeyEquals,
    /// `KEY=value` as a shell takes it, with quotes and `export`: files that are sourced.
    Shell,
    /// `[section]` and `key = value`.
    Ini,
    /// As systemd.syntax(7): an empty value resets. Of the files those in a folder `….d` are drop-ins, which
    /// replace and follow each other as systemd has it, in whatever order they are named.
    Systemd,
    /// `Defaults` of sudoers(5): the key is the option's name.
    Sudoers,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wins {
    First,
    #[default]
    Last,
}

/// A record `owner, group, mode, type, size`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileAttributes {
    /// `{instance}` stands for the instance.
    pub path: String,
    #[serde(default = "yes")]
    pub follow: bool,
}

fn yes() -> bool {
    true
}

/// The installed version of a package, or absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    pub name: String,
}

/// A record `installed, enabled, active`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    pub name: String,
}

/// One field of the rows of an account table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    pub table: Table,
    /// All must hold; each names a field and the values it may have.
    #[serde(default, rename = "where")]
    pub only: std::collections::BTreeMap<String, Vec<String>>,
    pub field: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Table {
    Users,
    Shadow,
    Group,
}

/// A record `runtime, persisted`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelParameter {
    /// Dotted; `{instance}` stands for the instance.
    pub name: String,
}

/// A record `device, type, options, fstab`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub point: String,
}

/// A record `loaded, denied`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelModule {
    /// `{instance}` stands for the instance.
    pub name: String,
}

/// The value that sshd takes, by its own rules and defaults.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SshdOption {
    pub option: String,
    #[serde(default = "sshd_config")]
    pub config: String,
}

fn sshd_config() -> String {
    "/etc/ssh/sshd_config".into()
}

/// A value of the Windows registry: a number for `REG_DWORD` and `REG_QWORD`, text for `REG_SZ` and
/// `REG_EXPAND_SZ`, a list for `REG_MULTI_SZ`, hexadecimal text for `REG_BINARY`; of the 64-bit view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryValue {
    /// `HKLM\…`; `{instance}` stands for the instance.
    pub key: String,
    pub name: String,
}

/// What the system says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Os {
    pub field: OsField,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OsField {
    Id,
    Version,
    Family,
    Arch,
    Kernel,
    Container,
}

/// What a probe yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A single value, of the type that the control says.
    Single,
    List,
    Record(&'static [(&'static str, DataType)]),
}

/// What stands for the instance in a path or name.
pub const INSTANCE: &str = "{instance}";

impl Probe {
    /// What it yields; where that depends on a setting's value, `None`.
    pub fn shape(&self) -> Option<Shape> {
        use DataType as T;
        Some(match self {
            Self::FileContent(_) | Self::Account(_) => Shape::List,
            Self::ConfigValue(_) | Self::Package(_) | Self::RegistryValue(_) | Self::Os(_) => Shape::Single,
            // Algorithms are lists, all else is single.
            Self::SshdOption(_) => return None,
            Self::FileAttributes(_) => Shape::Record(&[
                ("owner", T::String),
                ("group", T::String),
                ("mode", T::Mode),
                ("type", T::String),
                ("size", T::Integer),
            ]),
            Self::Service(_) => {
                Shape::Record(&[("installed", T::Boolean), ("enabled", T::String), ("active", T::String)])
            }
            Self::KernelParameter(_) => Shape::Record(&[("runtime", T::Integer), ("persisted", T::Integer)]),
            Self::Mount(_) => Shape::Record(&[
                ("device", T::String),
                ("type", T::String),
                ("options", T::StringList),
                ("fstab", T::StringList),
            ]),
            Self::KernelModule(_) => Shape::Record(&[("loaded", T::Boolean), ("denied", T::Boolean)]),
        })
    }

    /// Whether any setting names `{instance}`.
    pub fn names_instance(&self) -> bool {
        self.at("") != *self
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// The field, its value and the remedy.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::FileContent(with) => {
                let groups = Pattern::search(&with.regex)?.groups();
                if groups > 1 {
                    return Err(format!(
                        "regex {:?} has {groups} groups; at most one, use (?:…) for the others",
                        with.regex
                    ));
                }
                check_paths(&with.files)
            }
            Self::ConfigValue(with) => check_paths(&with.files),
            Self::FileAttributes(with) => check_paths(std::slice::from_ref(&with.path)),
            Self::SshdOption(with) => check_paths(std::slice::from_ref(&with.config)),
            Self::Mount(with) => check_paths(std::slice::from_ref(&with.point)),
            Self::KernelParameter(with) => check_name("name", &with.name, "._-/{}"),
            Self::KernelModule(with) => check_name("name", &with.name, "_-{}"),
            Self::Package(with) => check_name("name", &with.name, ".+-{}"),
            Self::Service(with) => check_name("name", &with.name, "@.:_-{}"),
            Self::RegistryValue(with) => check_registry(with),
            Self::Account(_) | Self::Os(_) => Ok(()),
        }
    }

    /// The same probe for one instance.
    pub fn at(&self, instance: &str) -> Self {
        let put = |text: &String| text.replace(INSTANCE, instance);
        let mut probe = self.clone();
        match &mut probe {
            Self::FileAttributes(with) => with.path = put(&with.path),
            Self::KernelParameter(with) => with.name = put(&with.name),
            Self::KernelModule(with) => with.name = put(&with.name),
            Self::Service(with) => with.name = put(&with.name),
            Self::FileContent(with) => with.files.iter_mut().for_each(|file| *file = put(file)),
            Self::ConfigValue(with) => with.files.iter_mut().for_each(|file| *file = put(file)),
            Self::Mount(with) => with.point = put(&with.point),
            Self::Package(with) => with.name = put(&with.name),
            Self::SshdOption(with) => with.config = put(&with.config),
            Self::RegistryValue(with) => with.key = put(&with.key),
            Self::Account(_) | Self::Os(_) => {}
        }
        probe
    }
}

fn check_paths(paths: &[String]) -> Result<(), String> {
    if paths.is_empty() {
        return Err("files: name at least one".into());
    }
    match paths.iter().find(|path| {
        !(path.starts_with('/') || path.starts_with(INSTANCE)) || path.split('/').any(|part| part == "..")
    }) {
        Some(path) => Err(format!("path {path:?}: must be absolute and without \"..\"")),
        None => Ok(()),
    }
}

fn check_registry(with: &RegistryValue) -> Result<(), String> {
    check_key(&with.key).map_err(|why| format!("key {:?}: {why}", with.key))?;
    let odd = |c: char| c.is_control() || c == '\\';
    if with.name.is_empty() || with.name.len() > 255 || with.name.contains(odd) {
        return Err(format!("name {:?}: 1 to 255 characters, no backslash", with.name));
    }
    Ok(())
}

/// Whether a text names a key of the machine's registry, as `HKLM\SOFTWARE\…`.
///
/// # Errors
/// What it should look like.
pub fn check_key(key: &str) -> Result<(), String> {
    let odd =
        |part: &str| part.is_empty() || part == ".." || part.len() > 255 || part.contains(char::is_control);
    match key.strip_prefix("HKLM\\") {
        Some(rest) if rest.len() <= 1024 && !rest.split('\\').any(odd) => Ok(()),
        _ => {
            Err("must be a key below HKLM, such as HKLM\\SOFTWARE\\Policies, without a backslash at its end"
                .into())
        }
    }
}

fn check_name(field: &str, name: &str, more: &str) -> Result<(), String> {
    if !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c)) {
        return Ok(());
    }
    Err(format!("{field} {name:?}: only letters, digits and {more:?}"))
}
