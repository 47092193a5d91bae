//! `POST enroll-keys`: the only time the secret is shown.

use std::sync::Arc;

use aright_shared::api::{EnrollKey, EnrollKeyMade, NewEnrollKey};
use aright_shared::id::EnrollKeyId;
use aright_shared::time::SECOND;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;

use crate::api::tags;
use crate::app::App;
use crate::auth::operator::User;
use crate::auth::token;
use crate::error::Refused;
use crate::http_in::{MaybeBody, check_line};
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
    let (authority, trust) = (app.authority().fingerprint(), app.trust().fingerprint());
    Ok((StatusCode::CREATED, Json(EnrollKeyMade { key, secret, authority, trust, urls })))
}

fn check(new: &NewEnrollKey) -> Result<(), Refused> {
    check_line("name", &new.name, 100)?;
    new.tags.iter().try_for_each(|tag| tags::check("tags", tag))?;
    tags::check_count("tags", new.tags.len())?;
    for (field, value, max) in [("max_uses", new.max_uses, MAX_USES), ("valid_s", new.valid_s, MAX_VALID_S)] {
        if let Some(value) = value.filter(|value| !(1..=max).contains(value)) {
            return Err(Refused::invalid(field, value, "out of range").remedy(format!("1 to {max}")));
        }
    }
    Ok(())
}
