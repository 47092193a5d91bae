//! Assets: hosts with an agent.

use std::collections::{BTreeSet, HashMap};

use aright_shared::api::PostureCounts;
use aright_shared::digest::Digest;
use aright_shared::id::{AssetId, Key};
use aright_shared::task::ClockReading;
use aright_shared::time::Millis;
use aright_shared::wire::Facts;
use rusqlite::{Row, params};

use super::conn::{json, millis, millis_opt, parsed, parsed_opt};
use super::filter::Where;
use super::{Conn, StoreError, Tx, tags};

#[derive(Clone, Debug)]
pub struct Asset {
    pub id: AssetId,
    pub machine: Digest,
    pub facts: Facts,
    pub technologies: Vec<Key>,
    pub enrolled: Millis,
    pub revoked: Option<Millis>,
    pub quarantined: Option<String>,
    pub observations: Option<Digest>,
    pub seen: Seen,
    pub postures: PostureCounts,
}

/// What check-ins tell: kept in memory, written in batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub counter: u64,
    pub last_seen: Option<Millis>,
    pub clock: Option<(ClockReading, Millis)>,
    pub disabled: Option<String>,
    pub agent_version: String,
}

const COLUMNS: &str = "id, machine, facts, technologies, enrolled_at, revoked_at, quarantine_reason, \
     observations_digest, counter, last_seen_at, clock_offset_ms, clock_bound_ms, clock_at, disabled, \
     agent_version, \
     (SELECT COUNT(*) FROM postures WHERE postures.asset = assets.id AND status = 'pass'), \
     (SELECT COUNT(*) FROM postures WHERE postures.asset = assets.id AND status = 'fail'), \
     (SELECT COUNT(*) FROM postures WHERE postures.asset = assets.id AND status = 'error')";

fn read(row: &Row<'_>) -> rusqlite::Result<Asset> {
    let clock = match (row.get(10)?, row.get(11)?, millis_opt(row, 12)?) {
        (Some(offset_ms), Some(bound_ms), Some(at)) => Some((ClockReading { offset_ms, bound_ms }, at)),
        _ => None,
    };
    Ok(Asset {
        id: parsed(row, 0)?,
        machine: parsed(row, 1)?,
        facts: json(row, 2)?,
        technologies: json(row, 3)?,
        enrolled: millis(row, 4)?,
        revoked: millis_opt(row, 5)?,
        quarantined: row.get(6)?,
        observations: parsed_opt(row, 7)?,
        seen: Seen {
            counter: row.get::<_, i64>(8)?.try_into().unwrap_or(0),
            last_seen: millis_opt(row, 9)?,
            clock,
            disabled: row.get(13)?,
            agent_version: row.get(14)?,
        },
        postures: PostureCounts { pass: row.get(15)?, fail: row.get(16)?, error: row.get(17)? },
    })
}

pub fn insert(
    tx: &Tx<'_>,
    id: &AssetId,
    machine: Digest,
    facts: &Facts,
    tags: &[String],
    now: Millis,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO assets (id, machine, hostname, facts, technologies, agent_version, enrolled_at, counter) \
         VALUES ($1, $2, $3, $4, '[]', $5, $6, 0)",
        params![
            id.as_str(),
            machine.to_string(),
            facts.hostname,
            serde_json::to_string(facts)?,
            facts.agent_version,
            now.0
        ],
    )?;
    tags.iter().try_for_each(|tag| tags::add(tx, id, tag).map(drop))
}

pub fn get(conn: &Conn, id: &AssetId) -> Result<Option<Asset>, StoreError> {
    conn.row(&format!("SELECT {COLUMNS} FROM assets WHERE id = $1"), params![id.as_str()], read)
}

pub fn all(conn: &Conn) -> Result<Vec<Asset>, StoreError> {
    conn.rows(&format!("SELECT {COLUMNS} FROM assets ORDER BY id"), [], read)
}

pub fn ids(conn: &Conn) -> Result<Vec<AssetId>, StoreError> {
    conn.rows("SELECT id FROM assets ORDER BY id", [], |row| parsed(row, 0))
}

/// The one that this machine enrolled as and that is not revoked.
pub fn of_machine(conn: &Conn, machine: Digest) -> Result<Option<Asset>, StoreError> {
    conn.row(
        &format!("SELECT {COLUMNS} FROM assets WHERE machine = $1 AND revoked_at IS NULL"),
        params![machine.to_string()],
        read,
    )
}

/// Which assets a list shows, in order of host name and id.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub hostname: Option<String>,
    pub tag: Option<String>,
    pub state: Option<aright_shared::api::AssetState>,
    /// Host name and id of the last one seen.
    pub after: Option<(String, String)>,
}

pub fn list(conn: &Conn, selection: &Selection, limit: u32) -> Result<Vec<Asset>, StoreError> {
    use aright_shared::api::AssetState;
    let mut wanted = Where::default();
    wanted.equal("hostname", selection.hostname.as_deref());
    if let Some(tag) = &selection.tag {
        wanted.with("EXISTS (SELECT 1 FROM asset_tags WHERE asset = assets.id AND tag = ?)", [tag]);
    }
    match selection.state {
        None => {}
        Some(AssetState::Revoked) => wanted.that("revoked_at IS NOT NULL"),
        Some(AssetState::Quarantined) => wanted.that("revoked_at IS NULL AND quarantined_at IS NOT NULL"),
        Some(AssetState::Active) => wanted.that("revoked_at IS NULL AND quarantined_at IS NULL"),
    }
    if let Some((hostname, id)) = &selection.after {
        wanted.with("(hostname > ? OR (hostname = ? AND id > ?))", [hostname, hostname, id]);
    }
    let (text, values) = wanted.finish();
    conn.rows(
        &format!("SELECT {COLUMNS} FROM assets{text} ORDER BY hostname, id LIMIT {limit}"),
        rusqlite::params_from_iter(values),
        read,
    )
}

pub fn hostname(conn: &Conn, id: &AssetId) -> Result<Option<String>, StoreError> {
    conn.row("SELECT hostname FROM assets WHERE id = $1", params![id.as_str()], |row| row.get(0))
}

pub fn tags(conn: &Conn, id: &AssetId) -> Result<Vec<String>, StoreError> {
    conn.rows("SELECT tag FROM asset_tags WHERE asset = $1 ORDER BY tag", params![id.as_str()], |row| {
        row.get(0)
    })
}

/// Of every asset that has some.
pub fn all_tags(conn: &Conn) -> Result<HashMap<AssetId, BTreeSet<String>>, StoreError> {
    let rows: Vec<(AssetId, String)> =
        conn.rows("SELECT asset, tag FROM asset_tags", [], |row| Ok((parsed(row, 0)?, row.get(1)?)))?;
    let mut tags: HashMap<AssetId, BTreeSet<String>> = HashMap::new();
    for (asset, tag) in rows {
        tags.entry(asset).or_default().insert(tag);
    }
    Ok(tags)
}

/// What each asset was found to be, as it last reported.
pub fn all_technologies(conn: &Conn) -> Result<HashMap<AssetId, Vec<Key>>, StoreError> {
    let rows =
        conn.rows("SELECT id, technologies FROM assets", [], |row| Ok((parsed(row, 0)?, json(row, 1)?)))?;
    Ok(rows.into_iter().collect())
}

/// Id and host name of all that are not revoked, in order of host name.
pub fn names(conn: &Conn) -> Result<Vec<(AssetId, String)>, StoreError> {
    conn.rows("SELECT id, hostname FROM assets WHERE revoked_at IS NULL ORDER BY hostname, id", [], |row| {
        Ok((parsed(row, 0)?, row.get(1)?))
    })
}

/// False when it was revoked before.
pub fn revoke(tx: &Tx<'_>, id: &AssetId, now: Millis) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "UPDATE assets SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL",
        params![now.0, id.as_str()],
    )?;
    Ok(changed == 1)
}

/// Neither revoked nor quarantined.
pub fn may_have_tasks(conn: &Conn, id: &AssetId) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM assets WHERE id = $1 AND revoked_at IS NULL AND quarantined_at IS NULL",
        [id.as_str()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

pub fn quarantine(tx: &Tx<'_>, id: &AssetId, why: &str, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE assets SET quarantined_at = $1, quarantine_reason = $2 \
         WHERE id = $3 AND quarantined_at IS NULL",
        params![now.0, why, id.as_str()],
    )?;
    Ok(())
}

/// Writes what check-ins told.
pub fn seen(tx: &Tx<'_>, id: &AssetId, seen: &Seen) -> Result<(), StoreError> {
    let (reading, at) = seen.clock.unzip();
    tx.execute(
        "UPDATE assets SET counter = $1, last_seen_at = $2, clock_offset_ms = $3, clock_bound_ms = $4, \
         clock_at = $5, disabled = $6, agent_version = $7 WHERE id = $8",
        params![
            i64::try_from(seen.counter).unwrap_or(i64::MAX),
            seen.last_seen.map(|at| at.0),
            reading.map(|reading| reading.offset_ms),
            reading.map(|reading| reading.bound_ms),
            at.map(|at| at.0),
            seen.disabled,
            seen.agent_version,
            id.as_str()
        ],
    )?;
    Ok(())
}

pub fn set_facts(tx: &Tx<'_>, id: &AssetId, facts: &Facts) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE assets SET hostname = $1, facts = $2, agent_version = $3 WHERE id = $4",
        params![facts.hostname, serde_json::to_string(facts)?, facts.agent_version, id.as_str()],
    )?;
    Ok(())
}

pub fn set_technologies(tx: &Tx<'_>, id: &AssetId, technologies: &[Key]) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE assets SET technologies = $1 WHERE id = $2",
        params![serde_json::to_string(technologies)?, id.as_str()],
    )?;
    Ok(())
}

/// Notes the digest of all its observations, and when they were told.
pub fn set_observed(tx: &Tx<'_>, id: &AssetId, digest: Digest, now: Millis) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE assets SET observations_digest = $1, evaluated_at = $2 WHERE id = $3",
        params![digest.to_string(), now.0, id.as_str()],
    )?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::tests::store;

    pub(crate) fn facts(hostname: &str) -> Facts {
        Facts {
            hostname: hostname.into(),
            os: "Debian GNU/Linux 12 (bookworm)".into(),
            kernel: "6.1".into(),
            arch: "x86_64".into(),
            memory_mb: 2048,
            cpus: 2,
            boot_time: Millis(1),
            agent_version: env!("CARGO_PKG_VERSION").into(),
            confinement: "staged".into(),
            timezone: "Europe/Berlin".into(),
        }
    }

    #[test]
    fn facts_of_an_agent_that_tells_no_time_zone_can_be_read() {
        let mut told = serde_json::to_value(facts("a")).expect("JSON");
        told.as_object_mut().expect("an object").remove("timezone");
        let read: Facts = serde_json::from_value(told).expect("facts");
        assert_eq!(read, Facts { timezone: String::new(), ..facts("a") });
    }

    #[tokio::test]
    async fn lists_page_by_host_name_and_filter_by_tag_and_state() {
        let (_folder, store) = store();
        let ids: Vec<_> = ["b", "a", "c"].map(|name| (AssetId::new(), name)).into();
        let rows = ids.clone();
        store
            .write(move |tx| {
                for (id, name) in &rows {
                    insert(
                        tx,
                        id,
                        Digest::of(name.as_bytes()),
                        &facts(name),
                        &[format!("tag-{name}")],
                        Millis(1),
                    )?;
                }
                revoke(tx, &rows[2].0, Millis(2)).map(drop)
            })
            .await
            .expect("written");
        let names = async |selection: Selection, limit| {
            let found = store.read(move |conn| list(conn, &selection, limit)).await.expect("read");
            found.into_iter().map(|asset| asset.facts.hostname).collect::<Vec<_>>()
        };
        assert_eq!(names(Selection::default(), 2).await, ["a", "b"]);
        let after = Some(("b".to_owned(), ids[0].0.to_string()));
        assert_eq!(names(Selection { after, ..Selection::default() }, 9).await, ["c"]);
        assert_eq!(names(Selection { tag: Some("tag-b".into()), ..Selection::default() }, 9).await, ["b"]);
        let state = Some(aright_shared::api::AssetState::Revoked);
        assert_eq!(names(Selection { state, ..Selection::default() }, 9).await, ["c"]);
    }

    #[tokio::test]
    async fn what_was_seen_comes_back() {
        let (_folder, store) = store();
        let id = AssetId::new();
        let told = Seen {
            counter: 7,
            last_seen: Some(Millis(9)),
            clock: Some((ClockReading { offset_ms: -600_000, bound_ms: 4 }, Millis(8))),
            disabled: Some("by hand".into()),
            agent_version: "0.1.0".into(),
        };
        let (row, expected) = (id.clone(), told.clone());
        store
            .write(move |tx| {
                insert(tx, &row, Digest::of(b"m"), &facts("a"), &[], Millis(1))?;
                seen(tx, &row, &told)
            })
            .await
            .expect("written");
        let found = store.read(move |conn| get(conn, &id)).await.expect("read").expect("is there");
        assert_eq!(found.seen, expected);
    }
}
