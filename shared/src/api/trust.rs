//! Whose approvals agents believe.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{Envelope, PublicKey};
use crate::trust::TrustDocument;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// SHA-256 of the authority's root certificate (DER): what agents and CLI pin for TLS.
    pub authority: Digest,
    /// SHA-256 of the trust root's public key: what agents pin for approvals.
    pub root: Digest,
    pub task_key: PublicKey,
    pub document: TrustDocument,
    pub envelope: Envelope,
}
