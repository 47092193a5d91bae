//! DSSE envelopes (secure-systems-lab/dsse v1.0.2) with Ed25519 (RFC 8032), and RFC 8785 bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::Digest;

/// Payload types, so that one signed thing can never be taken for another.
pub const TASK: &str = "application/vnd.aright.task+json";
pub const APPROVAL: &str = "application/vnd.aright.approval+json";
pub const TRUST: &str = "application/vnd.aright.trust+json";

/// Largest payload that is looked at, in bytes.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// Canonical JSON (RFC 8785) of a value: the bytes that are stored, hashed, signed, sent and parsed.
///
/// # Errors
/// A value that JSON cannot express.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    serde_json_canonicalizer::to_vec(value)
}

/// An Ed25519 public key, standard base64 on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// SHA-256 of the 32 raw bytes: what people compare, and the DSSE key id.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl From<&SigningKey> for PublicKey {
    fn from(key: &SigningKey) -> Self {
        Self(key.verifying_key())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = BASE64.decode(String::deserialize(from)?).map_err(de::Error::custom)?;
        let raw = bytes.try_into().map_err(|_| de::Error::custom("a public key has 32 bytes"))?;
        VerifyingKey::from_bytes(&raw).map(Self).map_err(de::Error::custom)
    }
}

/// A signed payload. The payload is only reachable through [`Envelope::open`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnvelopeSignature {
    keyid: String,
    sig: String,
}

/// Why an envelope was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Bytes and signatures do not belong together: something was changed.
    #[error("bad signature: {0}")]
    BadSignature(&'static str),
    /// The signatures name only keys that are not trusted.
    #[error("signed by {keyid}, which is not a trusted key")]
    UnknownKey { keyid: String },
    #[error("payload: {0}")]
    Payload(#[from] serde_json::Error),
}

/// Pre-authentication encoding of DSSE.
fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

impl Envelope {
    /// Signs the canonical bytes of `value`.
    ///
    /// # Errors
    /// A value that JSON cannot express.
    pub fn seal<T: Serialize>(
        payload_type: &str,
        value: &T,
        keys: &[&SigningKey],
    ) -> Result<Self, serde_json::Error> {
        let payload = canonical(value)?;
        let message = pae(payload_type, &payload);
        let signatures = keys
            .iter()
            .map(|key| EnvelopeSignature {
                keyid: PublicKey::from(*key).fingerprint().hex(),
                sig: BASE64.encode(key.sign(&message).to_bytes()),
            })
            .collect();
        Ok(Self { payload_type: payload_type.to_owned(), payload: BASE64.encode(payload), signatures })
    }

    /// The payload, if each of at least `threshold` different keys of `trusted` signed it.
    /// A signature that names a trusted key and does not verify spoils the whole.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open<T: de::DeserializeOwned>(
        &self,
        payload_type: &str,
        trusted: &[PublicKey],
        threshold: usize,
    ) -> Result<T, OpenError> {
        if self.payload_type != payload_type {
            return Err(OpenError::BadSignature("the payload is of another type"));
        }
        if self.payload.len() > MAX_PAYLOAD / 3 * 4 || self.signatures.len() > 16 {
            return Err(OpenError::BadSignature("the envelope is too large"));
        }
        let payload =
            BASE64.decode(&self.payload).map_err(|_| OpenError::BadSignature("the payload is not base64"))?;
        let message = pae(payload_type, &payload);
        let mut signers = Vec::new();
        for signature in &self.signatures {
            let Some(key) = trusted.iter().find(|key| key.fingerprint().hex() == signature.keyid) else {
                continue;
            };
            let sig = BASE64
                .decode(&signature.sig)
                .ok()
                .and_then(|bytes| Signature::from_slice(&bytes).ok())
                .ok_or(OpenError::BadSignature("a signature is not 64 bytes of base64"))?;
            key.0
                .verify_strict(&message, &sig)
                .map_err(|_| OpenError::BadSignature("a signature does not match the payload"))?;
            if !signers.contains(&key.fingerprint()) {
                signers.push(key.fingerprint());
            }
        }
        if signers.len() < threshold.max(1) {
            let keyid = self
                .signatures
                .first()
                .map_or_else(|| "nobody".to_owned(), |s| s.keyid.chars().take(64).collect());
            return Err(OpenError::UnknownKey { keyid });
        }
        Ok(serde_json::from_slice(&payload)?)
    }

    /// SHA-256 of the whole envelope, by which a task names its approval.
    ///
    /// # Errors
    /// Never in practice: an envelope is plain strings.
    pub fn digest(&self) -> Result<Digest, serde_json::Error> {
        Ok(Digest::of(&canonical(self)?))
    }
}

/// A fresh Ed25519 key from the system's random source.
///
/// # Errors
/// The random source failed.
pub fn new_signing_key() -> Result<SigningKey, getrandom::Error> {
    let mut seed = zeroize::Zeroizing::new([0u8; 32]);
    getrandom::fill(seed.as_mut())?;
    Ok(SigningKey::from_bytes(&seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn sealed() -> Envelope {
        Envelope::seal(TASK, &serde_json::json!({"b": 1, "a": "x"}), &[&key(1)]).expect("seals")
    }

    fn open(envelope: &Envelope, by: &SigningKey) -> Result<serde_json::Value, OpenError> {
        envelope.open(TASK, &[by.into()], 1)
    }

    #[test]
    fn pae_is_that_of_the_dsse_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_was_sealed_opens() {
        assert_eq!(open(&sealed(), &key(1)).expect("opens")["a"], "x");
    }

    #[test]
    fn every_flipped_payload_byte_is_seen() {
        let good = BASE64.decode(sealed().payload).expect("base64");
        for i in 0..good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            let envelope = Envelope { payload: BASE64.encode(bad), ..sealed() };
            assert!(matches!(open(&envelope, &key(1)), Err(OpenError::BadSignature(_))), "byte {i}");
        }
    }

    #[test]
    fn another_key_another_type_and_a_repeated_signer_do_not_open() {
        assert!(matches!(open(&sealed(), &key(2)), Err(OpenError::UnknownKey { .. })));
        assert!(sealed().open::<serde_json::Value>(APPROVAL, &[(&key(1)).into()], 1).is_err());
        let mut twice = sealed();
        twice.signatures.push(twice.signatures[0].clone());
        assert!(twice.open::<serde_json::Value>(TASK, &[(&key(1)).into()], 2).is_err());
    }
}
