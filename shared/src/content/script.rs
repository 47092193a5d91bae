//! A script: body, interpreter, declared files, activation, parameters with their patterns, limits.
//! Its canonical bytes (RFC 8785) are what is stored, hashed, signed, sent and parsed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::Key;
use crate::outcome::words;

/// Largest body, in bytes.
pub const MAX_BODY: usize = 500 * 1000;
/// Time limit unless a script sets less, in seconds.
pub const TIMEOUT_S: u32 = 3600;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub aright: u32,
    pub kind: ScriptTag,
    pub key: Key,
    pub origin: Origin,
    pub title: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fixes: Vec<Fix>,
    pub risk: Risk,
    /// Confirmed only when controller and health probes are reached anew.
    #[serde(default)]
    pub lockout: bool,
    pub interpreter: Interpreter,
    #[serde(default)]
    pub confinement: Confine,
    #[serde(default = "timeout_s")]
    pub timeout_s: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, Param>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub touches: Vec<Touch>,
    /// Never-read paths that it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<String>,
    #[serde(default)]
    pub network: Network,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub activate: Vec<Activation>,
    #[serde(default)]
    pub reboot: Reboot,
    /// Partial progress is meant.
    #[serde(default)]
    pub keep_unfixed: bool,
    #[serde(default)]
    pub limits: Limits,
    pub body: String,
}

fn timeout_s() -> u32 {
    TIMEOUT_S
}

words! { ScriptTag { Script = "script", } }
words! { Origin { Library = "library", Custom = "custom", Imported = "imported", } }
words! { Risk { Safe = "safe", Disruptive = "disruptive", } }
words! { Interpreter { Sh = "sh", Bash = "bash", Python3 = "python3", Cmd = "cmd", Powershell = "powershell", } }
words! { Confine { Staged = "staged", Host = "host", } }
words! { Network { None = "none", Host = "host", } }
words! { Reboot { Never = "never", Maybe = "maybe", Needed = "needed", } }

impl Default for Confine {
    fn default() -> Self {
        Self::Staged
    }
}
impl Default for Network {
    fn default() -> Self {
        Self::None
    }
}
impl Default for Reboot {
    fn default() -> Self {
        Self::Never
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fix {
    pub control: Key,
    pub technologies: Vec<Key>,
    #[serde(default)]
    pub policies: Policies,
}

/// `any`, or the keys of the policies it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Policies {
    #[default]
    #[serde(with = "any")]
    Any,
    These(Vec<Key>),
}

mod any {
    use serde::{Deserialize, Deserializer, Serializer, de};
    pub fn serialize<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("any")
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
        match String::deserialize(from)?.as_str() {
            "any" => Ok(()),
            other => Err(de::Error::custom(format!("policies {other:?}: \"any\" or a list of keys"))),
        }
    }
}

/// A value that reaches the script as an environment variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Param {
    pub from: ParamFrom,
    /// Matched against the whole value.
    pub pattern: String,
}

/// `set`, `expect`, `{set: CONTROL}`, or `given`: by whoever makes the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamFrom {
    Set,
    Expect,
    Given,
    #[serde(untagged)]
    SetOf {
        set: Key,
    },
}

/// What a script may change, written as one string.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touch {
    /// A file; the one it leads to if it is a link. `*` and `?` never cross `/`.
    File(String),
    /// `link:PATH`: the symbolic link itself.
    Link(String),
    /// `DIR/`: a folder's own mode and owner.
    Folder(String),
    /// `registry:KEY\VALUE`, or `registry:KEY\` for a key with its values.
    Registry(String),
    /// `service:NAME`: its start type.
    Service(String),
}

impl Touch {
    /// Whether the path has wildcards.
    pub fn is_glob(&self) -> bool {
        matches!(self, Self::File(path) if path.contains(['*', '?', '[']))
    }
}

impl std::str::FromStr for Touch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 4096 || text.contains(['\0', '\n']) {
            return Err(format!("touches {text:?}: must be one line of 1 to 4096 characters"));
        }
        if let Some(rest) = text.strip_prefix("registry:") {
            return Ok(Self::Registry(rest.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("service:") {
            return Ok(Self::Service(rest.to_owned()));
        }
        if let Some(path) = text.strip_prefix("link:") {
            return Ok(Self::Link(plain_path(text, path)?));
        }
        // Windows paths start with a drive; on Linux everything is absolute.
        match text.strip_suffix('/') {
            Some(folder) => Ok(Self::Folder(plain_path(text, folder)?)),
            None => Ok(Self::File(plain_path(text, text)?)),
        }
    }
}

fn plain_path(text: &str, path: &str) -> Result<String, String> {
    let drive = path.len() > 2 && path.as_bytes()[1] == b':' && path.as_bytes()[2] == b'\\';
    if drive {
        return Ok(path.to_owned());
    }
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    match path.strip_prefix('/') {
        Some(rest) if !rest.split('/').any(odd) => Ok(path.to_owned()),
        _ => Err(format!("touches {text:?}: an absolute path without \"//\", \".\" and \"..\"")),
    }
}

impl std::fmt::Display for Touch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Link(path) => write!(f, "link:{path}"),
            Self::Folder(path) => write!(f, "{path}/"),
            Self::Registry(key) => write!(f, "registry:{key}"),
            Self::Service(name) => write!(f, "service:{name}"),
        }
    }
}

impl Serialize for Touch {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Touch {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the agent does after the commit; each has its check and its inverse. Lists of units name
/// alternatives: the first that exists is meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Reload(Vec<String>),
    Restart(Vec<String>),
    Enable(Vec<String>),
    Disable(Vec<String>),
    Mask(Vec<String>),
    /// Names whose persisted values are to take effect.
    Sysctl(Vec<String>),
    Remount(Vec<String>),
    /// `load_audit_rules: true`.
    LoadAuditRules(bool),
    UnloadModule(Vec<String>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processes: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stage_mb: Option<u32>,
}
