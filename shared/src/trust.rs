//! The trust document: whose approvals an agent believes. Signed by an offline root key whose
//! fingerprint the agent pins at enrolment, so that the controller cannot replace it.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::{APPROVAL, Envelope, OpenError, PublicKey, TRUST};
use crate::id::Key;
use crate::time::Millis;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustDocument {
    /// Only higher versions replace one that is in force.
    pub version: u64,
    /// Past this, in controller time, nothing but the library is believed.
    pub expires: Millis,
    /// The root key in force once this document is.
    pub root: PublicKey,
    pub approvers: Vec<Approver>,
    /// How many approvers must have signed.
    pub threshold: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approver {
    pub name: String,
    pub key: PublicKey,
    /// The key stays with the controller, for one-click approval.
    pub online: bool,
}

/// An approver's word on the exact bytes of one script.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Of the script's canonical bytes.
    pub script: Digest,
    pub key: Key,
    pub approver: String,
    pub approved: Millis,
    pub not_after: Millis,
}

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("trust root {found} is not the pinned {pinned}")]
    WrongRoot { found: Digest, pinned: Digest },
    #[error("trust document version {found} is not above {current}, which is in force")]
    NotNewer { found: u64, current: u64 },
    #[error(
        "trust document: threshold {threshold} with {approvers} approvers; it must lie between 1 and their number"
    )]
    Threshold { threshold: u32, approvers: usize },
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl TrustDocument {
    /// Opens the first document an agent sees, against the fingerprint it was told to pin.
    ///
    /// # Errors
    /// Another root, a changed byte, a senseless threshold.
    pub fn pin(envelope: &Envelope, root: PublicKey, pinned: Digest) -> Result<Self, TrustError> {
        if root.fingerprint() != pinned {
            return Err(TrustError::WrongRoot { found: root.fingerprint(), pinned });
        }
        Self::checked(envelope, root)
    }

    /// Opens a document that is to replace `self`: signed by the root in force, of a higher version.
    ///
    /// # Errors
    /// As [`TrustDocument::pin`], or a version that is not higher.
    pub fn succeed(&self, envelope: &Envelope) -> Result<Self, TrustError> {
        let next = Self::checked(envelope, self.root)?;
        if next.version <= self.version {
            return Err(TrustError::NotNewer { found: next.version, current: self.version });
        }
        Ok(next)
    }

    fn checked(envelope: &Envelope, root: PublicKey) -> Result<Self, TrustError> {
        let document: Self = envelope.open(TRUST, &[root], 1)?;
        if document.threshold == 0 || document.threshold as usize > document.approvers.len() {
            return Err(TrustError::Threshold {
                threshold: document.threshold,
                approvers: document.approvers.len(),
            });
        }
        if document.root != root {
            // A new root comes into force only when it has signed too: nobody is locked out by a typing error.
            envelope.open::<Self>(TRUST, &[root, document.root], 2)?;
        }
        Ok(document)
    }

    /// Opens an approval against the approvers of this document.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn approval(&self, envelope: &Envelope) -> Result<Approval, OpenError> {
        let keys: Vec<_> = self.approvers.iter().map(|approver| approver.key).collect();
        envelope.open(APPROVAL, &keys, self.threshold as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn document(version: u64, root: &SigningKey) -> TrustDocument {
        let approver = Approver { name: "ann".into(), key: (&key(9)).into(), online: false };
        TrustDocument {
            version,
            expires: Millis(1),
            root: root.into(),
            approvers: vec![approver],
            threshold: 1,
        }
    }

    fn sealed(document: &TrustDocument, by: &[&SigningKey]) -> Envelope {
        Envelope::seal(TRUST, document, by).expect("seals")
    }

    #[test]
    fn another_root_is_refused_with_both_fingerprints() {
        let envelope = sealed(&document(1, &key(1)), &[&key(1)]);
        let pinned = PublicKey::from(&key(2)).fingerprint();
        let error = TrustDocument::pin(&envelope, (&key(1)).into(), pinned).expect_err("refused").to_string();
        assert!(
            error.contains(&pinned.to_string())
                && error.contains(&PublicKey::from(&key(1)).fingerprint().to_string())
        );
    }

    #[test]
    fn only_higher_versions_succeed() {
        let first = document(3, &key(1));
        assert!(first.succeed(&sealed(&document(4, &key(1)), &[&key(1)])).is_ok());
        assert!(matches!(
            first.succeed(&sealed(&document(3, &key(1)), &[&key(1)])),
            Err(TrustError::NotNewer { .. })
        ));
    }

    #[test]
    fn a_new_root_needs_the_old_ones_signature_and_its_own() {
        let first = document(1, &key(1));
        let next = document(2, &key(2));
        assert!(first.succeed(&sealed(&next, &[&key(2)])).is_err());
        assert!(first.succeed(&sealed(&next, &[&key(1)])).is_err());
        assert!(first.succeed(&sealed(&next, &[&key(1), &key(2)])).is_ok());
    }
}
