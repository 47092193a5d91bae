//! Static tags: who gets and loses them, and which there are.

use aright_shared::api::Tag;
use aright_shared::id::AssetId;
use rusqlite::params;

use super::{Conn, StoreError, Tx};

/// False when it had the tag before.
pub fn add(tx: &Tx<'_>, asset: &AssetId, tag: &str) -> Result<bool, StoreError> {
    let changed = tx.execute(
        "INSERT INTO asset_tags (asset, tag) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        params![asset.as_str(), tag],
    )?;
    Ok(changed == 1)
}

/// False when it had no such tag.
pub fn remove(tx: &Tx<'_>, asset: &AssetId, tag: &str) -> Result<bool, StoreError> {
    let changed =
        tx.execute("DELETE FROM asset_tags WHERE asset = $1 AND tag = $2", params![asset.as_str(), tag])?;
    Ok(changed == 1)
}

/// Those that assets have which are not revoked, in order of name, above `after`.
pub fn list(conn: &Conn, after: Option<&str>, limit: u32) -> Result<Vec<Tag>, StoreError> {
    conn.rows(
        "SELECT t.tag, COUNT(*) FROM asset_tags t JOIN assets a ON a.id = t.asset \
         WHERE a.revoked_at IS NULL AND ($1 IS NULL OR t.tag > $1) \
         GROUP BY t.tag ORDER BY t.tag LIMIT $2",
        params![after, limit],
        |row| Ok(Tag { name: row.get(0)?, assets: row.get(1)? }),
    )
}
