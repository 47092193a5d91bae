//! The content that is built into agent and controller, checked as a whole: `shared/content/*.yaml`, which `build.rs`
//! brings in as JSON.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::content::control::Control;
use crate::content::policy::{FIRST_CUSTOM, Policy};
use crate::content::script::{Policies, Script};
use crate::content::technology::Technology;
use crate::content::{ContentError, Document, Kind, parse, typed};
use crate::digest::Digest;
use crate::id::Key;

/// Each file's name with its documents, as `build.rs` read them.
const CONTENT: &str = include_str!(concat!(env!("OUT_DIR"), "/content.json"));

/// Documents by key, with all references resolved.
#[derive(Clone, Debug, Default)]
pub struct Library {
    technologies: BTreeMap<Key, Technology>,
    controls: BTreeMap<Key, Control>,
    policies: BTreeMap<Key, Policy>,
    scripts: BTreeMap<Key, Script>,
    digests: BTreeMap<Digest, Key>,
}

static BUILTIN: LazyLock<Library> = LazyLock::new(|| {
    // A test reads the same: a program that carries other content cannot be built and tested.
    built_in().expect("the built-in content is whole")
});

fn built_in() -> Result<Library, ContentError> {
    let files: Vec<(String, String)> =
        serde_json::from_str(CONTENT).map_err(|error| ContentError::file("content.json", error))?;
    let files = files.into_iter().map(|(name, text)| {
        let documents = serde_json::from_str(&text).map_err(|error| ContentError::file(&name, error))?;
        let documents = typed(&name, documents)?;
        Ok((name, documents))
    });
    Library::of(files)
}

impl Library {
    pub fn builtin() -> &'static Self {
        &BUILTIN
    }

    /// Reads files (name, text) into one library.
    ///
    /// # Errors
    /// The first thing that is wrong: file, document, field, value and remedy.
    pub fn parse(files: &[(&str, &str)]) -> Result<Self, ContentError> {
        Self::of(files.iter().map(|(name, text)| Ok(((*name).to_owned(), parse(name, text)?))))
    }

    fn of(
        files: impl Iterator<Item = Result<(String, Vec<Document>), ContentError>>,
    ) -> Result<Self, ContentError> {
        let mut library = Self::default();
        for file in files {
            let (name, documents) = file?;
            for document in documents {
                library.add(document).map_err(|error| error.within(&name))?;
            }
        }
        library.check_references()?;
        Ok(library)
    }

    fn add(&mut self, document: Document) -> Result<(), ContentError> {
        let twice = |kind, key: &Key| Err(ContentError::document(kind, Some(key), "key: stands there twice"));
        match document {
            Document::Technology(one) => match self.technologies.insert(one.key.clone(), one) {
                Some(old) => twice(Kind::Technology, &old.key),
                None => Ok(()),
            },
            Document::Control(one) => match self.controls.insert(one.key.clone(), one) {
                Some(old) => twice(Kind::Control, &old.key),
                None => Ok(()),
            },
            Document::Policy(one) => match self.policies.insert(one.key.clone(), one) {
                Some(old) => twice(Kind::Policy, &old.key),
                None => Ok(()),
            },
            Document::Script(one) => {
                self.digests.insert(one.digest(), one.key.clone());
                match self.scripts.insert(one.key.clone(), *one) {
                    Some(old) => twice(Kind::Script, &old.key),
                    None => Ok(()),
                }
            }
        }
    }

    fn check_references(&self) -> Result<(), ContentError> {
        for control in self.controls.values() {
            let names = control.technologies.iter().flat_map(|one| &one.ids);
            if let Some(name) = names.into_iter().find(|name| !self.technologies.contains_key(*name)) {
                return missing(Kind::Control, &control.key, "technologies", name);
            }
        }
        self.scripts.values().try_for_each(|script| self.check_fixes(script))?;
        for policy in self.policies.values() {
            self.check_policy(policy)?;
            if !(1..FIRST_CUSTOM).contains(&policy.number) {
                let why = format!("number: {} must lie between 1 and {}", policy.number, FIRST_CUSTOM - 1);
                return Err(ContentError::document(Kind::Policy, Some(&policy.key), why));
            }
        }
        Ok(())
    }

    fn check_fixes(&self, script: &Script) -> Result<(), ContentError> {
        let platform = script.interpreter.platform();
        let elsewhere = |name: &&Key| self.technology(name).is_some_and(|one| one.platform != platform);
        for fix in &script.fixes {
            let Some(control) = self.controls.get(&fix.control) else {
                return missing(Kind::Script, &script.key, "fixes.control", &fix.control);
            };
            if let Some(name) = fix.technologies.iter().find(|name| control.on(name).is_none()) {
                return missing(Kind::Script, &script.key, "fixes.technologies", name);
            }
            if let Some(name) = fix.technologies.iter().find(elsewhere) {
                let why = format!("interpreter: {} does not run on {name}", script.interpreter);
                return Err(ContentError::document(Kind::Script, Some(&script.key), why));
            }
            if let Policies::These(policies) = &fix.policies
                && let Some(name) = policies.iter().find(|name| !self.policies.contains_key(*name))
            {
                return missing(Kind::Script, &script.key, "fixes.policies", name);
            }
        }
        Ok(())
    }

    /// Takes in a policy that is not built in.
    ///
    /// # Errors
    /// Its key is taken, or it does not fit these controls.
    pub fn add_policy(&mut self, policy: Policy) -> Result<(), ContentError> {
        if self.policies.contains_key(&policy.key) {
            return Err(ContentError::document(Kind::Policy, Some(&policy.key), "key: the library has it"));
        }
        self.check_policy(&policy)?;
        self.policies.insert(policy.key.clone(), policy);
        Ok(())
    }

    /// Whether a policy, of the library or not, fits these controls.
    ///
    /// # Errors
    /// A control or technology that is not defined, a control that is on none of its technologies, a `set` that does not satisfy its `expect`.
    pub fn check_policy(&self, policy: &Policy) -> Result<(), ContentError> {
        let wrong = |why| ContentError::document(Kind::Policy, Some(&policy.key), why);
        if let Some(name) = policy.technologies.iter().find(|name| !self.technologies.contains_key(*name)) {
            return Err(wrong(format!("technologies: {name} is not defined")));
        }
        for choice in policy.choices() {
            let Some(control) = self.controls.get(&choice.control) else {
                return Err(wrong(format!("sections.controls: {} is not defined", choice.control)));
            };
            let mut wanted = false;
            for technology in &policy.technologies {
                let here = choice.wants(control, technology);
                wanted |= here.map_err(|why| wrong(format!("sections.controls: {why}")))?.is_some();
            }
            if !wanted {
                let why =
                    format!("sections.controls: {} is on none of the policy's technologies", control.key);
                return Err(wrong(why));
            }
        }
        Ok(())
    }

    pub fn technologies(&self) -> impl Iterator<Item = &Technology> {
        self.technologies.values()
    }
    /// In order of their numbers.
    pub fn controls(&self) -> impl Iterator<Item = &Control> {
        let mut controls: Vec<_> = self.controls.values().collect();
        controls.sort_by_key(|control| control.number);
        controls.into_iter()
    }
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.policies.values()
    }
    pub fn scripts(&self) -> impl Iterator<Item = &Script> {
        self.scripts.values()
    }
    pub fn technology(&self, key: &Key) -> Option<&Technology> {
        self.technologies.get(key)
    }
    pub fn control(&self, key: &Key) -> Option<&Control> {
        self.controls.get(key)
    }
    pub fn policy(&self, key: &Key) -> Option<&Policy> {
        self.policies.get(key)
    }
    pub fn script(&self, key: &Key) -> Option<&Script> {
        self.scripts.get(key)
    }

    /// Whether these exact bytes are a script of this library.
    pub fn has_script(&self, digest: Digest) -> bool {
        self.digests.contains_key(&digest)
    }

    /// The scripts that fix a control on a technology.
    pub fn fixes(&self, control: &Key, technology: &Key) -> impl Iterator<Item = &Script> {
        let fits = move |script: &&Script| {
            script.fixes.iter().any(|fix| fix.control == *control && fix.technologies.contains(technology))
        };
        self.scripts.values().filter(fits)
    }
}

fn missing(kind: Kind, key: &Key, field: &str, name: &Key) -> Result<(), ContentError> {
    Err(ContentError::document(kind, Some(key), format!("{field}: {name} is not defined")))
}

#[cfg(test)]
mod tests;
