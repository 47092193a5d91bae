//! RFC 9457 problem details: how every refusal travels over HTTP.

use serde::{Deserialize, Serialize};

/// `application/problem+json`. `field`, `value` and `remedy` are our extension members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable slug, e.g. `too-many-controls`; `about:blank` when the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// The offending rows, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<serde_json::Value>,
}

impl Problem {
    /// The whole in one line, for terminals and logs.
    pub fn sentence(&self) -> String {
        let mut text = self.title.clone();
        if let Some(detail) = &self.detail {
            text.push_str(": ");
            text.push_str(detail);
        }
        match (&self.field, &self.value) {
            (Some(field), Some(value)) => text.push_str(&format!(" ({field}: {value})")),
            (Some(field), None) => text.push_str(&format!(" ({field})")),
            _ => {}
        }
        if let Some(remedy) = &self.remedy {
            text.push_str("; next: ");
            text.push_str(remedy);
        }
        text
    }
}
