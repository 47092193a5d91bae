//! `POST report`: what the agent saw. Stored whole or not at all, and only when the digest it names is
//! that of everything we then have.

use std::collections::BTreeMap;
use std::sync::Arc;

use aright_shared::posture::{EVIDENCE_BYTES, Observation, Spot};
use aright_shared::time::Millis;
use aright_shared::wire::{Report, ReportReply, observations_digest};
use axum::extract::State;
use axum::{Extension, Json};

use super::enroll::check_facts;
use crate::app::App;
use crate::auth::agent::Agent;
use crate::error::Refused;
use crate::http_in::Body;
use crate::judging::{self, Scope};
use crate::presence::Live;
use crate::store::{StoreError, Tx, assets, observations};

const MAX_OBSERVATIONS: usize = 20_000;
const MAX_EVIDENCE: usize = 64;
/// Longest instance name and reason, in bytes.
const MAX_TEXT: usize = 4096;

pub async fn handle(
    State(app): State<Arc<App>>,
    Extension(Agent(live)): Extension<Agent>,
    Body(report): Body<Report>,
) -> Result<Json<ReportReply>, Refused> {
    check(&report)?;
    let (shared, now) = (app.clone(), app.now());
    let in_step = app.store.write(move |tx| take(&shared, tx, &live, &report, now)).await?;
    Ok(Json(ReportReply { in_step }))
}

fn check(report: &Report) -> Result<(), Refused> {
    if let Some(facts) = &report.facts {
        check_facts(facts)?;
    }
    let rows = report.observations.len() + report.not_applicable.len() + report.gone.len();
    if rows > MAX_OBSERVATIONS {
        return Err(Refused::invalid("observations", rows, "the report has too many rows")
            .remedy(format!("at most {MAX_OBSERVATIONS}")));
    }
    for seen in &report.observations {
        let evidence = seen.evidence.iter().map(|one| one.text.len()).max().unwrap_or(0);
        if seen.spot.instance.len() > MAX_TEXT
            || seen.evidence.len() > MAX_EVIDENCE
            || evidence > EVIDENCE_BYTES
        {
            return Err(Refused::invalid(
                "observations.evidence",
                format!("{} on {}: {evidence} bytes", seen.spot.control, seen.spot.instance),
                "an observation is too long",
            )
            .remedy(format!("at most {MAX_EVIDENCE} pieces of {EVIDENCE_BYTES} bytes")));
        }
    }
    if let Some(one) = report.not_applicable.iter().find(|one| one.reason.len() > MAX_TEXT) {
        return Err(Refused::invalid("not_applicable.reason", &one.control, "a reason is too long")
            .remedy(format!("at most {MAX_TEXT} bytes")));
    }
    Ok(())
}

/// Whether it was taken; if not, nothing was stored.
fn take(
    app: &Arc<App>,
    tx: &Tx<'_>,
    live: &Arc<Live>,
    report: &Report,
    now: Millis,
) -> Result<bool, Refused> {
    let asset = &live.asset;
    let before: BTreeMap<Spot, Observation> =
        observations::of_asset(tx, asset)?.into_iter().map(|seen| (seen.spot.clone(), seen)).collect();
    let after = merged(&before, report)?;
    let digest = observations_digest(after.values());
    if digest != report.digest {
        if report.full {
            return Err(Refused::invalid("digest", report.digest, "the report is not what its digest says")
                .detail(format!("{} observations arrived, with digest {digest}", report.observations.len()))
                .remedy("send the whole report again"));
        }
        return Ok(false);
    }
    let changed = store_differences(tx, live, &before, &after)?;
    store_rest(tx, live, report)?;
    let whole: Vec<Observation> = after.into_values().collect();
    judging::judge(tx, &app.content(), asset, &whole, Scope::Changed(&changed), now)?;
    assets::set_observed(tx, asset, digest, now)?;
    let (live, clock) = (live.clone(), report.clock);
    tx.on_commit(move || {
        let mut state = live.state();
        state.observations = Some(digest);
        if let Some(reading) = clock {
            state.clock = Some((reading, now));
        }
        state.touch(now);
    });
    Ok(true)
}

fn merged(
    before: &BTreeMap<Spot, Observation>,
    report: &Report,
) -> Result<BTreeMap<Spot, Observation>, Refused> {
    let mut after = if report.full { BTreeMap::new() } else { before.clone() };
    for spot in &report.gone {
        after.remove(spot);
    }
    let mut told = std::collections::BTreeSet::new();
    for seen in &report.observations {
        if !told.insert(&seen.spot) {
            let Spot { control, technology, instance } = &seen.spot;
            return Err(Refused::invalid(
                "observations",
                format!("{control} on {technology}, {instance}"),
                "one observation comes twice",
            )
            .remedy("send each once"));
        }
        after.insert(seen.spot.clone(), seen.clone());
    }
    Ok(after)
}

/// The spots whose observation is another than before.
fn store_differences(
    tx: &Tx<'_>,
    live: &Live,
    before: &BTreeMap<Spot, Observation>,
    after: &BTreeMap<Spot, Observation>,
) -> Result<Vec<Spot>, StoreError> {
    let mut changed = Vec::new();
    for (spot, seen) in after {
        let same =
            before.get(spot).is_some_and(|old| old.reading == seen.reading && old.evidence == seen.evidence);
        if !same {
            observations::put(tx, &live.asset, seen)?;
            observations::applies(tx, &live.asset, spot)?;
            changed.push(spot.clone());
        }
    }
    for spot in before.keys().filter(|spot| !after.contains_key(*spot)) {
        observations::delete(tx, &live.asset, spot)?;
        changed.push(spot.clone());
    }
    Ok(changed)
}

fn store_rest(tx: &Tx<'_>, live: &Live, report: &Report) -> Result<(), StoreError> {
    if report.full {
        observations::delete_not_applicable(tx, &live.asset)?;
        assets::set_technologies(tx, &live.asset, &report.technologies)?;
    }
    for one in &report.not_applicable {
        observations::put_not_applicable(tx, &live.asset, one)?;
    }
    match &report.facts {
        Some(facts) => assets::set_facts(tx, &live.asset, facts),
        None => Ok(()),
    }
}
