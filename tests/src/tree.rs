//! A listing of everything below some folders, to be compared with a later one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use anyhow::Context as _;
use aright_shared::digest::Digest;

/// What a thing is: what it holds, who may do what with it, when it was last changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    content: String,
    mode: u32,
    owner: (u32, u32),
    attributes: Attributes,
    changed: (i64, i64),
}

/// Extended ones, by name.
type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Default, PartialEq, Eq)]
pub struct Listing(BTreeMap<PathBuf, Entry>);

impl Listing {
    /// Lists folders with all below them, on whatever file systems. Links are not followed.
    ///
    /// # Errors
    /// Names what cannot be read.
    pub fn of(folders: &[&Path]) -> anyhow::Result<Self> {
        let mut listing = Self::default();
        let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| folder.to_path_buf()).collect();
        while let Some(path) = waiting.pop() {
            let entry = Entry::of(&path).with_context(|| path.display().to_string())?;
            if entry.mode & 0o170_000 == 0o040_000 {
                for child in fs::read_dir(&path).with_context(|| path.display().to_string())? {
                    waiting.push(child?.path());
                }
            }
            listing.0.insert(path, entry);
        }
        Ok(listing)
    }

    /// A whole root folder, but for what has no files of its own (`/proc`, `/sys`, `/dev`, `/run`) and for `except`.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_root(root: &Path, except: &Path) -> anyhow::Result<Self> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let own = ["proc", "sys", "dev", "run"].iter().all(|name| entry.file_name() != *name);
            folders.extend(own.then(|| entry.path()));
        }
        let mut listing = Self::of(&folders.iter().map(PathBuf::as_path).collect::<Vec<_>>())?;
        listing.0.retain(|path, _| !path.starts_with(except));
        Ok(listing)
    }

    /// Without the times of folders, which change when something is made in them and removed.
    #[must_use]
    pub fn without_folder_times(mut self) -> Self {
        for entry in self.0.values_mut().filter(|entry| entry.mode & 0o170_000 == 0o040_000) {
            entry.changed = (0, 0);
        }
        self
    }

    /// By names below a folder, which may lie elsewhere the next time.
    #[must_use]
    pub fn below(self, folder: &Path) -> Self {
        let name = |path: PathBuf| path.strip_prefix(folder).map(Path::to_owned).unwrap_or(path);
        Self(self.0.into_iter().map(|(path, entry)| (name(path), entry)).collect())
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One line for each thing that is new, gone or different in `later`.
    #[must_use]
    pub fn diff(&self, later: &Self) -> Vec<String> {
        let gone = self.0.keys().filter(|path| !later.0.contains_key(*path));
        let mut lines: Vec<String> = gone.map(|path| format!("- {}", path.display())).collect();
        for (path, now) in &later.0 {
            match self.0.get(path) {
                None => lines.push(format!("+ {} {now:?}", path.display())),
                Some(then) if then != now => lines.push(format!("~ {} {then:?} → {now:?}", path.display())),
                Some(_) => {}
            }
        }
        lines
    }

    /// What is new, gone or different in `later`, times apart.
    #[must_use]
    pub fn changed(&self, later: &Self) -> BTreeSet<PathBuf> {
        let without_time = |entry: &Entry| (entry.content.clone(), entry.mode, entry.owner);
        let of = |listing: &Self, path: &PathBuf| listing.0.get(path).map(without_time);
        let all = self.0.keys().chain(later.0.keys());
        all.filter(|path| of(self, path) != of(later, path)).cloned().collect()
    }
}

impl Entry {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::symlink_metadata(path)?;
        let content = if meta.is_file() {
            Digest::of_reader(File::open(path)?)?.hex()
        } else if meta.is_symlink() {
            fs::read_link(path)?.to_string_lossy().into_owned()
        } else {
            String::new()
        };
        Ok(Self {
            content,
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            attributes: attributes(path)?,
            changed: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

/// Of the thing itself, where it is a link.
fn attributes(path: &Path) -> io::Result<Attributes> {
    const MOST: usize = 64 * 1024;
    let mut names = vec![0; MOST];
    let length = match rustix::fs::llistxattr(path, &mut names) {
        Err(rustix::io::Errno::NOTSUP) => 0,
        other => other?,
    };
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let read = |name: &[u8]| -> io::Result<_> {
        let mut value = vec![0; MOST];
        let length = rustix::fs::lgetxattr(path, name, &mut value)?;
        value.truncate(length);
        Ok((name.to_owned(), value))
    };
    names.map(read).collect()
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content.get(..12).unwrap_or(&self.content);
        let (user, group) = self.owner;
        write!(f, "[{:o} {user}:{group} {}.{:09} {content}", self.mode, self.changed.0, self.changed.1)?;
        for (name, value) in &self.attributes {
            write!(f, " {}={}", name.escape_ascii(), value.escape_ascii())?;
        }
        f.write_str("]")
    }
}

/// Every run-time kernel parameter that can be read.
///
/// # Errors
/// `/proc/sys` is not there.
pub fn kernel_parameters() -> anyhow::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut values = BTreeMap::new();
    let mut waiting = vec![PathBuf::from("/proc/sys")];
    while let Some(path) = waiting.pop() {
        for child in fs::read_dir(&path).with_context(|| path.display().to_string())? {
            let child = child?;
            if child.file_type()?.is_dir() {
                waiting.push(child.path());
            } else if let Ok(value) = fs::read(child.path()) {
                values.insert(child.path(), value);
            }
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn every_kind_of_difference_is_listed() -> anyhow::Result<()> {
        let tree = tempfile::tempdir()?;
        let at = |name: &str| tree.path().join(name);
        for name in ["same", "gone", "text", "mode", "time", "note"] {
            fs::write(at(name), name)?;
        }
        std::os::unix::fs::symlink("same", at("link"))?;
        let before = Listing::of(&[tree.path()])?;
        assert_eq!(before.diff(&Listing::of(&[tree.path()])?), Vec::<String>::new());

        fs::remove_file(at("gone"))?;
        fs::write(at("text"), "texT")?;
        fs::set_permissions(at("mode"), fs::Permissions::from_mode(0o600))?;
        rustix::fs::setxattr(at("note"), "user.note", b"x", rustix::fs::XattrFlags::empty())?;
        File::options().write(true).open(at("time"))?.set_modified(std::time::UNIX_EPOCH)?;
        fs::remove_file(at("link"))?;
        std::os::unix::fs::symlink("text", at("link"))?;
        fs::write(at("new"), "")?;

        let lines = before.diff(&Listing::of(&[tree.path()])?).join("\n");
        for expected in [
            "- ",
            "/gone",
            "~ ",
            "/text ",
            "/mode ",
            "/time ",
            "/note ",
            "user.note=x",
            "/link ",
            "+ ",
            "/new ",
        ] {
            assert!(lines.contains(expected), "no {expected:?} in\n{lines}");
        }
        assert!(!lines.contains("/same "), "{lines}");
        Ok(())
    }
}
