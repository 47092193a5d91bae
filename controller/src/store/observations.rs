//! What agents saw, and what did not apply.

use aright_shared::id::AssetId;
use aright_shared::posture::{NotApplicable, Observation, Spot};
use rusqlite::params;

use super::conn::{json, millis, parsed};
use super::{Conn, StoreError, Tx};

pub fn of_asset(conn: &Conn, asset: &AssetId) -> Result<Vec<Observation>, StoreError> {
    conn.rows(
        "SELECT control, technology, instance, reading, evidence, managed, observed_at FROM observations \
         WHERE asset = $1 ORDER BY control, technology, instance",
        params![asset.as_str()],
        |row| {
            Ok(Observation {
                spot: Spot { control: parsed(row, 0)?, technology: parsed(row, 1)?, instance: row.get(2)? },
                reading: json(row, 3)?,
                evidence: json(row, 4)?,
                managed: json(row, 5)?,
                at: millis(row, 6)?,
            })
        },
    )
}

pub fn put(tx: &Tx<'_>, asset: &AssetId, seen: &Observation) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO observations (asset, control, technology, instance, reading, evidence, managed, observed_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (asset, control, technology, instance) DO UPDATE SET \
         reading = excluded.reading, evidence = excluded.evidence, \
         managed = excluded.managed, observed_at = excluded.observed_at",
        params![
            asset.as_str(),
            seen.spot.control.as_str(),
            seen.spot.technology.as_str(),
            seen.spot.instance,
            serde_json::to_string(&seen.reading)?,
            serde_json::to_string(&seen.evidence)?,
            serde_json::to_string(&seen.managed)?,
            seen.at.0
        ],
    )?;
    Ok(())
}

pub fn delete(tx: &Tx<'_>, asset: &AssetId, spot: &Spot) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM observations \
         WHERE asset = $1 AND control = $2 AND technology = $3 AND instance = $4",
        params![asset.as_str(), spot.control.as_str(), spot.technology.as_str(), spot.instance],
    )?;
    Ok(())
}

pub fn put_not_applicable(tx: &Tx<'_>, asset: &AssetId, one: &NotApplicable) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO not_applicable (asset, control, technology, reason) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (asset, control, technology) DO UPDATE SET reason = excluded.reason",
        params![asset.as_str(), one.control.as_str(), one.technology.as_str(), one.reason],
    )?;
    Ok(())
}

/// It applies after all.
pub fn applies(tx: &Tx<'_>, asset: &AssetId, spot: &Spot) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM not_applicable WHERE asset = $1 AND control = $2 AND technology = $3",
        params![asset.as_str(), spot.control.as_str(), spot.technology.as_str()],
    )?;
    Ok(())
}

pub fn delete_not_applicable(tx: &Tx<'_>, asset: &AssetId) -> Result<(), StoreError> {
    tx.execute("DELETE FROM not_applicable WHERE asset = $1", params![asset.as_str()])?;
    Ok(())
}
