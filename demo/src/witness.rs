//! Did the host stay as it was? Digest, mode, owner and time of change of everything below some folders.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use sha2::Digest as _;

/// Where fixes write, and where their programs would.
const FOLDERS: [&str; 2] = ["/etc", "/boot"];

#[derive(PartialEq, Eq)]
pub struct Witness(BTreeMap<PathBuf, String>);

impl Witness {
    pub fn look() -> Self {
        let mut seen = BTreeMap::new();
        let mut open: Vec<PathBuf> = FOLDERS.iter().map(PathBuf::from).collect();
        while let Some(path) = open.pop() {
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                open.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
            seen.insert(path.clone(), describe(&path, &meta));
        }
        Self(seen)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What is not as it was.
    pub fn differences(&self, earlier: &Self) -> Vec<String> {
        let all = self.0.keys().chain(earlier.0.keys());
        let mut paths: Vec<_> = all.filter(|path| self.0.get(*path) != earlier.0.get(*path)).collect();
        paths.sort();
        paths.dedup();
        paths.into_iter().map(|path| path.display().to_string()).collect()
    }
}

fn describe(path: &Path, meta: &fs::Metadata) -> String {
    let content = if meta.is_file() {
        fs::read(path)
            .map_or_else(|error| error.to_string(), |bytes| format!("{:x}", sha2::Sha256::digest(bytes)))
    } else if meta.is_symlink() {
        fs::read_link(path).map_or_else(|error| error.to_string(), |to| to.display().to_string())
    } else {
        String::new()
    };
    format!(
        "{:o} {}:{} {}.{} {content}",
        meta.mode(),
        meta.uid(),
        meta.gid(),
        meta.mtime(),
        meta.mtime_nsec()
    )
}
