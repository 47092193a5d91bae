//! `POST policies`: a policy of people's own, checked against the controls, stored and judged by; or
//! nothing is.

use std::sync::Arc;

use aright_shared::api::{MAX_POLICY, PolicyDetail};
use aright_shared::content::ContentError;
use aright_shared::content::policy::{FIRST_CUSTOM, Policy};
use aright_shared::digest::Digest;
use aright_shared::envelope::canonical;
use aright_shared::library::Library;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use serde_json::Value;

use super::detail;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Body;
use crate::policies::{Done, change};
use crate::store::policies::{self, Custom};
use crate::store::{Tx, audit};

/// The highest number that a file may ask for; there is room above for those that the controller gives.
const LAST_CUSTOM: u32 = 999_999_999;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Body(document): Body<Value>,
) -> Result<(StatusCode, Json<PolicyDetail>), Refused> {
    let policy = read(&document)?;
    check(app.content().shipped(), &policy, &document)?;
    let (shared, key) = (app.clone(), policy.key.clone());
    let (status, row) = change(app.clone(), key, move |tx| store(&shared, tx, policy, &user.name)).await?;
    tracing::info!(policy = %row.key, version = row.version, status = status.as_u16(), "imported a policy");
    Ok((status, Json(detail(&app.content(), &row)?)))
}

fn read(document: &Value) -> Result<Policy, Refused> {
    let policy = Policy::from_json(document.clone()).map_err(|error| wrong(document, &error))?;
    let size = canonical(&policy)?.len();
    if size > MAX_POLICY {
        return Err(Refused::invalid("policy", format!("{size} bytes"), "the policy is too large")
            .remedy(format!("at most {MAX_POLICY} bytes of JSON: make two of it")));
    }
    Ok(policy)
}

fn check(shipped: &Library, policy: &Policy, document: &Value) -> Result<(), Refused> {
    if shipped.policy(&policy.key).is_some() {
        return Err(Refused::conflict("key-taken", "a library policy has this key, and those are read-only")
            .field("key")
            .value(&policy.key)
            .remedy("give it a key of its own"));
    }
    if let Some(own) = shipped.policies().find(|own| own.number == policy.number) {
        return Err(number_taken(policy.number, &format!("library policy {}", own.key)));
    }
    if policy.number > LAST_CUSTOM {
        return Err(Refused::invalid("number", policy.number, "no policy has so high a number")
            .remedy(format!("leave it out, or {FIRST_CUSTOM} to {LAST_CUSTOM}")));
    }
    shipped.check_policy(policy).map_err(|error| wrong(document, &error))
}

fn store(
    app: &App,
    tx: &Tx<'_>,
    mut policy: Policy,
    user: &str,
) -> Result<Done<(StatusCode, Custom)>, Refused> {
    let before = policies::get(tx, &policy.key)?;
    policy.number = number(tx, &policy, before.as_ref())?;
    let bytes = canonical(&policy)?;
    let digest = Digest::of(&bytes);
    let row = Custom {
        key: policy.key,
        number: policy.number,
        version: policy.version,
        document: String::from_utf8(bytes).map_err(anyhow::Error::from)?,
        created: app.now(),
        author: user.to_owned(),
    };
    match before {
        Some(before) if before.document == row.document => {
            return Ok(Done::Unchanged((StatusCode::OK, before)));
        }
        Some(before) if before.version >= row.version => return Err(not_higher(&row, &before)),
        _ => {}
    }
    policies::put(tx, &row)?;
    let entry = audit::Entry {
        at: row.created,
        who: user,
        action: "policy.import",
        subject: row.key.as_str(),
        detail: &format!("version {}, number {}, {digest}", row.version, row.number),
    };
    audit::append(tx, &entry)?;
    Ok(Done::Changed((StatusCode::CREATED, row)))
}

/// The one it asks for, the one it has, or the next.
fn number(tx: &Tx<'_>, policy: &Policy, before: Option<&Custom>) -> Result<u32, Refused> {
    if policy.number >= FIRST_CUSTOM {
        return match policies::with_number(tx, policy.number)?.filter(|key| *key != policy.key) {
            None => Ok(policy.number),
            Some(other) => Err(number_taken(policy.number, &format!("custom policy {other}"))),
        };
    }
    match before {
        Some(before) => Ok(before.number),
        None => Ok(policies::highest_number(tx)?.map_or(FIRST_CUSTOM, |highest| highest.saturating_add(1))),
    }
}

fn number_taken(number: u32, by: &str) -> Refused {
    Refused::conflict("number-taken", format!("{by} has this number"))
        .field("number")
        .value(number)
        .remedy("leave number out: the controller gives one")
}

fn not_higher(new: &Custom, stored: &Custom) -> Refused {
    Refused::conflict(
        "version-not-higher",
        "another policy is stored under this key, of the same version or a higher one",
    )
    .field("version")
    .value(new.version)
    .detail(format!("stored is version {} by {}", stored.version, stored.author))
    .remedy(format!("version: {} or higher, if this is to replace it", stored.version.saturating_add(1)))
}

/// It says `field: what is wrong with it`; a field as serde names it, as in `sections[0].title`.
fn wrong(document: &Value, error: &ContentError) -> Refused {
    let (path, rest) = error.why().split_once(": ").unwrap_or(("policy", error.why()));
    // What is missing or unknown in the document itself stands in the text alone.
    let field = if path == "." { rest.split('`').nth(1).unwrap_or("policy") } else { path };
    let (_, remedy) = rest.split_once("; next: ").unwrap_or((rest, "correct what is named"));
    let text = error.to_string();
    let value = match at(document, field).or_else(|| choice(document, rest)) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => document["key"].as_str().map_or_else(|| "none".to_owned(), |key| format!("policy {key}")),
    };
    Refused::invalid(field, value, "not a policy that could be put in force")
        .detail(text.strip_suffix(&format!("; next: {remedy}")).unwrap_or(&text))
        .remedy(format!("{remedy}; what there is: GET controls, GET technologies"))
}

/// The choice whose control is spoken of.
fn choice<'a>(document: &'a Value, text: &str) -> Option<&'a Value> {
    let spoken_of = |choice: &&Value| {
        let control = choice["control"].as_str();
        control.is_some_and(|control| text.split([' ', ':']).any(|word| word == control))
    };
    let sections = document["sections"].as_array()?;
    sections.iter().filter_map(|section| section["controls"].as_array()).flatten().find(spoken_of)
}

fn at<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[']).try_fold(document, |value, step| match step.strip_suffix(']') {
        Some(index) => value.get(index.parse::<usize>().ok()?),
        None => value.get(step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_the_path_that_names_it() {
        let document = serde_json::json!({"title": "x", "sections": [{"controls": [{"control": "a"}]}]});
        assert_eq!(at(&document, "title"), Some(&"x".into()));
        assert_eq!(at(&document, "sections[0].controls[0].control"), Some(&"a".into()));
        assert_eq!(at(&document, "sections[1].controls"), None);
        assert_eq!(at(&document, "sections.controls"), None);
    }
}
