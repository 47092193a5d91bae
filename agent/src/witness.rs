//! What a script may change and what it did change, where there is no stage: everything declared is looked at
//! before and after, and so are the places of the registry that decide over this host's security. A change
//! there that was not declared is overreach, and is given back. What lies elsewhere is not witnessed, and the
//! report says so.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use aright_shared::content::control::Instances;
use aright_shared::content::probe::{INSTANCE, Probe};
use aright_shared::content::script::Touch;
use aright_shared::library::Library;

use crate::change::Change;
use crate::commit::place::{SERVICES, Thing};
use crate::meta::Meta;
use crate::registry;

/// Things by the path that a change names; `None` for what is not there.
pub type Things = BTreeMap<PathBuf, Option<Meta>>;

/// What a script says that it changes.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    things: Vec<Thing>,
    /// Keys with all their values.
    keys: Vec<String>,
}

impl Declared {
    /// # Errors
    /// A touch that is not of this system, in words.
    pub fn of(touches: &[Touch]) -> Result<Self, String> {
        let mut declared = Self::default();
        for touch in touches {
            let thing = match touch {
                Touch::Registry(_) | Touch::Service(_) => Thing::parse(Path::new(&touch.to_string())),
                Touch::File(path) | Touch::Folder(path) if !touch.is_glob() && !path.starts_with('/') => {
                    Thing::File(path.into())
                }
                other => return Err(format!("{other} is nothing that can be witnessed on Windows")),
            };
            match thing {
                Thing::Key(key) => declared.keys.push(key),
                other => declared.things.push(other),
            }
        }
        Ok(declared)
    }

    /// Whether a change of a path is declared. `before` is [`Declared::look`] of then.
    pub fn names(&self, before: &Things, path: &Path) -> bool {
        let is_in = |key: &str| self.keys.iter().any(|whole| whole.eq_ignore_ascii_case(key));
        before.keys().any(|known| folded(known) == folded(path))
            || matches!(Thing::parse(path), Thing::Value { key, .. } if is_in(&key))
    }

    /// Whether a value is what a declared service's start type is kept in: that is looked at by the service's name.
    fn is_start_type(&self, path: &Path) -> bool {
        let thing = Thing::parse(path);
        let Some(service) = thing.started_by() else { return false };
        let is_it =
            |named: &Thing| matches!(named, Thing::Service(name) if name.eq_ignore_ascii_case(service));
        self.things.iter().any(is_it)
    }

    /// Everything declared as it is now, with the keys and folders above that are missing: to make them is part of
    /// what is declared.
    ///
    /// # Errors
    /// Something cannot be looked at.
    pub fn look(&self) -> io::Result<Things> {
        let mut all = Things::new();
        for thing in &self.things {
            all.insert(thing.path(), thing.look()?);
            for parent in missing_above(thing)? {
                all.insert(parent.path(), None);
            }
        }
        for key in &self.keys {
            whole_key(key, &mut all)?;
            for parent in missing_above(&Thing::Key(key.clone()))? {
                all.insert(parent.path(), None);
            }
        }
        Ok(all)
    }
}

/// The same things as in `before`, now; with what is new in keys that stand there.
///
/// # Errors
/// Something cannot be looked at.
pub fn again(before: &Things) -> io::Result<Things> {
    let mut now = Things::new();
    for path in before.keys() {
        match Thing::parse(path) {
            Thing::Key(key) => whole_key(&key, &mut now)?,
            thing => drop(now.insert(path.clone(), thing.look()?)),
        }
    }
    Ok(now)
}

fn whole_key(key: &str, all: &mut Things) -> io::Result<()> {
    let thing = Thing::Key(key.to_owned());
    let found = thing.look()?;
    let is_there = found.is_some();
    all.insert(thing.path(), found);
    if is_there {
        for (name, value) in registry::values(key)? {
            // A name with a backslash has no path of its own; the default value has no name.
            if !name.is_empty() && !name.contains('\\') {
                let thing = Thing::Value { key: key.to_owned(), name };
                all.insert(thing.path(), Some(Meta::of_value(value)));
            }
        }
    }
    Ok(())
}

fn missing_above(thing: &Thing) -> io::Result<Vec<Thing>> {
    let mut missing = Vec::new();
    match thing {
        Thing::Value { key, .. } => {
            let mut at = Some(key.as_str());
            while let Some(key) = at.filter(|key| key.contains('\\')) {
                if registry::exists(key)? {
                    break;
                }
                missing.push(Thing::Key(key.to_owned()));
                at = key.rsplit_once('\\').map(|(above, _)| above);
            }
        }
        Thing::Key(key) => {
            if let Some((above, _)) = key.rsplit_once('\\') {
                missing = missing_above(&Thing::Value { key: above.to_owned(), name: "-".to_owned() })?;
            }
        }
        Thing::File(path) => {
            let above = path.ancestors().skip(1).take_while(|path| !path.exists());
            missing = above.map(|path| Thing::File(path.to_owned())).collect();
        }
        Thing::Service(_) => {}
    }
    Ok(missing)
}

/// What differs, in order.
pub fn changes(before: &Things, after: &Things) -> Vec<Change> {
    let paths: std::collections::BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let side = |things: &Things, path: &PathBuf| things.get(path).cloned().flatten();
    let change = |path: &&PathBuf| Change {
        path: (*path).clone(),
        before: side(before, path),
        after: side(after, path),
    };
    paths.iter().map(change).filter(|change| change.before != change.after).collect()
}

/// Keys that decide over this host's security, each with all that is below it.
const TREES: [&str; 7] = [
    r"HKLM\SYSTEM\CurrentControlSet\Control\Lsa",
    r"HKLM\SYSTEM\CurrentControlSet\Control\SecurityProviders",
    r"HKLM\SOFTWARE\Policies",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run",
    r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\RunOnce",
    r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Image File Execution Options",
];
/// Keys whose own values do.
const KEYS: [&str; 2] =
    [r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Winlogon", r"HKLM\SYSTEM\CurrentControlSet\Control"];
/// Of the key that each service has.
const OF_SERVICES: [&str; 3] = ["Start", "ImagePath", "ObjectName"];

/// Most things that are looked at, and how deep: bounds for a hostile registry.
const MOST: usize = 50_000;
const DEPTH: usize = 16;

/// The witnessed places as they are now.
#[derive(Debug, Default)]
pub struct Witness {
    pub things: Things,
    /// Not all of it was looked at.
    pub cut: bool,
}

impl Witness {
    /// What cannot be read is left out: nobody else can read it either, or it is written by the system alone.
    pub fn look(library: &Library, declared: &Declared) -> Self {
        let mut witness = Self::default();
        for thing in &declared.things {
            if let Thing::Value { key, .. } = thing {
                witness.key(key);
            }
        }
        TREES.iter().for_each(|key| witness.tree(key, DEPTH));
        KEYS.iter().for_each(|key| witness.key(key));
        library_keys(library).iter().for_each(|key| witness.key(key));
        for service in registry::keys(SERVICES).unwrap_or_default() {
            let key = format!("{SERVICES}\\{service}");
            for name in OF_SERVICES {
                if let Ok(Some(value)) = registry::value(&key, name) {
                    let thing = Thing::Value { key: key.clone(), name: name.to_owned() };
                    witness.add(thing.path(), Some(Meta::of_value(value)));
                }
            }
        }
        witness.things.retain(|path, _| !declared.is_start_type(path));
        witness
    }

    fn tree(&mut self, key: &str, depth: usize) {
        self.key(key);
        match depth.checked_sub(1) {
            None => self.cut = true,
            Some(_) if self.cut => {}
            Some(depth) => {
                for name in registry::keys(key).unwrap_or_default() {
                    self.tree(&format!("{key}\\{name}"), depth);
                }
            }
        }
    }

    fn key(&mut self, key: &str) {
        let mut things = Things::new();
        if whole_key(key, &mut things).is_ok() {
            things.into_iter().for_each(|(path, meta)| self.add(path, meta));
        }
    }

    fn add(&mut self, path: PathBuf, meta: Option<Meta>) {
        if self.things.len() < MOST {
            self.things.insert(path, meta);
        } else {
            self.cut = true;
        }
    }
}

fn keys_of(key: &str, instances: &Instances) -> Vec<String> {
    match instances {
        Instances::Fixed { values } => values.iter().map(|value| key.replace(INSTANCE, value)).collect(),
        Instances::Glob { .. } => Vec::new(),
    }
}

/// Every key that a control of the library looks at.
fn library_keys(library: &Library) -> Vec<String> {
    let checks = library.controls().flat_map(|control| control.technologies.iter());
    let keys = checks.flat_map(|on| match &on.check {
        Probe::RegistryValue(with) => keys_of(&with.key, &on.instances),
        _ => Vec::new(),
    });
    let mut keys: Vec<String> = keys.collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Names of keys and values know no case.
fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}
