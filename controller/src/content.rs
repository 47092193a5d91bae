//! The content in force, arranged for the questions the controller asks: who wants what of a control,
//! and which library scripts are offered for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use aright_shared::content::control::Control;
use aright_shared::content::policy::{Policy, Wanted};
use aright_shared::content::script::{Policies, Script};
use aright_shared::digest::Digest;
use aright_shared::envelope::canonical;
use aright_shared::id::Key;
use aright_shared::library::Library;
use aright_shared::posture::{Reading, Spot, Verdict, judge};

use crate::store::policies::Custom;

/// A library script with its canonical bytes.
#[derive(Clone, Debug)]
pub struct LibraryScript {
    pub digest: Digest,
    pub bytes: String,
    pub script: Script,
}

/// A policy as its verdicts depend on it.
#[derive(Clone, Debug)]
pub struct PolicyForm {
    pub key: Key,
    /// Over the policy and all that it wants.
    pub digest: Digest,
    pub document: String,
}

/// A custom policy that is stored but not in force.
#[derive(Clone, Debug)]
pub struct SetAside {
    pub key: Key,
    pub why: String,
}

pub struct Content {
    /// As it comes with the program.
    shipped: Arc<Library>,
    /// And with the custom policies that fit it.
    library: Library,
    set_aside: Vec<SetAside>,
    scripts: Vec<LibraryScript>,
    policies: Vec<PolicyForm>,
    /// What each policy wants, by control and technology.
    wants: HashMap<(Key, Key), Vec<(Key, Wanted)>>,
}

impl Content {
    /// # Errors
    /// A document that JSON cannot express: none that was parsed.
    pub fn of(library: Library) -> anyhow::Result<Self> {
        Self::arrange(Arc::new(library.clone()), library, Vec::new())
    }

    /// The same library with these custom policies. One that does not fit is set aside: it may have fitted
    /// an older library.
    ///
    /// # Errors
    /// See [`Content::of`].
    pub fn with_custom(&self, stored: &[Custom]) -> anyhow::Result<Self> {
        let mut library = (*self.shipped).clone();
        let mut set_aside = Vec::new();
        for row in stored {
            let added = serde_json::from_str(&row.document)
                .map_err(|error| error.to_string())
                .and_then(|document| Policy::from_json(document).map_err(|error| error.to_string()))
                .and_then(|policy| library.add_policy(policy).map_err(|error| error.to_string()));
            if let Err(why) = added {
                set_aside.push(SetAside { key: row.key.clone(), why });
            }
        }
        Self::arrange(self.shipped.clone(), library, set_aside)
    }

    fn arrange(shipped: Arc<Library>, library: Library, set_aside: Vec<SetAside>) -> anyhow::Result<Self> {
        let mut wants: HashMap<(Key, Key), Vec<(Key, Wanted)>> = HashMap::new();
        let mut policies = Vec::new();
        for policy in library.policies() {
            let wanted = wanted(&library, policy);
            policies.push(form(policy, &wanted)?);
            for (control, technology, wanted) in wanted {
                wants.entry((control, technology)).or_default().push((policy.key.clone(), wanted));
            }
        }
        let scripts = library.scripts().map(own_script).collect::<anyhow::Result<_>>()?;
        Ok(Self { shipped, set_aside, scripts, policies, wants, library })
    }

    /// All that is in force.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// What comes with the program.
    pub fn shipped(&self) -> &Library {
        &self.shipped
    }

    /// Custom policies that are not in force, in order of key.
    pub fn set_aside(&self) -> &[SetAside] {
        &self.set_aside
    }

    /// In order of key.
    pub fn policies(&self) -> &[PolicyForm] {
        &self.policies
    }

    /// In order of key.
    pub fn scripts(&self) -> &[LibraryScript] {
        &self.scripts
    }

    /// What each policy wants there.
    fn wants(&self, spot: &Spot) -> &[(Key, Wanted)] {
        self.wants.get(&(spot.control.clone(), spot.technology.clone())).map_or(&[], Vec::as_slice)
    }

    pub fn want(&self, policy: &Key, spot: &Spot) -> Option<&Wanted> {
        self.wants(spot).iter().find(|(key, _)| key == policy).map(|(_, wanted)| wanted)
    }

    /// The verdicts on a reading, one for each policy that is for an asset with these tags.
    pub fn judge<'a>(
        &'a self,
        spot: &'a Spot,
        reading: &'a Reading,
        tags: &'a BTreeSet<String>,
    ) -> impl Iterator<Item = (&'a Key, Verdict)> {
        let technology = std::slice::from_ref(&spot.technology);
        let assigned = move |key: &Key| {
            self.library.policy(key).is_some_and(|policy| policy.holds_for(technology, tags))
        };
        self.wants(spot)
            .iter()
            .filter(move |(policy, _)| assigned(policy))
            .map(move |(policy, wanted)| (policy, judge(reading, &wanted.expect)))
    }

    /// The library scripts for this control, technology and policy.
    pub fn offered<'a>(&'a self, policy: &'a Key, spot: &'a Spot) -> impl Iterator<Item = &'a LibraryScript> {
        self.scripts.iter().filter(move |own| fixes(&own.script, policy, spot))
    }

    pub fn control(&self, key: &Key) -> Option<&Control> {
        self.library.control(key)
    }
}

/// Whether the script says that it is for this control, technology and policy.
pub fn fixes(script: &Script, policy: &Key, spot: &Spot) -> bool {
    script.fixes.iter().any(|fix| {
        fix.is_for(spot)
            && match &fix.policies {
                Policies::Any => true,
                Policies::These(keys) => keys.contains(policy),
            }
    })
}

fn wanted(library: &Library, policy: &Policy) -> Vec<(Key, Key, Wanted)> {
    let mut all = Vec::new();
    for choice in policy.choices() {
        let Some(control) = library.control(&choice.control) else { continue };
        for technology in &policy.technologies {
            if let Some(wanted) = policy.wants(control, technology) {
                all.push((control.key.clone(), technology.clone(), wanted));
            }
        }
    }
    all
}

fn form(policy: &Policy, wanted: &[(Key, Key, Wanted)]) -> anyhow::Result<PolicyForm> {
    let document = canonical(policy)?;
    let expected: Vec<_> =
        wanted.iter().map(|(control, technology, wanted)| (control, technology, &wanted.expect)).collect();
    let digest = Digest::of(&canonical(&(policy, expected))?);
    Ok(PolicyForm { key: policy.key.clone(), digest, document: String::from_utf8(document)? })
}

fn own_script(script: &Script) -> anyhow::Result<LibraryScript> {
    let bytes = String::from_utf8(script.canonical())?;
    Ok(LibraryScript { digest: Digest::of(bytes.as_bytes()), bytes, script: script.clone() })
}
