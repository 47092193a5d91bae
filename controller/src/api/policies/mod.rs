//! Policies, as operators see them: the library's and custom ones.

pub mod import;
pub mod list;
pub mod remove;
pub mod show;

use aright_shared::api::{Policy, PolicyDetail};
use aright_shared::content::policy as document;
use aright_shared::content::script::Origin;

use crate::content::Content;
use crate::error::Refused;
use crate::store::policies::Custom;

fn of_library(document: &document::Policy) -> Policy {
    Policy {
        key: document.key.clone(),
        number: document.number,
        title: document.title.clone(),
        version: document.version,
        origin: Origin::Library,
        technologies: document.technologies.clone(),
        assign: document.assign.clone(),
        controls: u32::try_from(document.choices().count()).unwrap_or(u32::MAX),
        author: None,
        created: None,
        set_aside: None,
    }
}

fn of_row(content: &Content, row: &Custom, document: &document::Policy) -> Policy {
    let aside = content.set_aside().iter().find(|aside| aside.key == row.key);
    Policy {
        origin: Origin::Custom,
        author: Some(row.author.clone()),
        created: Some(row.created),
        set_aside: aside.map(|aside| aside.why.clone()),
        ..of_library(document)
    }
}

fn detail(content: &Content, row: &Custom) -> Result<PolicyDetail, Refused> {
    let document = serde_json::from_str(&row.document)?;
    Ok(PolicyDetail { policy: of_row(content, row, &document), document })
}
