//! `POST scripts`: canonical bytes become a draft. Those bytes, and no others, are stored, hashed,
//! signed and sent.

use std::sync::Arc;

use aright_shared::api::{ScriptDetail, ScriptState, ScriptUpload};
use aright_shared::content::ContentError;
use aright_shared::content::script::{MAX_BODY, Origin, Script};
use aright_shared::digest::Digest;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use super::detail;
use crate::app::App;
use crate::auth::operator::User;
use crate::error::Refused;
use crate::http_in::Body;
use crate::store::{audit, scripts};

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    Body(upload): Body<ScriptUpload>,
) -> Result<(StatusCode, Json<ScriptDetail>), Refused> {
    let script = parse(&upload.bytes)?;
    if let Some(own) = app.content().scripts().iter().find(|own| own.script.key == script.key) {
        return Err(Refused::conflict("key-taken", "a library script has this key")
            .field("key")
            .value(&own.script.key)
            .remedy("give it a key of its own"));
    }
    let now = app.now();
    app.store
        .write(move |tx| {
            let digest = Digest::of(upload.bytes.as_bytes());
            if let Some(row) = scripts::get(tx, digest)? {
                return Ok((StatusCode::OK, detail(tx, row)?));
            }
            let before = scripts::newest(tx, &script.key)?;
            let row = scripts::Script {
                digest,
                key: script.key,
                version: before.map_or(1, |before| before.version + 1),
                origin: script.origin,
                state: ScriptState::Draft,
                bytes: upload.bytes,
                created: now,
                author: user.name,
            };
            scripts::insert(tx, &row)?;
            let entry = audit::Entry {
                at: now,
                who: &row.author,
                action: "script.upload",
                subject: row.key.as_str(),
                detail: &format!("version {}, {digest}", row.version),
            };
            audit::append(tx, &entry)?;
            Ok::<_, Refused>((StatusCode::CREATED, detail(tx, row)?))
        })
        .await
        .map(|(status, detail)| (status, Json(detail)))
}

fn parse(bytes: &str) -> Result<Script, Refused> {
    let value: serde_json::Value = serde_json::from_str(bytes).map_err(|error| {
        Refused::invalid("bytes", format!("line {} column {}", error.line(), error.column()), "not JSON")
            .detail(error.to_string())
            .remedy("send the canonical JSON that aright script new makes")
    })?;
    // Looked at first: what is too large is told so, whatever else is wrong with it.
    if let Some(size) = value["body"].as_str().map(str::len).filter(|size| *size > MAX_BODY) {
        return Err(Refused::invalid("body", format!("{size} bytes"), "the script is too large")
            .remedy(format!("at most {MAX_BODY} bytes")));
    }
    let script =
        Script::parse_canonical(bytes.as_bytes()).map_err(|error| malformed(&value, bytes, &error))?;
    if script.origin == Origin::Library {
        return Err(Refused::invalid("origin", script.origin, "library scripts ship with the program")
            .remedy("origin: custom"));
    }
    Ok(script)
}

fn malformed(value: &serde_json::Value, bytes: &str, error: &ContentError) -> Refused {
    // It says `script KEY: field: what is wrong with it`.
    let text = error.to_string();
    let field = text.split(": ").nth(1).filter(|field| value.get(*field).is_some()).unwrap_or("bytes");
    let said = value.get(field).map_or_else(|| Digest::of(bytes.as_bytes()).to_string(), ToString::to_string);
    Refused::invalid(field, said, "not a script that could be approved")
        .detail(text.clone())
        .remedy("correct what is named, and send the canonical JSON that aright script new makes")
}
