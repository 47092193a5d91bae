//! Agents' certificates: identity is by fingerprint, on every request.

use aright_shared::digest::Digest;
use aright_shared::id::AssetId;
use aright_shared::time::Millis;
use rusqlite::params;

use super::conn::{millis, parsed};
use super::{Conn, StoreError, Tx};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// SHA-256 of the leaf (DER).
    pub fingerprint: Digest,
    pub asset: AssetId,
    pub expires: Millis,
}

/// `public_key` is the digest of the key it certifies.
pub fn insert(
    tx: &Tx<'_>,
    certificate: &Certificate,
    public_key: Digest,
    now: Millis,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO certificates (fingerprint, asset, public_key, issued_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (fingerprint) DO NOTHING",
        params![
            certificate.fingerprint.to_string(),
            certificate.asset.as_str(),
            public_key.to_string(),
            now.0,
            certificate.expires.0
        ],
    )?;
    Ok(())
}

/// Every one that may still be used, were it only to renew.
pub fn all(conn: &Conn, expired_after: Millis) -> Result<Vec<Certificate>, StoreError> {
    conn.rows(
        "SELECT fingerprint, asset, expires_at FROM certificates WHERE expires_at > $1",
        params![expired_after.0],
        |row| {
            Ok(Certificate { fingerprint: parsed(row, 0)?, asset: parsed(row, 1)?, expires: millis(row, 2)? })
        },
    )
}

/// Whether `asset` has ever had a certificate on this key.
pub fn has_key(conn: &Conn, asset: &AssetId, public_key: Digest) -> Result<bool, StoreError> {
    let found = conn.row(
        "SELECT 1 FROM certificates WHERE asset = $1 AND public_key = $2 LIMIT 1",
        params![asset.as_str(), public_key.to_string()],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}
