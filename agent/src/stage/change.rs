//! What a script changed, path by path: the type, owner, mode, attributes and content before and after.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aright_shared::digest::Digest;
use serde::{Deserialize, Serialize};

/// Everything that differs between host and stage, sorted by path: parents before what they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChangeSet {
    pub changes: Vec<Change>,
}

impl ChangeSet {
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub fn of(&self, path: &Path) -> Option<&Change> {
        self.changes.iter().find(|change| change.path == path)
    }
}

/// One path of the host; absent before means created, absent after means deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// On the host, with every link resolved; text, since nothing else can be declared.
    pub path: PathBuf,
    pub before: Option<Meta>,
    pub after: Option<Meta>,
}

/// What is compared and committed of one file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub kind: Kind,
    /// The twelve permission bits.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// In bytes; 0 for all but regular files.
    pub size: u64,
    /// Without `trusted.*`, which belong to file systems.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: BTreeMap<String, Bytes>,
    /// Kept so that undo can bring it back; never compared.
    pub modified: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    File {
        digest: Digest,
    },
    Folder,
    /// A symbolic link.
    Link {
        target: PathBuf,
    },
    Fifo,
    Socket,
    Device {
        block: bool,
        rdev: u64,
    },
}

/// As `stat` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timestamp {
    pub s: i64,
    pub ns: i64,
}

/// An attribute's value; hexadecimal where it is written down.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        hex::encode(bytes.0)
    }
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Meta {
    /// Equal in all but time: neither needs a commit to become the other.
    pub fn same(&self, other: &Self) -> bool {
        self.kind == other.kind && self.same_attributes(other)
    }

    /// Equal in owner, mode and attributes, whatever the content.
    pub fn same_attributes(&self, other: &Self) -> bool {
        (self.mode, self.uid, self.gid, &self.xattrs) == (other.mode, other.uid, other.gid, &other.xattrs)
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    pub fn is_link(&self) -> bool {
        matches!(self.kind, Kind::Link { .. })
    }

    /// Of a regular file.
    pub fn digest(&self) -> Option<Digest> {
        match self.kind {
            Kind::File { digest } => Some(digest),
            Kind::Folder | Kind::Link { .. } | Kind::Fifo | Kind::Socket | Kind::Device { .. } => None,
        }
    }
}

impl Kind {
    /// As people say it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Folder => "folder",
            Self::Link { .. } => "symbolic link",
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
            Self::Device { .. } => "device",
        }
    }
}
