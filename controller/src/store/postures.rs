//! Postures: verdicts per asset, policy, control, technology and instance.

use aright_shared::api::PostureFilter;
use aright_shared::id::{AssetId, Key, PostureId};
use aright_shared::posture::{Evidence, Managed, Reading, Spot, Verdict};
use aright_shared::time::Millis;
use rusqlite::{Row, params};

use super::conn::{json, millis, millis_opt, parsed};
use super::filter::Where;
use super::{Conn, StoreError, Tx};

/// What names a posture, whatever row it has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub asset: AssetId,
    pub policy: Key,
    pub spot: Spot,
}

#[derive(Clone, Debug)]
pub struct Posture {
    pub id: PostureId,
    pub place: Place,
    pub hostname: String,
    pub status: Verdict,
    pub reading: Reading,
    pub first_evaluated: Millis,
    pub last_evaluated: Millis,
    pub first_failed: Option<Millis>,
    pub last_passed: Option<Millis>,
}

/// `last_evaluated_at` is when the verdict was made; the asset has confirmed it since with each report.
const SELECT: &str = "SELECT p.id, p.asset, p.policy, p.control, p.technology, p.instance, a.hostname, \
     p.status, o.reading, p.first_evaluated_at, \
     CASE WHEN a.evaluated_at > p.last_evaluated_at THEN a.evaluated_at ELSE p.last_evaluated_at END, \
     p.first_failed_at, p.last_passed_at \
     FROM postures p JOIN assets a ON a.id = p.asset \
     JOIN observations o ON o.asset = p.asset AND o.control = p.control \
     AND o.technology = p.technology AND o.instance = p.instance";

fn place(row: &Row<'_>, first: usize) -> rusqlite::Result<Place> {
    Ok(Place {
        asset: parsed(row, first)?,
        policy: parsed(row, first + 1)?,
        spot: Spot {
            control: parsed(row, first + 2)?,
            technology: parsed(row, first + 3)?,
            instance: row.get(first + 4)?,
        },
    })
}

fn read(row: &Row<'_>) -> rusqlite::Result<Posture> {
    let status = parsed(row, 7)?;
    let last_evaluated = millis(row, 10)?;
    let last_passed = if status == Verdict::Pass { Some(last_evaluated) } else { millis_opt(row, 12)? };
    Ok(Posture {
        id: parsed(row, 0)?,
        place: place(row, 1)?,
        hostname: row.get(6)?,
        status,
        reading: json(row, 8)?,
        first_evaluated: millis(row, 9)?,
        last_evaluated,
        first_failed: millis_opt(row, 11)?,
        last_passed,
    })
}

/// Notes a verdict made now.
pub fn put(tx: &Tx<'_>, place: &Place, status: Verdict, now: Millis) -> Result<(), StoreError> {
    let failed = (status == Verdict::Fail).then_some(now.0);
    let passed = (status == Verdict::Pass).then_some(now.0);
    tx.execute(
        "INSERT INTO postures (id, asset, policy, control, technology, instance, status, \
         first_evaluated_at, last_evaluated_at, first_failed_at, last_passed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10) \
         ON CONFLICT (asset, policy, control, technology, instance) DO UPDATE SET \
         status = excluded.status, last_evaluated_at = excluded.last_evaluated_at, \
         first_failed_at = COALESCE(postures.first_failed_at, excluded.first_failed_at), \
         last_passed_at = COALESCE(excluded.last_passed_at, postures.last_passed_at)",
        params![
            PostureId::new().as_str(),
            place.asset.as_str(),
            place.policy.as_str(),
            place.spot.control.as_str(),
            place.spot.technology.as_str(),
            place.spot.instance,
            status.as_str(),
            now.0,
            failed,
            passed
        ],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, place: &Place) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM postures \
         WHERE asset = $1 AND policy = $2 AND control = $3 AND technology = $4 AND instance = $5",
        params![
            place.asset.as_str(),
            place.policy.as_str(),
            place.spot.control.as_str(),
            place.spot.technology.as_str(),
            place.spot.instance
        ],
    )?;
    Ok(())
}

/// Every place of an asset, with its verdict.
pub fn of_asset(conn: &Conn, asset: &AssetId) -> Result<Vec<(Place, Verdict)>, StoreError> {
    conn.rows(
        "SELECT asset, policy, control, technology, instance, status FROM postures WHERE asset = $1",
        params![asset.as_str()],
        |row| Ok((place(row, 0)?, parsed(row, 5)?)),
    )
}

pub fn get(conn: &Conn, id: &PostureId) -> Result<Option<Posture>, StoreError> {
    conn.row(&format!("{SELECT} WHERE p.id = $1"), params![id.as_str()], read)
}

/// What it was judged from: evidence, and what of it somebody else manages too.
pub fn evidence(conn: &Conn, place: &Place) -> Result<(Vec<Evidence>, Vec<Managed>), StoreError> {
    let found = conn.row(
        "SELECT evidence, managed FROM observations \
         WHERE asset = $1 AND control = $2 AND technology = $3 AND instance = $4",
        params![
            place.asset.as_str(),
            place.spot.control.as_str(),
            place.spot.technology.as_str(),
            place.spot.instance
        ],
        |row| Ok((json(row, 0)?, json(row, 1)?)),
    )?;
    Ok(found.unwrap_or_default())
}

/// In order of id, above `after`; all of them without a limit.
pub fn list(
    conn: &Conn,
    filter: &PostureFilter,
    after: Option<&str>,
    limit: Option<u32>,
) -> Result<Vec<Posture>, StoreError> {
    let mut wanted = Where::default();
    wanted.any("p.policy", &filter.policy);
    wanted.any("p.control", &filter.control);
    wanted.any("p.technology", &filter.technology);
    wanted.any("p.instance", &filter.instance);
    wanted.any("p.asset", &filter.asset);
    wanted.any("a.hostname", &filter.hostname);
    wanted.any("p.status", &filter.status);
    if !filter.tag.is_empty() {
        let marks = vec!["?"; filter.tag.len()].join(", ");
        let condition =
            format!("EXISTS (SELECT 1 FROM asset_tags t WHERE t.asset = p.asset AND t.tag IN ({marks}))");
        wanted.with(&condition, &filter.tag);
    }
    // What a revoked host looked like is history, for whoever asks for that host.
    if filter.asset.is_empty() {
        wanted.with("a.revoked_at IS NULL", [""; 0]);
    }
    if let Some(after) = after {
        wanted.with("p.id > ?", [after]);
    }
    let (text, values) = wanted.finish();
    let limit = limit.map(|limit| format!(" LIMIT {limit}")).unwrap_or_default();
    conn.rows(&format!("{SELECT}{text} ORDER BY p.id{limit}"), rusqlite::params_from_iter(values), read)
}
