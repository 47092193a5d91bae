//! What a script may change, written as one string.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::probe::check_key;
use super::technology::Platform;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Touch {
    /// A file; the one it leads to if it is a link. `*` and `?` never cross `/`.
    File(String),
    /// `link:PATH`: the symbolic link itself.
    Link(String),
    /// `DIR/`: a folder's own mode and owner.
    Folder(String),
    /// `registry:KEY\VALUE`, or `registry:KEY\` for a key with its values.
    Registry(RegistryTouch),
    /// `service:NAME`: its start type.
    Service(String),
}

/// A value of the registry, or a key with its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryTouch {
    /// `HKLM\…`, without a backslash at its end.
    pub key: String,
    /// None: all values of the key.
    pub value: Option<String>,
}

impl Touch {
    /// Whether the path has wildcards.
    pub fn is_glob(&self) -> bool {
        matches!(self, Self::File(path) if path.contains(['*', '?', '[']))
    }

    pub fn platform(&self) -> Platform {
        match self {
            Self::File(path) if !has_drive(path) => Platform::Linux,
            Self::Link(_) | Self::Folder(_) => Platform::Linux,
            Self::File(_) | Self::Registry(_) | Self::Service(_) => Platform::Windows,
        }
    }

    /// Of two that name the same thing the same text: Windows knows no case.
    pub(super) fn folded(&self) -> String {
        match self.platform() {
            Platform::Linux => self.to_string(),
            Platform::Windows => self.to_string().to_lowercase(),
        }
    }
}

impl FromStr for Touch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("touches {text:?}: {why}");
        if text.is_empty() || text.len() > 4096 || text.contains(['\0', '\n']) {
            return Err(wrong("must be one line of 1 to 4096 characters"));
        }
        if let Some(rest) = text.strip_prefix("registry:") {
            return rest.parse().map(Self::Registry).map_err(|why: String| wrong(&why));
        }
        if let Some(name) = text.strip_prefix("service:") {
            check_service(name).map_err(wrong)?;
            return Ok(Self::Service(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("link:") {
            check_path(path).map_err(wrong)?;
            return Ok(Self::Link(path.to_owned()));
        }
        if has_drive(text) {
            check_drive_path(text).map_err(wrong)?;
            return Ok(Self::File(text.to_owned()));
        }
        let (path, is_folder) = text.strip_suffix('/').map_or((text, false), |folder| (folder, true));
        check_path(path).map_err(wrong)?;
        Ok(if is_folder { Self::Folder(path.to_owned()) } else { Self::File(path.to_owned()) })
    }
}

impl FromStr for RegistryTouch {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.rsplit_once('\\').unwrap_or((text, ""));
        check_key(key)?;
        if value.len() > 255 || value.contains(char::is_control) {
            return Err("a value's name has at most 255 bytes and no control characters".into());
        }
        Ok(Self { key: key.to_owned(), value: Some(value.to_owned()).filter(|value| !value.is_empty()) })
    }
}

/// `C:\…`
fn has_drive(path: &str) -> bool {
    matches!(path.as_bytes(), [letter, b':', b'\\', ..] if letter.is_ascii_alphabetic())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let odd = |part: &str| part.is_empty() || part == "." || part == "..";
    match path.strip_prefix('/') {
        Some(rest) if !rest.split('/').any(odd) => Ok(()),
        _ => Err("an absolute path without \"//\", \".\" and \"..\""),
    }
}

/// Exactly one file: no wildcards, and none of the spellings that Windows takes for another name.
fn check_drive_path(path: &str) -> Result<(), &'static str> {
    let odd = |part: &str| {
        part.is_empty()
            || part.ends_with(['.', ' '])
            || part.contains(|c: char| c.is_control() || "<>:\"/|?*".contains(c))
    };
    match path[3..].split('\\').any(odd) {
        true => {
            Err("a file on a drive, without wildcards, streams, \"..\", and parts that end in a dot or space")
        }
        false => Ok(()),
    }
}

fn check_service(name: &str) -> Result<(), &'static str> {
    let good = |c: char| c.is_ascii_alphanumeric() || "._-$ ".contains(c);
    match (1..=256).contains(&name.len()) && name.chars().all(good) && name.trim() == name {
        true => Ok(()),
        false => Err("a service is named by 1 to 256 letters, digits and \"._-$ \""),
    }
}

impl fmt::Display for Touch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::Link(path) => write!(f, "link:{path}"),
            Self::Folder(path) => write!(f, "{path}/"),
            Self::Registry(touch) => write!(f, "registry:{touch}"),
            Self::Service(name) => write!(f, "service:{name}"),
        }
    }
}

impl fmt::Display for RegistryTouch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\\{}", self.key, self.value.as_deref().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_one_spelling_and_a_platform() {
        let registry = |key: &str, value: Option<&str>| {
            Touch::Registry(RegistryTouch { key: key.into(), value: value.map(Into::into) })
        };
        let lsa = r"HKLM\SYSTEM\CurrentControlSet\Control\Lsa";
        for (text, touch, platform) in [
            ("/etc/a", Touch::File("/etc/a".into()), Platform::Linux),
            ("/etc/cron.d/", Touch::Folder("/etc/cron.d".into()), Platform::Linux),
            ("link:/etc/a", Touch::Link("/etc/a".into()), Platform::Linux),
            (r"C:\etc\a b", Touch::File(r"C:\etc\a b".into()), Platform::Windows),
            (&format!(r"registry:{lsa}\NoLMHash"), registry(lsa, Some("NoLMHash")), Platform::Windows),
            (&format!(r"registry:{lsa}\"), registry(lsa, None), Platform::Windows),
            ("service:MSSQL$A", Touch::Service("MSSQL$A".into()), Platform::Windows),
        ] {
            assert_eq!(text.parse(), Ok(touch.clone()), "{text}");
            assert_eq!((touch.to_string().as_str(), touch.platform()), (text, platform));
        }
    }

    #[test]
    fn what_names_nothing_or_more_than_it_says_is_refused() {
        for text in [
            "",
            "etc/a",
            "/etc/../a",
            "/etc//a",
            "/",
            r"C:\",
            r"C:\a\",
            r"C:\a\..\b",
            r"C:\a\.\b",
            r"C:\a.",
            r"C:\a ",
            r"C:\a:stream",
            r"C:\a/b",
            r"C:\*.ini",
            "C:a",
            r"\\server\share\a",
            r"link:C:\a",
            "registry:",
            r"registry:HKLM\",
            r"registry:HKLM\A",
            r"registry:HKCU\Software\A",
            r"registry:HKLM\A\\B",
            r"registry:HKLM\A\..\B\C",
            "registry:HKLM\\A\\B\u{7}",
            "registry:HKLM/A/B",
            "service:",
            r"service:a\b",
            "service: a",
            "service:a/b",
        ] {
            let why = text.parse::<Touch>().expect_err(text);
            assert!(why.contains(&format!("touches {text:?}")), "{why}");
        }
    }
}
