//! A policy: a titled, versioned choice of controls with expected values.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::control::{Control, Criticality};
use super::expect::Expect;
use super::{ContentError, Document, Kind, checked, parse_one, typing};
use crate::id::Key;
use crate::outcome::words;
use crate::posture::Value;
use crate::tag::{FORM, is_tag};

/// From here on policies have the numbers that the controller gives; below are those of the library.
pub const FIRST_CUSTOM: u32 = 100_000;
/// Longest title of a policy or a section, in bytes.
const MAX_TITLE: usize = 200;

words! { PolicyTag { Policy = "policy", } }

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub aright: u32,
    pub kind: PolicyTag,
    pub key: Key,
    /// For people: below [`FIRST_CUSTOM`] the library's. Left out of a file (0), the controller gives one.
    #[serde(default)]
    pub number: u32,
    pub title: String,
    pub version: u32,
    pub technologies: Vec<Key>,
    /// Without it the policy holds for all assets of its technologies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Assign>,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    pub include: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclude: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tags {
    Any(Vec<String>),
    All(Vec<String>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Section {
    pub title: String,
    pub controls: Vec<Choice>,
}

/// One control, with what this policy expects instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    pub control: Key,
    /// Keys of a condition that replace the control's own: `{operator: le, value: 3}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<serde_json::Map<String, serde_json::Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
}

/// What one policy wants of one control on one technology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub expect: Expect,
    pub set: Option<Value>,
    pub criticality: Criticality,
}

impl Tags {
    pub fn hold(&self, tags: &BTreeSet<String>) -> bool {
        match self {
            Self::Any(any) => any.iter().any(|tag| tags.contains(tag)),
            Self::All(all) => all.iter().all(|tag| tags.contains(tag)),
        }
    }
}

impl Policy {
    /// Reads a text that holds one policy and nothing else.
    ///
    /// # Errors
    /// Not YAML, not a policy, a field out of bounds: field, value and remedy are named.
    pub fn from_yaml(text: &str) -> Result<Self, ContentError> {
        parse_one(Kind::Policy, text, |document| match document {
            Document::Policy(policy) => Some(policy),
            Document::Technology(_) | Document::Control(_) | Document::Script(_) => None,
        })
    }

    /// # Errors
    /// Not a policy, a field out of bounds: field, value and remedy are named.
    pub fn from_json(document: serde_json::Value) -> Result<Self, ContentError> {
        checked(Kind::Policy, document, Self::check)
    }

    /// Whether it holds for an asset with these technologies and tags.
    pub fn holds_for(&self, technologies: &[Key], tags: &BTreeSet<String>) -> bool {
        self.technologies.iter().any(|one| technologies.contains(one))
            && self.assign.as_ref().is_none_or(|assign| {
                assign.include.hold(tags)
                    && !assign.exclude.as_ref().is_some_and(|exclude| exclude.hold(tags))
            })
    }

    pub fn choices(&self) -> impl Iterator<Item = &Choice> {
        self.sections.iter().flat_map(|section| &section.controls)
    }

    /// What it wants of a control on a technology; `None` where it wants nothing.
    pub fn wants(&self, control: &Control, technology: &Key) -> Option<Wanted> {
        let choice = self.choices().find(|choice| choice.control == control.key)?;
        if !self.technologies.contains(technology) {
            return None;
        }
        choice.wants(control, technology).ok().flatten()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let titles = self.sections.iter().map(|section| ("sections.title", &section.title));
        for (field, title) in [("title", &self.title)].into_iter().chain(titles) {
            if title.trim().is_empty() || title.len() > MAX_TITLE || title.chars().any(char::is_control) {
                return Err(format!(
                    "{field}: {title:?} is no title; next: 1 to {MAX_TITLE} bytes, one line"
                ));
            }
        }
        if self.version == 0 {
            return Err("version: 0 is none; next: begin with 1".into());
        }
        if self.technologies.is_empty() {
            return Err("technologies: name at least one".into());
        }
        if self.choices().next().is_none() {
            return Err("sections: choose at least one control".into());
        }
        if let Some(assign) = &self.assign {
            assign.check()?;
        }
        let mut seen = BTreeSet::new();
        match self.choices().find(|choice| !seen.insert(&choice.control)) {
            Some(twice) => Err(format!("sections: control {} is chosen twice", twice.control)),
            None => Ok(()),
        }
    }
}

impl Assign {
    fn check(&self) -> Result<(), String> {
        for (field, tags) in
            [("assign.include", Some(&self.include)), ("assign.exclude", self.exclude.as_ref())]
        {
            let Some(Tags::Any(tags) | Tags::All(tags)) = tags else { continue };
            if tags.is_empty() {
                return Err(format!("{field}: names no tag; next: name one, or leave {field} out"));
            }
            if let Some(odd) = tags.iter().find(|tag| !is_tag(tag)) {
                return Err(format!("{field}: {odd:?} is no tag; next: {FORM}"));
            }
        }
        Ok(())
    }
}

impl Choice {
    /// The control's expected value with this policy's keys in place of its own.
    ///
    /// # Errors
    /// A composed `expect` cannot be overridden key by key; a `set` that no longer satisfies it (both are shown).
    pub fn wants(&self, control: &Control, technology: &Key) -> Result<Option<Wanted>, String> {
        let Some(on) = control.on(technology) else { return Ok(None) };
        let name = &control.key;
        let expect = match &self.expect {
            None => on.expect.clone(),
            Some(keys) => {
                let wrong = |error: String| format!("control {name}: expect: {error}");
                let expect = override_keys(&on.expect, keys).map_err(wrong)?;
                typing::check(&expect, on.check.shape(), Some(control.data_type)).map_err(wrong)?;
                expect
            }
        };
        let set = self
            .set
            .clone()
            .or_else(|| on.set().cloned().filter(|set| self.expect.is_none() || expect.accepts(set)));
        match (&set, on.set()) {
            (Some(set), _) if !expect.accepts(set) => Err(format!(
                "control {name}: set {set} does not satisfy expect {expect}; next: write a set that does"
            )),
            (None, Some(old)) if expect.set().is_none() => Err(format!(
                "control {name}: the control's set {old} does not satisfy this policy's expect {expect}; next: give a set here"
            )),
            _ => Ok(Some(Wanted {
                set: set.or_else(|| expect.set().cloned()),
                expect,
                criticality: self.criticality.unwrap_or(control.criticality),
            })),
        }
    }
}

fn override_keys(
    expect: &Expect,
    keys: &serde_json::Map<String, serde_json::Value>,
) -> Result<Expect, String> {
    let whole = ["all", "any", "none"].iter().any(|list| keys.contains_key(*list));
    let mut merged = match (expect, whole) {
        (Expect::Is(condition), false) => match serde_json::to_value(condition) {
            Ok(serde_json::Value::Object(own)) => own,
            _ => return Err("expect cannot be overridden".into()),
        },
        (_, true) => serde_json::Map::new(),
        (_, false) => return Err("expect has several conditions; next: give all of them (all: […])".into()),
    };
    // The control's own set belongs to its own value.
    merged.remove("set");
    merged.extend(keys.clone());
    serde_json::from_value(serde_json::Value::Object(merged)).map_err(|error| error.to_string())
}
