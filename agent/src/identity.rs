//! Who this agent is: its key (made here, never leaves), its certificate, and what it pinned at enrolment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use aright_shared::client::ClientIdentity;
use aright_shared::digest::Digest;
use aright_shared::envelope::{Envelope, PublicKey};
use aright_shared::id::AssetId;
use aright_shared::trust::TrustDocument;
use aright_shared::wire::EnrollReply;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};

use crate::{durable, system};

const REVOKED: &str = "revoked.json";

/// The folder that holds all the agent knows about itself.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

/// `identity.json`: written last, so that it stands for a whole enrolment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub asset: AssetId,
    pub controllers: Vec<String>,
    pub ca_fingerprint: Digest,
    pub trust_fingerprint: Digest,
    /// By which task envelopes are verified.
    pub task_key: PublicKey,
}

/// `trust.json`: the document in force, and the root key it is verified by.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct StoredTrust {
    root: PublicKey,
    envelope: Envelope,
}

impl StateDir {
    /// Opens the folder, making it (0700) where it does not exist.
    ///
    /// # Errors
    /// It cannot be made, or others may enter it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        system::make_private_folders(path)
            .with_context(|| format!("cannot make the state folder {}", path.display()))?;
        system::check_private(path)?;
        Ok(Self(path.to_owned()))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads one of our JSON files; `None` where it does not exist.
    ///
    /// # Errors
    /// Unreadable, or not what we wrote.
    pub fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let path = self.file(name);
        let bytes = durable::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        bytes.map(read).transpose().with_context(|| format!("{} is damaged", path.display()))
    }

    /// # Errors
    /// The disk refused.
    pub fn write<T: Serialize>(&self, name: &str, value: &T) -> anyhow::Result<()> {
        let path = self.file(name);
        let bytes = serde_json::to_vec(value)?;
        durable::write(&path, &bytes).with_context(|| format!("cannot write {}", path.display()))
    }

    /// # Errors
    /// Not enrolled, or damaged files.
    pub fn identity(&self) -> anyhow::Result<Option<Identity>> {
        self.read("identity.json")
    }

    /// Whether the controller said so when it was last asked.
    pub fn is_revoked(&self) -> bool {
        self.file(REVOKED).exists()
    }

    /// # Errors
    /// The disk refused.
    pub fn set_revoked(&self, revoked: bool) -> anyhow::Result<()> {
        if revoked {
            return self.write(REVOKED, &true);
        }
        self.remove(REVOKED).map(drop)
    }

    /// Removes one of our files; whether it was there.
    ///
    /// # Errors
    /// The disk refused.
    pub fn remove(&self, name: &str) -> anyhow::Result<bool> {
        let path = self.file(name);
        durable::remove(&path).with_context(|| format!("cannot remove {}", path.display()))
    }

    /// Certificate and key for mutual TLS.
    ///
    /// # Errors
    /// A file is missing or damaged.
    pub fn tls_identity(&self) -> anyhow::Result<ClientIdentity> {
        let chain = self.file("certificate.pem");
        let key = self.file("key.pem");
        Ok(ClientIdentity {
            chain: CertificateDer::pem_file_iter(&chain)
                .and_then(Iterator::collect)
                .with_context(|| format!("cannot read {}", chain.display()))?,
            key: PrivateKeyDer::from_pem_file(&key)
                .with_context(|| format!("cannot read {}", key.display()))?,
        })
    }

    /// Keeps a whole enrolment; afterwards [`StateDir::identity`] finds it.
    ///
    /// # Errors
    /// The trust document is not signed by the pinned root, or the disk refused.
    pub fn enrol(&self, reply: &EnrollReply, key: &NewKey, pinned: Identity) -> anyhow::Result<()> {
        TrustDocument::pin(&reply.trust, reply.root, pinned.trust_fingerprint)?;
        // From here to its end this host is not enrolled: half of two enrolments is none.
        self.remove("identity.json")?;
        durable::write(&self.file("key.pem"), key.pair.serialize_pem().as_bytes())?;
        self.keep_certificate(&reply.certificate)?;
        self.write("trust.json", &StoredTrust { root: reply.root, envelope: reply.trust.clone() })?;
        self.set_revoked(false)?;
        self.write("identity.json", &pinned)
    }

    /// # Errors
    /// The disk refused.
    pub fn keep_certificate(&self, pem: &str) -> anyhow::Result<()> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<_, _>>()?;
        ensure!(!chain.is_empty(), "the controller sent no certificate");
        Ok(durable::write(&self.file("certificate.pem"), pem.as_bytes())?)
    }

    /// The trust document in force.
    ///
    /// # Errors
    /// Missing or damaged.
    pub fn trust(&self) -> anyhow::Result<TrustDocument> {
        let stored = self.stored_trust()?;
        Ok(TrustDocument::pin(&stored.envelope, stored.root, stored.root.fingerprint())?)
    }

    /// The same as it was signed.
    ///
    /// # Errors
    /// Missing or damaged.
    pub fn trust_envelope(&self) -> anyhow::Result<Envelope> {
        Ok(self.stored_trust()?.envelope)
    }

    fn stored_trust(&self) -> anyhow::Result<StoredTrust> {
        let Some(stored) = self.read::<StoredTrust>("trust.json")? else {
            bail!("trust.json is missing; next: enrol again")
        };
        Ok(stored)
    }

    /// Puts a higher version in force.
    ///
    /// # Errors
    /// Not signed by the root in force, not higher, or the disk refused.
    pub fn succeed_trust(
        &self,
        current: &TrustDocument,
        envelope: &Envelope,
    ) -> anyhow::Result<TrustDocument> {
        let next = current.succeed(envelope)?;
        self.write("trust.json", &StoredTrust { root: next.root, envelope: envelope.clone() })?;
        Ok(next)
    }

    /// A number above all that it gave before, also after a power cut.
    ///
    /// # Errors
    /// The disk refused.
    pub fn next_counter(&self, step: u64) -> anyhow::Result<u64> {
        let next = self.read::<u64>("counter.json")?.unwrap_or(0) + step;
        self.write("counter.json", &next)?;
        Ok(next)
    }
}

/// A key pair made on this host (ECDSA P-256), before it has a certificate.
pub struct NewKey {
    pair: rcgen::KeyPair,
}

impl NewKey {
    /// # Errors
    /// The random source failed.
    pub fn make() -> anyhow::Result<Self> {
        Ok(Self { pair: rcgen::KeyPair::generate()? })
    }

    /// The key that is already here, for renewal.
    ///
    /// # Errors
    /// Missing or damaged.
    pub fn stored(state: &StateDir) -> anyhow::Result<Self> {
        let path = state.file("key.pem");
        let pem = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { pair: rcgen::KeyPair::from_pem(&pem)? })
    }

    /// A certificate signing request (PKCS#10) for this host, PEM.
    ///
    /// # Errors
    /// A name that no certificate can hold.
    pub fn request(&self, hostname: &str) -> anyhow::Result<String> {
        let mut params = rcgen::CertificateParams::new(Vec::new())?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, hostname);
        Ok(params.serialize_request(&self.pair)?.pem()?)
    }
}
