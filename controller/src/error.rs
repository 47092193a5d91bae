//! Refusals over HTTP: an RFC 9457 problem that names field, value and remedy. What went wrong
//! inside is logged here, once, and told to nobody.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};

use aright_shared::problem::Problem;

use crate::store::StoreError;

/// Longest value that is quoted back, in characters.
const QUOTED: usize = 200;

#[derive(Debug)]
pub struct Refused {
    problem: Box<Problem>,
    retry_after_s: Option<u64>,
}

impl Refused {
    /// `kind` is the problem's type: a stable slug.
    pub fn new(status: StatusCode, kind: &str, title: impl Into<String>) -> Self {
        let problem = Problem {
            kind: kind.into(),
            title: title.into(),
            status: status.as_u16(),
            detail: None,
            field: None,
            value: None,
            remedy: None,
            items: Vec::new(),
        };
        Self { problem: Box::new(problem), retry_after_s: None }
    }

    /// 422: a field of the body or the query holds what it must not.
    pub fn invalid(field: &str, value: impl ToString, title: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-value", title).field(field).value(value)
    }

    pub fn not_found(noun: &str, id: impl ToString) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", format!("no such {noun}")).field(noun).value(id).remedy(
            match noun {
                "run" => "list what there is: aright job list".to_owned(),
                noun => format!("list what there is: aright {} list", noun.replace(' ', "-")),
            },
        )
    }

    pub fn conflict(kind: &str, title: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, title)
    }

    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.problem.field = Some(field.into());
        self
    }

    pub fn value(mut self, value: impl ToString) -> Self {
        self.problem.value = Some(clip(&value.to_string()));
        self
    }

    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.problem.remedy = Some(remedy.into());
        self
    }

    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.problem.detail = Some(detail.into());
        self
    }

    pub fn items(mut self, items: impl IntoIterator<Item = serde_json::Value>) -> Self {
        self.problem.items = items.into_iter().collect();
        self
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    fn inside() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the controller failed")
            .remedy("look into the controller's log, then try again")
    }
}

fn clip(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "a request failed in the store");
        Self::inside()
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        tracing::error!(error = format!("{error:#}"), "a request failed");
        Self::inside()
    }
}

impl From<serde_json::Error> for Refused {
    fn from(error: serde_json::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
