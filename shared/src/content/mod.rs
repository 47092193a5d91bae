//! Content: technologies, controls, policies and scripts, parsed once from YAML and checked whole.

pub mod control;
pub mod expect;
mod interpreter;
pub mod pattern;
pub mod policy;
pub mod probe;
pub mod script;
pub mod technology;
mod touch;
mod typing;

use serde::de::DeserializeOwned;

use crate::id::Key;
use crate::outcome::words;
use control::Control;
use policy::Policy;
use script::Script;
use technology::Technology;

words! {
    /// What a document is.
    Kind {
        Technology = "technology",
        Control = "control",
        Policy = "policy",
        Script = "script",
    }
}

/// One document of a content file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Technology(Technology),
    Control(Control),
    Policy(Policy),
    Script(Box<Script>),
}

/// What is wrong with content: where, which field, which value, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct ContentError {
    /// File and document.
    place: String,
    why: String,
}

impl ContentError {
    pub(crate) fn document(kind: Kind, key: Option<&Key>, why: impl Into<String>) -> Self {
        let place = key.map_or_else(|| kind.to_string(), |key| format!("{kind} {key}"));
        Self { place, why: why.into() }
    }

    pub(crate) fn file(file: &str, why: impl ToString) -> Self {
        Self { place: file.to_owned(), why: why.to_string() }
    }

    /// `field: what is wrong with it`, without the place.
    pub fn why(&self) -> &str {
        &self.why
    }

    pub(crate) fn within(self, file: &str) -> Self {
        Self { place: format!("{file}: {}", self.place), why: self.why }
    }
}

/// Largest content file, in bytes.
const MAX_FILE: usize = 4 * 1024 * 1024;

/// Reads all documents of one file.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(file: &str, text: &str) -> Result<Vec<Document>, ContentError> {
    let whole = |why: String| ContentError::file(file, why);
    if text.len() > MAX_FILE {
        return Err(whole(format!("{} bytes; the limit is {MAX_FILE}", text.len())));
    }
    let documents: Vec<serde_json::Value> =
        serde_saphyr::from_multiple(text).map_err(|error| whole(format!("not YAML: {error}")))?;
    typed(file, documents)
}

/// What the documents of a file are.
///
/// # Errors
/// The first thing that is wrong.
pub(crate) fn typed(file: &str, documents: Vec<serde_json::Value>) -> Result<Vec<Document>, ContentError> {
    documents.into_iter().map(|document| one(document).map_err(|error| error.within(file))).collect()
}

fn one(document: serde_json::Value) -> Result<Document, ContentError> {
    let kind = document["kind"].as_str().unwrap_or_default().parse::<Kind>();
    let kind = kind.map_err(|why| ContentError { place: "document".into(), why: format!("kind: {why}") })?;
    Ok(match kind {
        Kind::Technology => Document::Technology(checked(kind, document, Technology::check)?),
        Kind::Control => Document::Control(checked(kind, document, Control::check)?),
        Kind::Policy => Document::Policy(checked(kind, document, Policy::check)?),
        Kind::Script => Document::Script(Box::new(checked(kind, document, Script::check)?)),
    })
}

fn checked<T: DeserializeOwned>(
    kind: Kind,
    document: serde_json::Value,
    check: impl Fn(&T) -> Result<(), String>,
) -> Result<T, ContentError> {
    let key: Option<Key> = document["key"].as_str().and_then(|key| key.parse().ok());
    let wrong = |why: String| ContentError::document(kind, key.as_ref(), why);
    if document["aright"] != 1 {
        return Err(wrong(format!("aright: {} where 1 is expected", document["aright"])));
    }
    let parsed: T = serde_path_to_error::deserialize(document)
        .map_err(|error| wrong(format!("{}: {}", error.path(), error.inner())))?;
    check(&parsed).map_err(wrong)?;
    Ok(parsed)
}

/// Reads a text that holds one document of the kind that `pick` takes.
pub(crate) fn parse_one<T>(
    kind: Kind,
    text: &str,
    pick: impl Fn(Document) -> Option<T>,
) -> Result<T, ContentError> {
    let mut documents = parse("file", text)?;
    let count = documents.len();
    let one = documents.pop().filter(|_| count == 1).and_then(pick);
    one.ok_or_else(|| {
        ContentError::document(kind, None, format!("{count} documents where one {kind} is expected"))
    })
}
