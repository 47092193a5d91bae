//! A script: body, interpreter, declared files, activation, parameters with their patterns, limits.
//! Its canonical bytes (RFC 8785) are what is stored, hashed, signed, sent and parsed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::control::Check;
pub use super::interpreter::Interpreter;
use super::pattern::Pattern;
pub use super::touch::{RegistryTouch, Touch};
use super::{ContentError, Document, Kind, parse_one};
use crate::digest::Digest;
use crate::envelope::canonical;
use crate::id::Key;
use crate::outcome::words;
use crate::posture::Spot;

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
    /// Checked on the host before anything runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub guard: Vec<Check>,
    #[serde(default)]
    pub reboot: Reboot,
    /// Partial progress is meant.
    #[serde(default)]
    pub keep_unfixed: bool,
    #[serde(default)]
    pub limits: Limits,
    /// Keys of scripts that must run before, and that must not run with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requires: Vec<Key>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conflicts: Vec<Key>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    pub body: String,
}

fn timeout_s() -> u32 {
    TIMEOUT_S
}

words! { ScriptTag { Script = "script", } }
words! { Origin { Library = "library", Custom = "custom", Imported = "imported", } }
words! { Risk { Safe = "safe", Disruptive = "disruptive", } }
words! { #[derive(Default)] Confine { #[default] Staged = "staged", Host = "host", } }
words! { #[derive(Default)] Network { #[default] None = "none", Host = "host", } }
words! { #[derive(Default)] Reboot { #[default] Never = "never", Maybe = "maybe", Needed = "needed", } }

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

/// Longest value of a parameter, in bytes.
const MAX_VALUE: usize = 4096;

impl Fix {
    pub fn is_for(&self, spot: &Spot) -> bool {
        self.control == spot.control && self.technologies.contains(&spot.technology)
    }
}

impl Param {
    /// Whether a value matches the signed pattern as a whole: one line, and for `cmd`, which pastes its
    /// variables, only `[A-Za-z0-9._-]`.
    pub fn accepts(&self, interpreter: &Interpreter, value: &str) -> bool {
        let tame = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        value.len() <= MAX_VALUE
            && !value.contains(char::is_control)
            && (*interpreter != Interpreter::Cmd || value.chars().all(tame))
            && Pattern::whole(&self.pattern).is_ok_and(|pattern| pattern.is_match(value) == Ok(true))
    }
}

impl Script {
    /// Reads one script from YAML.
    ///
    /// # Errors
    /// Not YAML, not a script, a field out of bounds: field, value and remedy are named.
    pub fn from_yaml(text: &str) -> Result<Self, ContentError> {
        parse_one(Kind::Script, text, |document| match document {
            Document::Script(script) => Some(*script),
            Document::Technology(_) | Document::Control(_) | Document::Policy(_) => None,
        })
    }

    /// The bytes that are stored, hashed, signed, sent and parsed (RFC 8785).
    pub fn canonical(&self) -> Vec<u8> {
        canonical(self).expect("texts, numbers and lists are always JSON")
    }

    pub fn digest(&self) -> Digest {
        Digest::of(&self.canonical())
    }

    /// Reads canonical bytes, and only those: what is said twice, spelled otherwise or unknown is refused.
    ///
    /// # Errors
    /// Other bytes than [`Script::canonical`] makes of what they say.
    pub fn parse_canonical(bytes: &[u8]) -> Result<Self, ContentError> {
        let unread = |why: String| ContentError::document(Kind::Script, None, why);
        if bytes.len() > 2 * MAX_BODY {
            return Err(unread(format!("{} bytes; the limit is {}", bytes.len(), 2 * MAX_BODY)));
        }
        let script: Self = serde_json::from_slice(bytes).map_err(|error| unread(error.to_string()))?;
        script.check().map_err(|why| ContentError::document(Kind::Script, Some(&script.key), why))?;
        if script.canonical() != bytes {
            return Err(unread("not the canonical bytes (RFC 8785) of what it says".into()));
        }
        Ok(script)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.aright != 1 {
            return Err(format!("aright: {} is a newer format than this program reads (1)", self.aright));
        }
        if self.body.len() > MAX_BODY {
            return Err(format!("body: {} bytes; the limit is {MAX_BODY} (500 kB)", self.body.len()));
        }
        if self.body.trim().is_empty() || self.body.contains('\0') {
            return Err("body: is empty, or has a NUL byte".into());
        }
        if !(1..=TIMEOUT_S).contains(&self.timeout_s) {
            return Err(format!("timeout_s: {} must lie between 1 and {TIMEOUT_S}", self.timeout_s));
        }
        for (name, param) in &self.params {
            let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
            if !name.starts_with("ARIGHT_") || !name.chars().all(good) || name.len() > 64 {
                return Err(format!("params {name:?}: must look like ARIGHT_NAME, of A-Z, 0-9 and _"));
            }
            Pattern::whole(&param.pattern).map_err(|error| format!("params {name}: {error}"))?;
        }
        self.check_touches()?;
        let odd = |path: &&String| !path.starts_with('/') || path.split('/').any(|part| part == "..");
        if let Some(path) = self.reads.iter().find(odd) {
            return Err(format!("reads: {path:?} must be an absolute path without \"..\""));
        }
        self.activate.iter().try_for_each(Activation::check)
    }

    fn check_touches(&self) -> Result<(), String> {
        let platform = self.interpreter.platform();
        if let Some(odd) = self.touches.iter().find(|touch| touch.platform() != platform) {
            return Err(format!(
                "touches: {odd} is of {}, the interpreter {} of {platform}",
                odd.platform(),
                self.interpreter
            ));
        }
        let folded: Vec<String> = self.touches.iter().map(Touch::folded).collect();
        match folded.iter().enumerate().find(|(n, one)| folded[..*n].contains(one)) {
            Some((n, _)) => Err(format!("touches: {} stands there twice", self.touches[n])),
            None => Ok(()),
        }
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

impl Activation {
    fn check(&self) -> Result<(), String> {
        let (what, names, more) = match self {
            Self::Reload(units) => ("reload", units, "@.:_-\\"),
            Self::Restart(units) => ("restart", units, "@.:_-\\"),
            Self::Enable(units) => ("enable", units, "@.:_-\\"),
            Self::Disable(units) => ("disable", units, "@.:_-\\"),
            Self::Mask(units) => ("mask", units, "@.:_-\\"),
            Self::Sysctl(names) => ("sysctl", names, "._-/"),
            Self::Remount(paths) => ("remount", paths, "/._-"),
            Self::UnloadModule(modules) => ("unload_module", modules, "_-"),
            Self::LoadAuditRules(_) => return Ok(()),
        };
        // The first character must be no dash: names become arguments of programs.
        let good = |name: &String| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
                && !name.contains("..")
        };
        if names.is_empty() {
            return Err(format!("activate {what}: name at least one"));
        }
        match names.iter().find(|name| !good(name)) {
            Some(name) => {
                Err(format!("activate {what}: {name:?} may hold only letters, digits and {more:?}"))
            }
            None => Ok(()),
        }
    }
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
