//! From observations to postures: when a report brings new ones, and when a policy has changed, which
//! needs no host to be asked.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use aright_shared::api::ScriptState;
use aright_shared::content::script::Origin;
use aright_shared::digest::Digest;
use aright_shared::id::{AssetId, Key};
use aright_shared::posture::{Observation, Spot, Verdict};
use aright_shared::time::Millis;

use crate::app::App;
use crate::content::{Content, PolicyForm};
use crate::store::postures::Place;
use crate::store::scripts::Script;
use crate::store::{StoreError, Tx, assets, audit, content, observations, postures, scripts};

/// How many assets are judged anew in one transaction: others wait for it.
const AT_ONCE: usize = 32;

/// Which spots are to be judged.
#[derive(Clone, Copy)]
pub enum Scope<'a> {
    /// Those that a report changed; their verdicts count as made now.
    Changed(&'a [Spot]),
    /// All, where the policies changed; only other verdicts than before are written.
    Everything,
}

/// Judges an asset's observations by every policy that is for it, and removes the postures that none
/// wants any more.
///
/// # Errors
/// The store failed.
pub fn judge(
    tx: &Tx<'_>,
    content: &Content,
    asset: &AssetId,
    seen: &[Observation],
    scope: Scope<'_>,
    now: Millis,
) -> Result<(), StoreError> {
    let tags = assets::tags(tx, asset)?.into_iter().collect();
    let changed: HashSet<&Spot> = match scope {
        Scope::Changed(spots) => spots.iter().collect(),
        Scope::Everything => HashSet::new(),
    };
    let in_scope = |spot: &Spot| match scope {
        Scope::Changed(_) => changed.contains(spot),
        Scope::Everything => true,
    };
    let mut known: HashMap<Place, Verdict> =
        postures::of_asset(tx, asset)?.into_iter().filter(|(place, _)| in_scope(&place.spot)).collect();
    for observation in seen.iter().filter(|observation| in_scope(&observation.spot)) {
        for (policy, verdict) in content.judge(&observation.spot, &observation.reading, &tags) {
            let place =
                Place { asset: asset.clone(), policy: policy.clone(), spot: observation.spot.clone() };
            let before = known.remove(&place);
            if matches!(scope, Scope::Changed(_)) || before != Some(verdict) {
                postures::put(tx, &place, verdict, now)?;
            }
        }
    }
    known.keys().try_for_each(|place| postures::delete(tx, place))
}

/// Judges all that is stored of an asset, where what its policies want has changed and not what was seen.
///
/// # Errors
/// The store failed.
pub fn judge_anew(tx: &Tx<'_>, content: &Content, asset: &AssetId, now: Millis) -> Result<(), StoreError> {
    let seen = observations::of_asset(tx, asset)?;
    judge(tx, content, asset, &seen, Scope::Everything, now)
}

/// Brings the store in step with the content of this start: keeps every library version, and judges
/// anew what a changed policy wants otherwise.
///
/// # Errors
/// The store failed.
pub async fn catch_up(app: &Arc<App>) -> Result<(), StoreError> {
    let (library, now) = (app.content(), app.now());
    app.store.write(move |tx| keep_library(tx, &library, now)).await?;
    let _alone = app.policies_change.lock().await;
    follow_policies(app).await
}

/// Judges what is stored by the policies in force, unless that has been done. Cut short it begins again,
/// at the latest at the next start. The caller holds `policies_change`: the policies stay as they are.
///
/// # Errors
/// The store failed.
pub async fn follow_policies(app: &Arc<App>) -> Result<(), StoreError> {
    let (content, now) = (app.content(), app.now());
    let stored = app.store.read(content::policies).await?;
    let current: Vec<_> =
        content.policies().iter().map(|policy| (policy.key.clone(), policy.digest)).collect();
    if stored == current {
        return Ok(());
    }
    tracing::info!(policies = current.len(), "policies changed: judging stored observations anew");
    for assets in app.store.read(assets::ids).await?.chunks(AT_ONCE) {
        if app.is_stopping() {
            return Ok(());
        }
        let (content, assets) = (content.clone(), assets.to_vec());
        app.store
            .write(move |tx| assets.iter().try_for_each(|asset| judge_anew(tx, &content, asset, now)))
            .await?;
    }
    app.store
        .write(move |tx| {
            note_upgrade(tx, &stored, &current, now)?;
            for (key, _) in stored.iter().filter(|(key, _)| !current.iter().any(|(own, _)| own == key)) {
                content::delete_policy(tx, key)?;
            }
            let put = |own: &PolicyForm| content::put_policy(tx, &own.key, own.digest, &own.document);
            content.policies().iter().try_for_each(put)
        })
        .await
}

/// What people change is written down as they do it; the rest has come with another version of the program.
fn note_upgrade(
    tx: &Tx<'_>,
    stored: &[(Key, Digest)],
    current: &[(Key, Digest)],
    now: Millis,
) -> Result<(), StoreError> {
    if stored.is_empty() {
        return Ok(());
    }
    let digest = |of: &[(Key, Digest)], key: &Key| of.iter().find(|(own, _)| own == key).map(|one| one.1);
    let keys: BTreeSet<_> = stored.iter().chain(current).map(|(key, _)| key).collect();
    for key in keys {
        let detail = match (digest(stored, key), digest(current, key)) {
            (Some(before), _) if before == content::unsettled() => continue,
            (before, now) if before == now => continue,
            (None, _) => "came with this version of the program",
            (Some(_), Some(_)) => "changed with this version of the program",
            (Some(_), None) => "not in force any more with this version of the program",
        };
        let (who, action, subject) = ("controller", "policy.upgrade", key.as_str());
        audit::append(tx, &audit::Entry { at: now, who, action, subject, detail })?;
    }
    Ok(())
}

fn keep_library(tx: &Tx<'_>, library: &Content, now: Millis) -> Result<(), StoreError> {
    for own in library.scripts() {
        if scripts::get(tx, own.digest)?.is_some() {
            continue;
        }
        let before = scripts::newest(tx, &own.script.key)?;
        let script = Script {
            digest: own.digest,
            key: own.script.key.clone(),
            version: before.map_or(1, |before| before.version + 1),
            origin: Origin::Library,
            state: ScriptState::Approved,
            bytes: own.bytes.clone(),
            created: now,
            author: "library".into(),
        };
        scripts::insert(tx, &script)?;
    }
    Ok(())
}
