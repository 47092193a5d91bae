//! What a script may change: its `touches`, resolved once against the host before it runs.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

use aright_shared::content::script::Touch;

use super::host;
use crate::change::Change;
use crate::meta::{Kind, Meta};

/// Longest chain of links.
const MAX_LINKS: usize = 40;
/// The setuid and setgid bits.
const SET_ID: u32 = 0o6000;
/// Made and removed by whoever changes accounts: no change, and never committed.
pub const IGNORED: [&str; 1] = ["/etc/.pwd.lock"];

/// Every path without links, as the change set names it.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub files: BTreeSet<PathBuf>,
    pub globs: Vec<DeclaredGlob>,
    pub links: BTreeSet<PathBuf>,
    pub folders: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct DeclaredGlob {
    /// Below which the wildcards begin.
    pub folder: PathBuf,
    /// The rest.
    pub pattern: PathBuf,
    matcher: globset::GlobMatcher,
}

/// A declared path that leads nowhere.
#[derive(Debug, thiserror::Error)]
#[error("declared path {touch:?} cannot be resolved")]
pub struct Unresolved {
    pub touch: String,
    #[source]
    pub source: io::Error,
}

impl Declared {
    pub fn resolve(touches: &[Touch]) -> Result<Self, Unresolved> {
        let mut declared = Self::default();
        for touch in touches {
            declared.add(touch).map_err(|source| Unresolved { touch: touch.to_string(), source })?;
        }
        Ok(declared)
    }

    fn add(&mut self, touch: &Touch) -> io::Result<()> {
        match touch {
            Touch::File(path) if touch.is_glob() => self.globs.push(DeclaredGlob::resolve(Path::new(path))?),
            Touch::File(path) => drop(self.files.insert(resolve(Path::new(path), Last::Followed)?)),
            Touch::Link(path) => drop(self.links.insert(resolve(Path::new(path), Last::Kept)?)),
            Touch::Folder(path) => drop(self.folders.insert(resolve(Path::new(path), Last::Followed)?)),
            Touch::Registry(_) | Touch::Service(_) => {
                return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no such thing on Linux"));
            }
        }
        Ok(())
    }

    /// Where changes are to be possible: for each declared path the nearest existing folder, for each pattern
    /// all that it leads into.
    pub fn places(&self) -> io::Result<Vec<PathBuf>> {
        let inside = self.files.iter().chain(&self.links).filter_map(|path| path.parent());
        let itself = self.folders.iter().map(PathBuf::as_path);
        let globs = self.globs.iter().map(|glob| glob.folder.as_path());
        let mut places: Vec<PathBuf> = inside.chain(itself).chain(globs).map(nearest_folder).collect();
        for glob in &self.globs {
            places.extend(glob.folders()?);
        }
        places.sort();
        places.dedup();
        Ok(places)
    }

    /// Every declared file, link and folder that exists, patterns expanded.
    pub fn existing(&self) -> io::Result<BTreeSet<PathBuf>> {
        let exact = self.files.iter().chain(&self.links).chain(&self.folders);
        let mut all: BTreeSet<PathBuf> =
            exact.filter(|path| fs::symlink_metadata(path).is_ok()).cloned().collect();
        for glob in &self.globs {
            all.extend(host::expand(&glob.folder, &glob.pattern)?);
        }
        Ok(all)
    }

    /// Whether a path is declared, be it as what it may.
    pub fn names(&self, path: &Path) -> bool {
        [&self.files, &self.links, &self.folders].into_iter().any(|exact| exact.contains(path))
            || self.globs.iter().any(|glob| glob.is_match(path))
    }

    /// What is wrong with a change; nothing when it may be committed.
    pub fn verdict(&self, change: &Change) -> Result<(), String> {
        if change.path.to_str().is_none() {
            return Err("has a name that is not text".into());
        }
        let (before, after) = (change.before.as_ref(), change.after.as_ref());
        if let Some(after) = after {
            harmless(before, after)?;
        }
        match self.of(&change.path).any(|allowed| permitted(allowed, before, after)) {
            true => Ok(()),
            false if self.is_missing_parent(&change.path, before, after) => Ok(()),
            false => Err(undeclared(before, after)),
        }
    }

    /// As what a path is declared; a pattern may stand for one that is declared as a link or folder too.
    fn of(&self, path: &Path) -> impl Iterator<Item = Allowed> {
        let file = self.files.contains(path) || self.globs.iter().any(|glob| glob.is_match(path));
        let all = [
            (file, Allowed::File),
            (self.links.contains(path), Allowed::Link),
            (self.folders.contains(path), Allowed::Folder),
        ];
        all.into_iter().filter_map(|(is_declared, allowed)| is_declared.then_some(allowed))
    }

    /// Made because a declared path needs it, and as anybody would make it.
    fn is_missing_parent(&self, path: &Path, before: Option<&Meta>, after: Option<&Meta>) -> bool {
        let plain = |meta: &Meta| meta.is_folder() && (meta.uid, meta.gid, meta.mode) == (0, 0, 0o755);
        let needed = |declared: &PathBuf| declared != path && declared.starts_with(path);
        before.is_none()
            && after.is_some_and(plain)
            && (self.files.iter().chain(&self.links).chain(&self.folders).any(needed)
                || self.globs.iter().any(|glob| glob.folder.starts_with(path)))
    }
}

#[derive(Clone, Copy)]
enum Allowed {
    File,
    Link,
    Folder,
}

fn permitted(allowed: Allowed, before: Option<&Meta>, after: Option<&Meta>) -> bool {
    let is = |meta: &Meta| {
        matches!(
            (&meta.kind, allowed),
            (Kind::File { .. }, Allowed::File)
                | (Kind::Link { .. }, Allowed::Link)
                | (Kind::Folder, Allowed::Folder)
        )
    };
    // Neither may a folder be removed nor anything become something else.
    [before, after].into_iter().flatten().all(is) && !(matches!(allowed, Allowed::Folder) && after.is_none())
}

/// What no declaration makes good.
fn harmless(before: Option<&Meta>, after: &Meta) -> Result<(), String> {
    if let Kind::Special { .. } = after.kind {
        return Err("is a FIFO, socket or device".into());
    }
    let old_bits = before.map_or(0, |meta| meta.mode);
    if !matches!(after.kind, Kind::Link { .. }) && after.mode & SET_ID & !old_bits != 0 {
        return Err(format!("got a setuid or setgid bit, mode {:04o}", after.mode));
    }
    let capability = "security.capability";
    let new = after.xattrs.get(capability);
    if new.is_some() && new != before.and_then(|meta| meta.xattrs.get(capability)) {
        return Err("got a capability".into());
    }
    Ok(())
}

fn undeclared(before: Option<&Meta>, after: Option<&Meta>) -> String {
    let kind = |meta: &Meta| match meta.kind {
        Kind::File { .. } => "file",
        Kind::Link { .. } => "symbolic link",
        Kind::Folder => "folder",
        Kind::Special { .. } => "FIFO, socket or device",
    };
    let what = match (before, after) {
        (None, Some(after)) => format!("{} created", kind(after)),
        (Some(before), None) => format!("{} deleted", kind(before)),
        (Some(before), Some(after)) if kind(before) != kind(after) => {
            format!("{} replaced by a {}", kind(before), kind(after))
        }
        (Some(before), Some(after)) if before.same_content(after) => {
            format!("mode, owner or attributes of a {} changed", kind(after))
        }
        (_, after) => format!("{} changed", after.map_or("file", kind)),
    };
    format!("{what}, without being declared in `touches`")
}

impl DeclaredGlob {
    fn resolve(pattern: &Path) -> io::Result<Self> {
        let parts: Vec<Component<'_>> = pattern.components().collect();
        let wild = parts.iter().position(|part| host::is_pattern(part.as_os_str())).unwrap_or(parts.len());
        let folder = resolve(&parts[..wild].iter().collect::<PathBuf>(), Last::Followed)?;
        let pattern: PathBuf = parts[wild..].iter().collect();
        let matcher = host::matcher(&pattern)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the pattern is malformed"))?;
        Ok(Self { folder, pattern, matcher })
    }

    /// The existing folders whose names the pattern stands for; a link is none.
    fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let Some(pattern) = self.pattern.parent().filter(|parent| *parent != Path::new("")) else {
            return Ok(Vec::new());
        };
        let mut folders = host::expand(&self.folder, pattern)?;
        folders.retain(|path| fs::symlink_metadata(path).is_ok_and(|stat| stat.is_dir()));
        Ok(folders)
    }

    fn is_match(&self, path: &Path) -> bool {
        path.strip_prefix(&self.folder).is_ok_and(|rest| self.matcher.is_match(rest))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Followed,
    Kept,
}

/// The path without links; what does not exist yet is taken as it is.
fn resolve(path: &Path, last: Last) -> io::Result<PathBuf> {
    let mut done = PathBuf::from("/");
    let mut left: VecDeque<OsString> =
        path.components().skip(1).map(|part| part.as_os_str().into()).collect();
    let mut links = 0;
    while let Some(part) = left.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        let next = done.join(&part);
        let follow = last == Last::Followed || !left.is_empty();
        match fs::read_link(&next) {
            Ok(target) if follow => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(io::Error::from_raw_os_error(nix::libc::ELOOP));
                }
                if target.is_absolute() {
                    done = PathBuf::from("/");
                }
                let parts = target
                    .components()
                    .filter(|part| !matches!(part, Component::RootDir | Component::CurDir));
                for part in parts.rev().map(|part| part.as_os_str().to_owned()).collect::<Vec<_>>() {
                    left.push_front(part);
                }
            }
            _ => done = next,
        }
    }
    Ok(done)
}

fn nearest_folder(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}
