//! What a thing of this host is, apart from its times: a file with its access list, a key or value of the
//! registry, the start type of a service. Two equal [`Meta`] mean that nothing which counts was changed.

use std::path::Path;
use std::{fs, io};

use aright_shared::digest::Digest;
use serde::{Deserialize, Serialize};

use crate::registry::Value;
use crate::windows::security;

/// Larger files are not looked into: nothing that hardens a host writes them.
pub const MAX_FILE: u64 = 1 << 30;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(flatten)]
    pub kind: Kind,
    /// Owner, group and access list as SDDL, of what has them: file, folder, key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    File {
        size: u64,
        digest: Digest,
        /// `FILE_ATTRIBUTE_*` that people set: read-only, hidden, system.
        attributes: u32,
    },
    Folder,
    Key,
    Value(Value),
    /// The start type of a service: the number in its key, and whether an automatic start is delayed.
    Start {
        start: u32,
        delayed: bool,
    },
}

/// Read-only, hidden, system.
pub const ATTRIBUTES: u32 = 1 | 2 | 4;

impl Meta {
    /// Of a folder that is made because a declared file needs it.
    pub fn of_made_folder() -> Self {
        Self { kind: Kind::Folder, security: None }
    }

    /// Of a value of the registry.
    pub fn of_value(value: Value) -> Self {
        Self { kind: Kind::Value(value), security: None }
    }

    /// Of a file or folder. `None` when there is nothing.
    ///
    /// # Errors
    /// It cannot be read, is a link, or is a file above [`MAX_FILE`].
    pub fn of_file(path: &Path) -> io::Result<Option<Self>> {
        use std::os::windows::fs::MetadataExt as _;
        let stat = match fs::symlink_metadata(path) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kind = if stat.is_dir() {
            Kind::Folder
        } else if stat.is_file() {
            let size = stat.len();
            if size > MAX_FILE {
                return Err(io::Error::other(format!("{size} bytes, above the limit of {MAX_FILE}")));
            }
            let digest = Digest::of_reader(fs::File::open(path)?)?;
            Kind::File { size, digest, attributes: stat.file_attributes() & ATTRIBUTES }
        } else {
            return Err(io::Error::other("neither a file nor a folder"));
        };
        Ok(Some(Self { kind, security: Some(security::of_file(path)?) }))
    }

    /// Whether content is the same, so that only the access list differs.
    pub fn same_content(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }
}

/// What it is, in a few words.
pub fn what(meta: &Meta) -> String {
    match &meta.kind {
        Kind::File { size, .. } => format!("a file of {size} bytes"),
        Kind::Folder => "a folder".into(),
        Kind::Key => "a key".into(),
        Kind::Value(value) => value.to_string(),
        Kind::Start { start, delayed } => start_type(*start, *delayed).into(),
    }
}

/// As `sc qc` calls it.
pub fn start_type(start: u32, delayed: bool) -> &'static str {
    match (start, delayed) {
        (0, _) => "boot",
        (1, _) => "system",
        (2, true) => "automatic (delayed)",
        (2, false) => "automatic",
        (3, _) => "manual",
        (4, _) => "disabled",
        _ => "unknown",
    }
}

/// In what the one that was found is another one, part by part.
pub fn differences(expected: &Meta, found: &Meta) -> Vec<String> {
    let mut parts = Vec::new();
    if !found.same_content(expected) {
        parts.push(format!("it is {} instead of {}", what(found), what(expected)));
    }
    if found.security != expected.security {
        parts.push("another owner or access list".into());
    }
    parts
}
