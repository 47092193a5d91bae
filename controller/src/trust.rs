//! The trust folder: the document that says whose approvals agents believe, made once at the first
//! start; and the key that signs task orders. The root and approver keys go to `offline/`, to be
//! moved away: the controller never reads them again.

use anyhow::{Context as _, Result, anyhow};
use aright_shared::api;
use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, PublicKey, TRUST, new_signing_key};
use aright_shared::time::{DAY, Millis};
use aright_shared::trust::{Approver, TrustDocument, TrustError};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};

use crate::data::Data;

const DOCUMENT_DAYS: i64 = 2 * 365;
/// The first approver's name, and the first user's.
pub const FIRST_USER: &str = "admin";

const README: &str = "\
Keys that the controller made at its first start and never reads again. Move this folder to a place
that the controller cannot reach (another machine, a stick in a safe): whoever holds them can make
agents believe anything.

authority-root.key      renews the controller's intermediate certificate, each year:
                        aright-controller authority renew --root-key authority-root.key
trust-root.key          signs trust documents: who may approve scripts
approver-admin.key      approves scripts: aright script approve KEY --key approver-admin.key
";

#[derive(Clone)]
pub struct Trust {
    pub root: PublicKey,
    pub document: TrustDocument,
    pub envelope: Envelope,
    pub task_key: SigningKey,
}

impl Trust {
    /// Makes the keys and the first document.
    ///
    /// # Errors
    /// A file that cannot be written, no randomness.
    pub fn create(data: &Data, now: Millis) -> Result<()> {
        let (root, approver, task) = (new_signing_key()?, new_signing_key()?, new_signing_key()?);
        let document = TrustDocument {
            version: 1,
            expires: now.plus(DOCUMENT_DAYS * DAY),
            root: (&root).into(),
            approvers: vec![Approver { name: FIRST_USER.into(), key: (&approver).into(), online: false }],
            threshold: 1,
        };
        let envelope = Envelope::seal(TRUST, &document, &[&root])?;
        data.write("offline/README", README.as_bytes())?;
        data.write("offline/trust-root.key", pem(&root)?.as_bytes())?;
        data.write("offline/approver-admin.key", pem(&approver)?.as_bytes())?;
        data.write("keys/task.key", pem(&task)?.as_bytes())?;
        data.write("trust/document.json", &serde_json::to_vec(&envelope)?)?;
        data.write("trust/root.pub", &serde_json::to_vec(&PublicKey::from(&root))?)
    }

    /// # Errors
    /// A file that is missing or is not what it should be; names it.
    pub fn load(data: &Data) -> Result<Self> {
        let root: PublicKey =
            serde_json::from_str(&data.read("trust/root.pub")?).context("trust/root.pub")?;
        let envelope: Envelope =
            serde_json::from_str(&data.read("trust/document.json")?).context("trust/document.json")?;
        let document =
            TrustDocument::pin(&envelope, root, root.fingerprint()).context("trust/document.json")?;
        let task_key = SigningKey::from_pkcs8_pem(&data.read("keys/task.key")?)
            .map_err(|error| anyhow!("{}: {error}", data.path("keys/task.key").display()))?;
        Ok(Self { root, document, envelope, task_key })
    }

    /// With a document that replaces ours, once [`Trust::keep`] has it on disk.
    ///
    /// # Errors
    /// Not signed by the root in force, or not of a higher version.
    pub fn succeed(&self, envelope: &Envelope) -> Result<Self, TrustError> {
        let document = self.document.succeed(envelope)?;
        Ok(Self {
            root: document.root,
            document,
            envelope: envelope.clone(),
            task_key: self.task_key.clone(),
        })
    }

    /// # Errors
    /// Names the file.
    pub fn keep(&self, data: &Data) -> Result<()> {
        data.write("trust/document.json", &serde_json::to_vec(&self.envelope)?)?;
        // In this order: a document that names a new root is signed by the old one too.
        data.write("trust/root.pub", &serde_json::to_vec(&self.root)?)
    }

    /// What people compare and agents pin.
    pub fn fingerprint(&self) -> Digest {
        self.root.fingerprint()
    }

    pub fn view(&self, authority: Digest) -> api::Trust {
        api::Trust {
            authority,
            root: self.fingerprint(),
            task_key: (&self.task_key).into(),
            document: self.document.clone(),
            envelope: self.envelope.clone(),
        }
    }
}

fn pem(key: &SigningKey) -> Result<zeroize::Zeroizing<String>> {
    key.to_pkcs8_pem(LineEnding::LF).map_err(|error| anyhow!("encode a key: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_was_made_loads_without_the_offline_keys() {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        Trust::create(&data, Millis(0)).expect("made");
        let key = data.path("offline/approver-admin.key");
        assert_eq!(std::fs::metadata(&key).expect("is there").permissions().mode() & 0o777, 0o600);
        let approver =
            SigningKey::from_pkcs8_pem(&std::fs::read_to_string(key).expect("reads")).expect("a key");
        std::fs::remove_dir_all(data.path("offline")).expect("moved away");
        let trust = Trust::load(&data).expect("loads");
        assert_eq!(trust.document.approvers[0].key, (&approver).into());
        assert_eq!((trust.document.version, trust.document.threshold), (1, 1));
    }

    #[test]
    fn a_changed_document_does_not_load() {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        Trust::create(&data, Millis(0)).expect("made");
        let text =
            data.read("trust/document.json").expect("reads").replacen("payload\":\"e", "payload\":\"f", 1);
        data.write("trust/document.json", text.as_bytes()).expect("written");
        assert!(Trust::load(&data).is_err());
    }
}
