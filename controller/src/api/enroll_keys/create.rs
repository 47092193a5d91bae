//! `POST enroll-keys`: the only time the secret is shown.

use std::sync::Arc;

use aright_shared::api::{EnrollKey, EnrollKeyMade, NewEnrollKey};
use aright_shared::id::EnrollKeyId;
use aright_shared::time::SECOND;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use crate::app::App;
use crate::auth::operator::User;
use crate::auth::token;
use crate::error::Refused;
use crate::http_in::MaybeBody;
use crate::net;
use crate::store::{audit, enroll_keys};

const VALID_S: u32 = 24 * 3600;
const MAX_VALID_S: u32 = 365 * 24 * 3600;
const MAX_USES: u32 = 1_000_000;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(user): Extension<User>,
    MaybeBody(new): MaybeBody<NewEnrollKey>,
) -> Result<(StatusCode, Json<EnrollKeyMade>), Refused> {
    check(&new)?;
    let now = app.now();
    let secret = token::new("aek")?;
    let key = EnrollKey {
        id: EnrollKeyId::new(),
        name: new.name,
        tags: new.tags,
        max_uses: new.max_uses.unwrap_or(1),
        uses: 0,
        created: now,
        created_by: user.name,
        expires: now.plus(i64::from(new.valid_s.unwrap_or(VALID_S)) * SECOND),
    };
    let (row, digest) = (key.clone(), token::digest(&secret));
    app.store
        .write(move |tx| {
            enroll_keys::insert(tx, &row, digest)?;
            let entry = audit::Entry {
                at: now,
                who: &row.created_by,
                action: "enroll-key.create",
                subject: row.id.as_str(),
                detail: &row.name,
            };
            audit::append(tx, &entry)
        })
        .await?;
    let names = net::names(&app.settings);
    let urls = app.addresses.get().map_or_else(Vec::new, |own| net::urls(own.agents, &names));
    let (authority, trust) = (app.authority.fingerprint(), app.trust.fingerprint());
    Ok((StatusCode::CREATED, Json(EnrollKeyMade { key, secret, authority, trust, urls })))
}

fn check(new: &NewEnrollKey) -> Result<(), Refused> {
    let word = |text: &str| !text.is_empty() && text.len() <= 100 && !text.chars().any(char::is_control);
    if !new.name.is_empty() && !word(&new.name) {
        return Err(
            Refused::invalid("name", &new.name, "no key is called so").remedy("at most 100 bytes, one line")
        );
    }
    if let Some(tag) = new.tags.iter().find(|tag| !word(tag)) {
        return Err(Refused::invalid("tags", tag, "no tag is called so").remedy("1 to 100 bytes, one line"));
    }
    if new.tags.len() > 100 {
        return Err(Refused::invalid("tags", new.tags.len(), "too many tags").remedy("at most 100"));
    }
    for (field, value, max) in [("max_uses", new.max_uses, MAX_USES), ("valid_s", new.valid_s, MAX_VALID_S)] {
        if let Some(value) = value.filter(|value| !(1..=max).contains(value)) {
            return Err(Refused::invalid(field, value, "out of range").remedy(format!("1 to {max}")));
        }
    }
    Ok(())
}
