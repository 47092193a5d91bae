//! One thing of a Windows host: a file, a key or value of the registry, the start type of a service; and how
//! it is made what it was. A value is set in one call; a file is written aside and moved into its place.

use std::ffi::OsString;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{PlaceError, Stamp, Step, copy};
use crate::meta::{Kind, Meta};
use crate::registry;
use crate::system;
use crate::task::fail;
use crate::windows::{disk, security, services};

/// The machine: there is one.
#[derive(Debug)]
pub struct Tree;

impl Tree {
    /// # Errors
    /// None of this system.
    pub fn place(&self, path: &Path) -> Result<Option<Place>, PlaceError> {
        Ok(Some(Place { path: path.to_owned(), thing: Thing::parse(path) }))
    }
}

/// What a path of a change names, written as in a script's `touches`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// `registry:KEY\`
    Key(String),
    /// `registry:KEY\NAME`; `registry:KEY\\NAME` where that says nothing, since the name is empty (of the default
    /// value) or has a backslash itself.
    Value {
        key: String,
        name: String,
    },
    /// `service:NAME`: its start type.
    Service(String),
    File(PathBuf),
}

impl Thing {
    pub fn parse(path: &Path) -> Self {
        let text = path.to_string_lossy();
        if let Some(name) = text.strip_prefix("service:") {
            return Self::Service(name.to_owned());
        }
        let rest = text.strip_prefix("registry:");
        match rest.and_then(|rest| rest.split_once(r"\\").or_else(|| rest.rsplit_once('\\'))) {
            Some((key, name)) if text.contains(r"\\") => {
                Self::Value { key: key.to_owned(), name: name.to_owned() }
            }
            Some((key, "")) => Self::Key(key.to_owned()),
            Some((key, name)) => Self::Value { key: key.to_owned(), name: name.to_owned() },
            None => Self::File(path.to_owned()),
        }
    }

    pub fn path(&self) -> PathBuf {
        match self {
            Self::Key(key) => format!("registry:{key}\\").into(),
            Self::Value { key, name } if name.is_empty() || name.contains('\\') => {
                format!(r"registry:{key}\\{name}").into()
            }
            Self::Value { key, name } => format!(r"registry:{key}\{name}").into(),
            Self::Service(name) => format!("service:{name}").into(),
            Self::File(path) => path.clone(),
        }
    }

    /// The service whose start type a value is, or a part of it.
    pub fn started_by(&self) -> Option<&str> {
        let Self::Value { key, name } = self else { return None };
        let (above, service) = key.rsplit_once('\\')?;
        let is_start = [START, DELAYED].iter().any(|part| part.eq_ignore_ascii_case(name));
        (is_start && above.eq_ignore_ascii_case(SERVICES)).then_some(service)
    }

    /// # Errors
    /// It cannot be looked at.
    pub fn look(&self) -> io::Result<Option<Meta>> {
        let bare = |kind| Meta { kind, security: None };
        Ok(match self {
            Self::Key(key) => {
                registry::security(key)?.map(|security| Meta { kind: Kind::Key, security: Some(security) })
            }
            Self::Value { key, name } => registry::value(key, name)?.map(|value| bare(Kind::Value(value))),
            Self::Service(name) => {
                let start = number_of(name, START)?.and_then(|start| u32::try_from(start).ok());
                let delayed = is_delayed(name)?;
                start.map(|start| bare(Kind::Start { start, delayed }))
            }
            Self::File(path) => Meta::of_file(path)?,
        })
    }
}

const START: &str = "Start";
const DELAYED: &str = "DelayedAutostart";
/// Below it each service has a key.
pub const SERVICES: &str = r"HKLM\SYSTEM\CurrentControlSet\Services";

fn service_key(name: &str) -> String {
    format!("{SERVICES}\\{name}")
}

fn number_of(service: &str, name: &str) -> io::Result<Option<i64>> {
    Ok(registry::value(&service_key(service), name)?.and_then(|value| value.as_number()))
}

fn is_delayed(service: &str) -> io::Result<bool> {
    Ok(number_of(service, DELAYED)? == Some(1))
}

#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    thing: Thing,
}

impl Place {
    /// What is there now.
    ///
    /// # Errors
    /// It cannot be looked at.
    pub fn look(&self) -> Result<Option<Meta>, PlaceError> {
        self.thing.look().map_err(|source| self.fault("cannot look at it", source))
    }

    /// Opens a file for reading, with its modification time.
    ///
    /// # Errors
    /// It is no file, or cannot be read.
    pub fn read(&self) -> Result<(File, Stamp), PlaceError> {
        let read = || match &self.thing {
            Thing::File(path) => Ok((File::open(path)?, stamp(path)?)),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        };
        read().map_err(|source| self.fault("cannot read it", source))
    }

    /// Modification time of a file; of anything else none that would be given back.
    ///
    /// # Errors
    /// Nothing is there.
    pub fn mtime(&self) -> Result<Stamp, PlaceError> {
        match &self.thing {
            Thing::File(path) => stamp(path).map_err(|source| self.fault("cannot look at it", source)),
            _ => Ok(Stamp { s: 0, ns: 0 }),
        }
    }

    /// Makes what is there `step.to`, if it is `step.from`.
    ///
    /// # Errors
    /// [`PlaceError::Clash`] when something else is there: then it is left as it was.
    pub fn change(
        &self,
        step: Step<'_>,
        content: impl FnOnce() -> io::Result<File>,
    ) -> Result<(), PlaceError> {
        let found = self.look()?;
        // A key that is given back may be there again since its values are.
        let is_back = |key: &Meta| key.kind == Kind::Key && step.from.is_none();
        if found.as_ref() != step.from && !found.as_ref().is_some_and(is_back) {
            return Err(self.clash(step.from, found.as_ref()));
        }
        let done = match step.to {
            Some(to) => self.make(step, to, content),
            None => self.remove(),
        };
        done.map_err(|source| self.fault("cannot change it", source))?;
        match self.look()? {
            // A key or folder that others fill by now stays.
            now if now.as_ref() == step.to || step.to.is_none() => Ok(()),
            now => Err(self.clash(step.to, now.as_ref())),
        }
    }

    /// Owner and access list alone.
    ///
    /// # Errors
    /// [`PlaceError::Clash`] when something else is there.
    pub fn alter(&self, from: &Meta, to: &Meta, torn: bool) -> Result<(), PlaceError> {
        let found = self.look()?;
        if found.as_ref() != Some(from)
            && !(torn && found.as_ref().is_some_and(|found| found.same_content(from)))
        {
            return Err(self.clash(Some(from), found.as_ref()));
        }
        self.secure(to).map_err(|source| self.fault("cannot set its access list", source))
    }

    fn secure(&self, to: &Meta) -> io::Result<()> {
        match (&self.thing, &to.security) {
            (Thing::Key(key), Some(sddl)) => registry::set_security(key, sddl),
            (Thing::File(path), _) => secure_file(path, to),
            _ => Ok(()),
        }
    }

    fn make(&self, step: Step<'_>, to: &Meta, content: impl FnOnce() -> io::Result<File>) -> io::Result<()> {
        match (&self.thing, &to.kind) {
            (Thing::Value { key, name }, Kind::Value(value)) => {
                let start = value.as_number().and_then(|start| u32::try_from(start).ok());
                match self.known_service()?.zip(start) {
                    // The manager has it in memory, and would not read it again.
                    Some((service, start)) => services::set_start(service, start, is_delayed(service)?),
                    None => registry::set(key, name, value),
                }
            }
            (Thing::Key(key), Kind::Key) => registry::create(key).and_then(|()| self.secure(to)),
            (Thing::Service(name), Kind::Start { start, delayed }) => {
                services::set_start(name, *start, *delayed)
            }
            (Thing::File(path), Kind::Folder) => {
                if !path.is_dir() {
                    fs::create_dir(path)?;
                }
                self.secure(to)
            }
            (Thing::File(path), Kind::File { size, digest, attributes }) => {
                let (part, whole) = (aside(path, &step.aside.part), aside(path, &step.aside.whole));
                let mut file = File::create(&part)?;
                if copy(content()?, &mut file, *size)? != *digest {
                    return Err(io::Error::other("its content is no longer the one that was kept"));
                }
                if let Some(mtime) = step.mtime {
                    file.set_modified(time(mtime))?;
                }
                file.sync_all()?;
                drop(file);
                // Before it has its name: nobody is let in for a moment, and a crash leaves no half of it.
                secure_file(&part, to)?;
                disk::set_attributes(&part, *attributes)?;
                fs::rename(&part, &whole)?;
                fail::point(step.aside.label, "built");
                writable(path)?;
                fs::rename(&whole, path)
            }
            _ => Err(io::Error::other("it is of another kind")),
        }
    }

    /// The service that the manager knows by a value that is its start type, and nothing else of it.
    fn known_service(&self) -> io::Result<Option<&str>> {
        let is_start = matches!(&self.thing, Thing::Value { name, .. } if name.eq_ignore_ascii_case(START));
        let service = self.thing.started_by().filter(|_| is_start);
        let state = service.map(services::state).transpose()?.flatten();
        Ok(service.filter(|_| state.is_some()))
    }

    fn remove(&self) -> io::Result<()> {
        let created = match &self.thing {
            Thing::Service(name) => Some(name.as_str()),
            _ => self.known_service()?,
        };
        // With its start type the whole service came: that it goes is for people to decide.
        if let Some(name) = created {
            return Err(io::Error::other(format!(
                "the script made this service; next: look at it, then sc delete \"{name}\""
            )));
        }
        match &self.thing {
            Thing::Value { key, name } => registry::remove(key, name),
            Thing::Key(key) if registry::keys(key)?.is_empty() && registry::values(key)?.is_empty() => {
                registry::delete(key)
            }
            Thing::Key(_) | Thing::Service(_) => Ok(()),
            Thing::File(path) if path.is_dir() => match fs::remove_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(error),
                _ => Ok(()),
            },
            Thing::File(path) => {
                writable(path)?;
                fs::remove_file(path)
            }
        }
    }

    /// Makes it last.
    ///
    /// # Errors
    /// The disk refused.
    pub fn sync(&self) -> Result<(), PlaceError> {
        let flushed = match &self.thing {
            Thing::Key(key) | Thing::Value { key, .. } => registry::flush(key),
            Thing::Service(name) => registry::flush(&service_key(name)),
            // Its content was synced when it was written; its folder may be gone with it.
            Thing::File(path) => match path.parent().map_or(Ok(()), system::sync_folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                synced => synced,
            },
        };
        flushed.map_err(|source| self.fault("cannot make it last", source))
    }

    /// # Errors
    /// See [`Place::sync`].
    pub fn sync_found(&self, _found: &Meta) -> Result<(), PlaceError> {
        self.sync()
    }

    /// What is synced once for many: a hive, a folder.
    ///
    /// # Errors
    /// None of this system.
    pub fn folder_id(&self) -> Result<(u64, u64), PlaceError> {
        Ok(match &self.thing {
            Thing::Key(key) | Thing::Value { key, .. } => {
                (1, u64::from(key.get(5..11).is_some_and(|hive| hive.eq_ignore_ascii_case("system"))))
            }
            Thing::Service(_) => (1, 1),
            Thing::File(path) => {
                let mut folder = DefaultHasher::new();
                path.parent().hash(&mut folder);
                (2, folder.finish())
            }
        })
    }

    /// Clears what a killed [`Place::change`] may have left aside.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn settle(&self, step: Step<'_>) -> Result<(), PlaceError> {
        let Thing::File(path) = &self.thing else { return Ok(()) };
        for name in [&step.aside.part, &step.aside.whole] {
            let aside = aside(path, name);
            match writable(&aside).and_then(|()| fs::remove_file(aside)) {
                Err(error)
                    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    return Err(self.fault("cannot remove what lay aside", error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The error that says something else is there.
    pub fn clash(&self, expected: Option<&Meta>, found: Option<&Meta>) -> PlaceError {
        PlaceError::clash(&self.path, expected, found)
    }

    fn fault(&self, doing: &'static str, source: io::Error) -> PlaceError {
        PlaceError::io(&self.path, doing, source)
    }
}

fn secure_file(path: &Path, to: &Meta) -> io::Result<()> {
    to.security.as_ref().map_or(Ok(()), |sddl| security::set_of_file(path, sddl))
}

fn aside(path: &Path, name: &OsString) -> PathBuf {
    path.with_file_name(name)
}

/// A read-only file can be neither replaced nor removed.
fn writable(path: &Path) -> io::Result<()> {
    match path.exists() {
        true => disk::set_attributes(path, 0),
        false => Ok(()),
    }
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let since = fs::metadata(path)?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Stamp { s: i64::try_from(since.as_secs()).unwrap_or_default(), ns: since.subsec_nanos().into() })
}

fn time(stamp: Stamp) -> SystemTime {
    let s = Duration::from_secs(u64::try_from(stamp.s).unwrap_or_default());
    UNIX_EPOCH + s + Duration::from_nanos(u64::try_from(stamp.ns).unwrap_or_default())
}

/// A path as people read it, on one line.
pub fn shown(path: &Path) -> String {
    path.to_string_lossy().chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
