//! What a tree is, seen by other means than the agent's: lstat, readlink, a hash, every attribute. And how two
//! trees differ.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use aright_agent::meta::{self, Meta};
use aright_agent::stage::Change;
use sha2::{Digest as _, Sha256};

/// Below the top of a tree; the top itself is the empty path.
pub type Tree = BTreeMap<PathBuf, Node>;
/// Each path that differs, as it was and as it is.
pub type Delta = BTreeMap<PathBuf, (Option<What>, Option<What>)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub what: What,
    /// Seconds and nanoseconds.
    pub mtime: (i64, i64),
    pub ino: u64,
    pub nlink: u64,
    pub blocks: u64,
}

/// What counts of a thing: everything but its times and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct What {
    pub kind: Kind,
    pub mode: u32,
    pub owner: (u32, u32),
    pub xattrs: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    File { size: u64, sha256: String },
    Link(Vec<u8>),
    Folder,
    Special,
}

impl Node {
    pub fn is_sparse(&self) -> bool {
        matches!(self.what.kind, Kind::File { size, .. } if self.blocks * 512 < size / 2)
    }
}

impl What {
    pub fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    pub fn is_link(&self) -> bool {
        matches!(self.kind, Kind::Link(_))
    }

    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    pub fn capability(&self) -> Option<&Vec<u8>> {
        self.xattrs.get("security.capability")
    }
}

pub fn snapshot(top: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut open = vec![PathBuf::new()];
    while let Some(path) = open.pop() {
        let here = if path.as_os_str().is_empty() { top.to_owned() } else { top.join(&path) };
        let node = look(&here);
        if node.what.is_folder() {
            open.extend(
                fs::read_dir(&here)
                    .expect("folder")
                    .map(|entry| path.join(entry.expect("entry").file_name())),
            );
        }
        tree.insert(path, node);
    }
    tree
}

fn look(path: &Path) -> Node {
    let stat = fs::symlink_metadata(path).expect("lstat");
    let kind = stat.file_type();
    let kind = if kind.is_file() {
        let bytes = fs::read(path).expect("reads");
        Kind::File { size: bytes.len() as u64, sha256: hex::encode(Sha256::digest(&bytes)) }
    } else if kind.is_symlink() {
        Kind::Link(fs::read_link(path).expect("readlink").into_os_string().into_vec())
    } else if kind.is_dir() {
        Kind::Folder
    } else {
        assert!(kind.is_fifo(), "{}: not made by any deed", path.display());
        Kind::Special
    };
    let what =
        What { kind, mode: stat.mode() & 0o7777, owner: (stat.uid(), stat.gid()), xattrs: xattrs(path) };
    let mtime = (stat.mtime(), stat.mtime_nsec());
    Node { what, mtime, ino: stat.ino(), nlink: stat.nlink(), blocks: stat.blocks() }
}

fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, &mut names[..]).expect("llistxattr");
    let names = String::from_utf8(names[..len].to_vec()).expect("text");
    let value = |name: &str| {
        let mut value = vec![0; 4096];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..]).expect("lgetxattr");
        value.truncate(len);
        value
    };
    names.split_terminator('\0').map(|name| (name.to_owned(), value(name))).collect()
}

pub fn diff(before: &Tree, after: &Tree) -> Delta {
    let what = |tree: &Tree, path: &PathBuf| tree.get(path).map(|node| node.what.clone());
    let both = before.keys().chain(after.keys());
    let pairs = both.map(|path| (path.clone(), (what(before, path), what(after, path))));
    pairs.filter(|(_, (before, after))| before != after).collect()
}

/// The agent's change set in the same words.
pub fn told(changes: &[Change], top: &Path) -> Delta {
    let side = |meta: &Option<Meta>| meta.as_ref().map(what);
    let below = |path: &Path| path.strip_prefix(top).expect("nothing outside is written").to_owned();
    let one = |change: &Change| (below(&change.path), (side(&change.before), side(&change.after)));
    changes.iter().map(one).collect()
}

fn what(meta: &Meta) -> What {
    let kind = match &meta.kind {
        meta::Kind::File { size, digest } => Kind::File { size: *size, sha256: digest.hex() },
        meta::Kind::Link { target } => Kind::Link(target.0.clone()),
        meta::Kind::Folder => Kind::Folder,
        meta::Kind::Special { .. } => Kind::Special,
    };
    let xattrs = meta.xattrs.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    What { kind, mode: meta.mode, owner: (meta.uid, meta.gid), xattrs }
}
