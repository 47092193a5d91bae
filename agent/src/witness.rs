//! What a script may change and what it did change, where there is no stage: everything declared is looked at
//! before and after, and so are the places of the registry that decide over this host's security. A change
//! there that was not declared is overreach, and is given back. What lies elsewhere is not witnessed, and the
//! report says so.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use aright_shared::content::control::Instances;
use aright_shared::content::probe::{INSTANCE, Probe};
use aright_shared::content::script::Touch;
use aright_shared::library::Library;

use crate::change::Change;
use crate::commit::place::{SERVICES, Thing, shown};
use crate::meta::Meta;
use crate::registry;

/// What is there of each thing. Not by its path: of those two are equal that name a key, and a value of its name above.
pub type Things = BTreeMap<Thing, Option<Meta>>;

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
        before.keys().any(|known| folded(&known.path()) == folded(path))
            || matches!(Thing::parse(path), Thing::Value { key, .. } if is_in(&key))
    }

    /// Whether a value is what a declared service's start type is kept in: that is looked at by the service's name.
    fn is_start_type(&self, value: &Thing) -> bool {
        let Some(service) = value.started_by() else { return false };
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
            all.insert(thing.clone(), thing.look()?);
            all.extend(missing_above(thing)?.into_iter().map(|above| (above, None)));
        }
        for key in &self.keys {
            whole_key(key, &mut all, &mut refuse)?;
            let above = missing_above(&Thing::Key(key.clone()))?;
            all.extend(above.into_iter().map(|above| (above, None)));
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
    for thing in before.keys() {
        match thing {
            Thing::Key(key) => whole_key(key, &mut now, &mut refuse)?,
            thing => drop(now.insert(thing.clone(), thing.look()?)),
        }
    }
    Ok(now)
}

/// A key with all its values; those that are too long to be looked at are `too_long`.
fn whole_key(
    key: &str,
    all: &mut Things,
    too_long: &mut dyn FnMut(Thing) -> io::Result<()>,
) -> io::Result<()> {
    let thing = Thing::Key(key.to_owned());
    let found = thing.look()?;
    all.insert(thing, found);
    for (name, value) in registry::values(key)? {
        let thing = Thing::Value { key: key.to_owned(), name };
        match value {
            Some(value) => drop(all.insert(thing, Some(Meta::of_value(value)))),
            None => too_long(thing)?,
        }
    }
    Ok(())
}

fn refuse(too_long: Thing) -> io::Result<()> {
    let path = shown(&too_long.path());
    Err(io::Error::other(format!("{path}: above the limit of {} bytes", registry::MAX_VALUE)))
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
    let things: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let side = |things: &Things, thing: &Thing| things.get(thing).cloned().flatten();
    let change = |thing: &&Thing| Change {
        path: thing.path(),
        before: side(before, thing),
        after: side(after, thing),
    };
    things.iter().map(change).filter(|change| change.before != change.after).collect()
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
    /// Values that are too long to be looked at.
    pub too_long: BTreeSet<Thing>,
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
                    witness.add(thing, Some(Meta::of_value(value)));
                }
            }
        }
        witness.things.retain(|thing, _| !declared.is_start_type(thing));
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
        let too_long = &mut |thing| {
            self.too_long.insert(thing);
            Ok(())
        };
        if whole_key(key, &mut things, too_long).is_ok() {
            things.into_iter().for_each(|(thing, meta)| self.add(thing, meta));
        }
    }

    fn add(&mut self, thing: Thing, meta: Option<Meta>) {
        if self.things.len() < MOST {
            self.things.insert(thing, meta);
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
pub fn folded(path: &Path) -> String {
    path.to_string_lossy().to_lowercase()
}
