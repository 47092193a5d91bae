//! A control: one requirement, with a check per technology.

use serde::{Deserialize, Serialize};

use super::expect::Expect;
use super::probe::Probe;
use super::typing;
use crate::id::Key;
use crate::outcome::words;
use crate::posture::Value;

words! { ControlTag { Control = "control", } }
words! {
    Criticality {
        Minimal = "minimal", Medium = "medium", Serious = "serious", Critical = "critical", Urgent = "urgent",
    }
}
words! {
    DataType {
        Boolean = "boolean", Integer = "integer", String = "string", IntegerList = "integer_list",
        StringList = "string_list", LineList = "line_list", Mode = "mode", Record = "record",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    pub aright: u32,
    pub kind: ControlTag,
    pub key: Key,
    /// For people: below 100000 ours, above given by the controller.
    pub number: u32,
    pub statement: String,
    pub category: Category,
    pub criticality: Criticality,
    #[serde(default)]
    pub rationale: String,
    #[serde(default)]
    pub references: Vec<Reference>,
    pub data_type: DataType,
    pub technologies: Vec<ControlTechnology>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    pub name: String,
    #[serde(default)]
    pub sub: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reference {
    pub framework: String,
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub technology: Option<Key>,
}

/// How the control is checked on some technologies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControlTechnology {
    pub ids: Vec<Key>,
    /// All must pass, else the control does not apply.
    #[serde(default)]
    pub applies: Vec<Check>,
    #[serde(default)]
    pub instances: Instances,
    pub check: Probe,
    pub expect: Expect,
    /// What a fix writes, where `expect` alone does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Value>,
    #[serde(default)]
    pub remediation_text: String,
}

/// A probe and what it must yield.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CheckText", into = "CheckText")]
pub struct Check {
    pub probe: Probe,
    pub expect: Expect,
    /// What to tell people where it does not hold.
    pub otherwise: Option<String>,
}

/// As it is written: the probe's name and parameters beside the rest.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckText {
    probe: String,
    #[serde(default)]
    with: serde_json::Value,
    expect: Expect,
    #[serde(default, rename = "else", skip_serializing_if = "Option::is_none")]
    otherwise: Option<String>,
}

impl TryFrom<CheckText> for Check {
    type Error = String;
    fn try_from(text: CheckText) -> Result<Self, String> {
        let probe = serde_json::json!({ "probe": text.probe, "with": text.with });
        let probe: Probe =
            serde_json::from_value(probe).map_err(|error| format!("probe {}: {error}", text.probe))?;
        probe.check()?;
        typing::check(&text.expect, probe.shape(), None)?;
        Ok(Self { probe, expect: text.expect, otherwise: text.otherwise })
    }
}

impl From<Check> for CheckText {
    fn from(check: Check) -> Self {
        let text = serde_json::to_value(&check.probe).unwrap_or_default();
        Self {
            probe: text["probe"].as_str().unwrap_or_default().to_owned(),
            with: text["with"].clone(),
            expect: check.expect,
            otherwise: check.otherwise,
        }
    }
}

/// Where a control looks, when it looks at several places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Instances {
    Fixed {
        values: Vec<String>,
    },
    /// One for each path that matches.
    Glob {
        pattern: String,
    },
}

impl Default for Instances {
    fn default() -> Self {
        Self::Fixed { values: vec!["default".into()] }
    }
}

impl DataType {
    pub(super) fn is_list(self) -> bool {
        matches!(self, Self::IntegerList | Self::StringList | Self::LineList)
    }
}

impl Control {
    /// How it is checked on a technology.
    pub fn on(&self, technology: &Key) -> Option<&ControlTechnology> {
        self.technologies.iter().find(|one| one.ids.contains(technology))
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if !(1..100_000).contains(&self.number) {
            return Err(format!("number: {} must lie between 1 and 99999", self.number));
        }
        if self.technologies.is_empty() {
            return Err("technologies: name at least one".into());
        }
        for technology in &self.technologies {
            technology
                .check(self.data_type)
                .map_err(|error| format!("technologies {}: {error}", names(&technology.ids)))?;
        }
        Ok(())
    }
}

impl ControlTechnology {
    fn check(&self, data_type: DataType) -> Result<(), String> {
        if self.ids.is_empty() {
            return Err("ids: name at least one technology".into());
        }
        self.check.check().map_err(|error| format!("check: {error}"))?;
        typing::check(&self.expect, self.check.shape(), Some(data_type))
            .map_err(|error| format!("expect: {error}"))?;
        if self.instances == Instances::default() && self.check.names_instance() {
            return Err("instances: the check names {instance}, say which there are".into());
        }
        if let Instances::Fixed { values } = &self.instances
            && (values.is_empty()
                || values.iter().any(|value| value.is_empty() || value.contains(char::is_control)))
        {
            return Err("instances: values must be non-empty lines of text".into());
        }
        match &self.set {
            Some(set) if !self.expect.accepts(set) => Err(format!(
                "set: {set} does not satisfy expect {}; next: write a value that does",
                self.expect
            )),
            _ => Ok(()),
        }
    }

    /// The value that a fix writes.
    pub fn set(&self) -> Option<&Value> {
        self.set.as_ref().or_else(|| self.expect.set())
    }
}

pub(super) fn names(keys: &[Key]) -> String {
    keys.iter().map(Key::as_str).collect::<Vec<_>>().join(", ")
}
