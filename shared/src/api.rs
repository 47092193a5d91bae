//! The operators' REST, `/api/v1`: JSON over HTTPS, a bearer token, refusals as
//! [`Problem`](crate::problem::Problem). What a client sends is parsed strictly (an unknown key is an
//! error that names it); what it receives may grow.
//!
//! | route | query or body → reply |
//! |---|---|
//! | `GET version` (no token) | → [`Version`] |
//! | `GET health` (no token) | → [`Health`], 503 when it is not well |
//! | `POST session` (no token) | [`Login`] → [`Session`]; 429 with `Retry-After` after too many wrong ones |
//! | `DELETE session` | → 204: the token is void |
//! | `GET assets` | [`AssetFilter`], [`Paging`] → [`Page`] of [`Asset`] |
//! | `GET assets/{id}` | → [`Asset`] |
//! | `POST assets/{id}/revoke` | [`NewRevocation`] → [`Asset`]: refused from now on, in an open check-in too |
//! | `POST assets/{id}/evaluate` | → 204: it evaluates at its next check-in |
//! | `PUT assets/{id}/tags/{tag}` | → [`Asset`]: tagged; its policies are looked up and judged anew |
//! | `DELETE assets/{id}/tags/{tag}` | → [`Asset`]: not tagged so any more |
//! | `GET tags` | [`Paging`] → [`Page`] of [`Tag`], in order of name |
//! | `POST assets/{id}/previews` | [`NewPreview`] → 201 [`Task`]: what a script would do there |
//! | `POST enroll-keys` | [`NewEnrollKey`] → 201 [`EnrollKeyMade`], the only time the secret is shown |
//! | `GET enroll-keys` | [`Paging`] → [`Page`] of [`EnrollKey`] |
//! | `GET technologies`, `controls` | [`Paging`] → [`Page`] of the content's own documents |
//! | `GET policies` | [`Paging`] → [`Page`] of [`Policy`], in order of key |
//! | `GET policies/{key}` | → [`PolicyDetail`] |
//! | `POST policies` | a [policy](crate::content::policy::Policy) → 201 [`PolicyDetail`], judged by; the same again: 200 |
//! | `DELETE policies/{key}` | → 204: a custom one and its postures are gone; 409 while a job has some selected |
//! | `GET postures` | [`PostureFilter`], [`Paging`] → [`Page`] of [`Posture`] |
//! | `GET postures/{id}` | → [`PostureDetail`] |
//! | `GET scripts` | [`Paging`] → [`Page`] of [`Script`] |
//! | `GET scripts/{key}` | → [`ScriptDetail`], of the newest version |
//! | `POST scripts` | [`ScriptUpload`] → 201 [`ScriptDetail`], a draft; the same bytes again: 200 |
//! | `POST scripts/{key}/approvals` | [`ScriptApproval`] → [`ScriptDetail`] |
//! | `POST jobs` | [`NewJob`] → 201 [`Job`] |
//! | `POST jobs/reach` | [`NewJob`] → [`Reach`]: what would run where; nothing is stored |
//! | `GET jobs` | [`Paging`] → [`Page`] of [`Job`], newest first |
//! | `GET jobs/{id}` | → [`Job`] |
//! | `PUT jobs/{id}` | [`NewJob`] → [`Job`]: edited; a pending run waits its hold time anew |
//! | `GET jobs/{id}/reach` | → [`Reach`] |
//! | `POST jobs/{id}/activate` | → [`Job`]: a draft is saved, a schedule goes on |
//! | `POST jobs/{id}/deactivate` | → [`Job`]: no further runs; a pending one is cancelled |
//! | `POST jobs/{id}/runs` | [`NewRun`] → 201 [`Run`]: once more, besides its schedule |
//! | `POST jobs/{id}/cancel` | → [`Job`]: all its runs, as below; no further ones |
//! | `GET runs/{id}` | [`Watch`] → [`Run`] |
//! | `POST runs/{id}/pause`, `resume` | → [`Run`]: nothing more begins, what runs ends by itself; it goes on |
//! | `POST runs/{id}/cancel` | → [`Run`]: what is pending or queued ends, what runs is asked to |
//! | `GET tasks` | [`TaskFilter`], [`Paging`] → [`Page`] of [`Task`] |
//! | `GET tasks/{id}` | → [`TaskDetail`] |
//! | `POST tasks/{id}/undo` | → 201 [`Task`]: brings back what that one changed; 429 with `Retry-After` after too many |
//! | `POST tasks/{id}/cancel` | → [`Task`]: it ends, or is asked to where it runs |
//! | `GET licence`, `PUT licence` | [`Licence`] → [`Licence`] |
//! | `GET stop`, `POST stop`, `DELETE stop` | [`NewStop`] → [`Stop`]: *stop all remediation*, and go on |
//! | `GET audit` | [`AuditFilter`], [`Paging`] → [`Page`] of [`AuditEntry`], newest first |
//! | `GET trust` | → [`Trust`] |
//!
//! In a query a list is its key repeated (`policy=a&policy=b`): see [`query_pairs`].
//! Every `POST` without a body may be sent with none. `Idempotency-Key` and `ETag` come later.

mod assets;
mod audit;
mod install;
mod jobs;
mod people;
mod policies;
mod postures;
mod schedule;
mod scripts;
mod settings;
mod tasks;
mod trust;

pub use assets::*;
pub use audit::*;
pub use install::*;
pub use jobs::*;
pub use people::*;
pub use policies::*;
pub use postures::*;
pub use schedule::*;
pub use scripts::*;
pub use settings::*;
pub use tasks::*;
pub use trust::*;

use serde::{Deserialize, Serialize};

/// Largest body the operators' port accepts, in bytes.
pub const MAX_BODY: usize = 2 * 1024 * 1024;
/// Most rows of one page, and how many there are unless asked.
pub const MAX_LIMIT: u32 = 1000;
pub const LIMIT: u32 = 200;
/// Shortest hold time of a run, in seconds (less only with `--dev`).
pub const MIN_HOLD_S: u32 = 15 * 60;
/// A job's bounds.
pub const MAX_CONTROLS: usize = 100;
pub const MAX_SCRIPTS: usize = 150;
/// Longest [`Watch::wait_s`].
pub const MAX_WATCH_S: u32 = 30;

/// Rows in a stable order; `next` is given back as `cursor` for those that follow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paging {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
    /// 1 to [`MAX_LIMIT`]; [`LIMIT`] unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A filter or [`Paging`] as the pairs of a query.
pub fn query_pairs<T: Serialize>(filter: &T) -> Vec<(String, String)> {
    use serde_json::Value as Json;
    let text = |value: Json| match value {
        Json::String(text) => text,
        other => other.to_string(),
    };
    let Ok(Json::Object(fields)) = serde_json::to_value(filter) else { return Vec::new() };
    fields
        .into_iter()
        .flat_map(|(key, value)| match value {
            Json::Array(items) => items.into_iter().map(|item| (key.clone(), text(item))).collect(),
            Json::Null => Vec::new(),
            one => vec![(key, text(one))],
        })
        .collect()
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    /// Started with `--dev`: short hold times are allowed.
    pub dev: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub ok: bool,
    /// One sentence each; empty when all is well.
    #[serde(default)]
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::Verdict;

    #[test]
    fn a_filter_becomes_pairs_with_lists_as_repeated_keys() {
        let filter = PostureFilter {
            policy: vec!["b".parse().expect("a key"), "a".parse().expect("a key")],
            status: vec![Verdict::Fail],
            ..PostureFilter::default()
        };
        let pairs = query_pairs(&filter);
        let text: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(text, ["policy=b", "policy=a", "status=fail"]);
    }

    #[test]
    fn what_a_client_sends_is_parsed_strictly() {
        let error = serde_json::from_str::<NewJob>(r#"{"name": "x", "postrues": []}"#).expect_err("refused");
        assert!(error.to_string().contains("postrues"), "{error}");
    }
}
