//! Postures, as operators see them.

pub mod list;
pub mod show;

use aright_shared::api::Posture;

use crate::app::App;
use crate::store::postures;

/// The stored posture, with what the content and the agent's presence say of it.
fn view(app: &App, row: postures::Posture) -> Option<Posture> {
    let postures::Place { asset, policy, spot } = row.place;
    let content = app.content();
    // A policy that is gone is judged away in a moment; until then nothing is expected any more.
    let want = content.want(&policy, &spot)?.clone();
    let control = content.control(&spot.control)?;
    let fix_available = content.offered(&policy, &spot).next().is_some();
    let eligible = app.presence.agent(&asset).is_some_and(|live| live.state().reasons().is_empty());
    Some(Posture {
        id: row.id,
        number: control.number,
        statement: control.statement.clone(),
        criticality: want.criticality,
        remediable: row.status == aright_shared::posture::Verdict::Fail && eligible,
        fix_available,
        asset,
        hostname: row.hostname,
        policy,
        spot,
        status: row.status,
        reading: row.reading,
        expect: want.expect,
        set: want.set,
        first_evaluated: row.first_evaluated,
        last_evaluated: row.last_evaluated,
        first_failed: row.first_failed,
        last_passed: row.last_passed,
    })
}
