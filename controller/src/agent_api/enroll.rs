//! `POST enroll`: an enrolment key and a CSR become an asset with a certificate.

use std::sync::Arc;

use aright_shared::api::EnrollKey;
use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::time::Millis;
use aright_shared::wire::{EnrollReply, EnrollRequest, Facts};
use axum::Json;
use axum::extract::State;
use http::StatusCode;

use crate::app::App;
use crate::auth::token;
use crate::authority::BadRequest;
use crate::error::Refused;
use crate::http_in::{Body, check_line};
use crate::presence::LiveState;
use crate::store::certificates::{self, Certificate};
use crate::store::{Tx, assets, audit, enroll_keys};

const NEW_KEY: &str = "make a new one: aright enroll-key create";
/// Longest text among the facts, in bytes.
const FACT: usize = 1024;

pub async fn handle(
    State(app): State<Arc<App>>,
    Body(request): Body<EnrollRequest>,
) -> Result<Json<EnrollReply>, Refused> {
    check_facts(&request.facts)?;
    let secret = token::digest(&request.key);
    // Looked up without a transaction first, so that strangers cannot make us sign or write.
    let key = app.store.read(move |conn| enroll_keys::by_secret(conn, secret)).await?;
    let key = key.ok_or_else(|| unknown_key(&request.key))?;
    let shared = app.clone();
    let reply = app.store.write(move |tx| enroll(&shared, tx, &request, &key, shared.now())).await?;
    tracing::info!(asset.id = %reply.asset, "enrolled");
    Ok(Json(reply))
}

fn enroll(
    app: &Arc<App>,
    tx: &Tx<'_>,
    request: &EnrollRequest,
    key: &EnrollKey,
    now: Millis,
) -> Result<EnrollReply, Refused> {
    if key.expires <= now {
        return Err(unusable_key("enroll-key-expired", "the enrolment key has expired", key.expires));
    }
    let root = app.trust().root.fingerprint();
    if let Some(wanted) = request.trust_fingerprint.filter(|wanted| *wanted != root) {
        return Err(Refused::conflict("another-trust-root", format!("the trust root here is {root}"))
            .field("trust_fingerprint")
            .value(wanted)
            .remedy("take all of what `aright enroll-key create` prints; the key can still be used"));
    }
    let known = assets::of_machine(tx, request.machine)?;
    let asset = known.as_ref().map_or_else(AssetId::new, |asset| asset.id.clone());
    let issued = app
        .authority()
        .issue_agent(&asset, &request.csr, now)?
        .map_err(|error| bad_csr(&request.csr, &error))?;
    match known {
        None => add_asset(app, tx, request, key, &asset, now)?,
        // It enrolled with this very key and never got our reply.
        Some(_) if certificates::has_key(tx, &asset, issued.public_key)? => {}
        Some(_) => return Err(known_machine(request, &asset)),
    }
    let certificate =
        Certificate { fingerprint: issued.fingerprint, asset: asset.clone(), expires: issued.expires };
    certificates::insert(tx, &certificate, issued.public_key, now)?;
    let shared = app.clone();
    tx.on_commit(move || shared.presence.add_certificate(certificate));
    let trust = app.trust();
    Ok(EnrollReply {
        asset,
        certificate: issued.pem,
        authority: app.authority().root_pem().to_owned(),
        root: trust.root,
        trust: trust.envelope.clone(),
        task_key: (&trust.task_key).into(),
        now: app.now(),
    })
}

fn add_asset(
    app: &Arc<App>,
    tx: &Tx<'_>,
    request: &EnrollRequest,
    key: &EnrollKey,
    asset: &AssetId,
    now: Millis,
) -> Result<(), Refused> {
    if !enroll_keys::spend(tx, key, now)? {
        let uses = format!("{} of {} uses", key.max_uses, key.max_uses);
        return Err(unusable_key("enroll-key-used-up", "the enrolment key is used up", uses));
    }
    assets::insert(tx, asset, request.machine, &request.facts, &key.tags, now)?;
    let who = format!("enroll-key {}", key.id);
    audit::append(
        tx,
        &audit::Entry {
            at: now,
            who: &who,
            action: "asset.enroll",
            subject: asset.as_str(),
            detail: &request.facts.hostname,
        },
    )?;
    let state = LiveState::enrolled(request.machine, request.facts.agent_version.clone());
    let (shared, asset) = (app.clone(), asset.clone());
    tx.on_commit(move || shared.presence.add(asset, state));
    Ok(())
}

fn unknown_key(secret: &str) -> Refused {
    // Its beginning only: it may be a real one with a slip in it.
    unusable_key(
        "enroll-key-unknown",
        "there is no such enrolment key",
        format!("{}…", secret.chars().take(6).collect::<String>()),
    )
}

fn unusable_key(kind: &str, title: &str, value: impl ToString) -> Refused {
    Refused::new(StatusCode::FORBIDDEN, kind, title).field("key").value(value).remedy(NEW_KEY)
}

fn known_machine(request: &EnrollRequest, asset: &AssetId) -> Refused {
    Refused::conflict("machine-known", "this machine is enrolled already, with another key")
        .field("machine")
        .value(format!("{} ({})", request.machine, request.facts.hostname))
        .remedy(format!(
            "keep the agent's state folder; if that is lost, aright asset revoke {asset}, then enrol; \
             for a cloned machine give it a machine id of its own"
        ))
}

pub fn bad_csr(csr: &str, error: &BadRequest) -> Refused {
    Refused::invalid("csr", Digest::of(csr.as_bytes()), "the certificate request cannot be used")
        .detail(error.to_string())
        .remedy("send a PKCS#10 request in PEM, signed by its own key")
}

pub fn check_facts(facts: &Facts) -> Result<(), Refused> {
    let texts = [
        ("facts.hostname", &facts.hostname),
        ("facts.os", &facts.os),
        ("facts.kernel", &facts.kernel),
        ("facts.arch", &facts.arch),
        ("facts.agent_version", &facts.agent_version),
        ("facts.confinement", &facts.confinement),
        ("facts.timezone", &facts.timezone),
    ];
    texts.into_iter().try_for_each(|(field, text)| check_line(field, text, FACT))?;
    if facts.hostname.is_empty() {
        return Err(Refused::invalid("facts.hostname", "", "a host has a name").remedy("name the host"));
    }
    Ok(())
}
