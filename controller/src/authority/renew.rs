//! The intermediate's renewal, by the root key: of itself while that still lies in `offline/`, else by whoever has it.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aright_shared::time::{DAY, Millis};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};

use super::{Authority, INTERMEDIATE_DAYS, ROOT_KEY, new_intermediate};
use crate::data::Data;

/// Renewed when two thirds of its time are over.
const RENEWED_BEFORE: i64 = INTERMEDIATE_DAYS / 3 * DAY;

/// Makes a new intermediate in `data`.
///
/// # Errors
/// The key is not the root's, or a file cannot be read or written.
pub fn renew(data: &Data, root_key: &Path, now: Millis) -> Result<Authority> {
    let shown = root_key.display();
    let authority = Authority::load(data)?;
    let pem = std::fs::read_to_string(root_key).with_context(|| format!("read {shown}"))?;
    let key = KeyPair::from_pem(&zeroize::Zeroizing::new(pem))
        .with_context(|| format!("{shown} is no private key in PEM"))?;
    let (_, root) = x509_parser::parse_x509_certificate(&authority.root)?;
    ensure!(
        root.public_key().subject_public_key.data == key.der_bytes(),
        "{shown} is not the key of the authority {}; next: give its authority-root.key",
        authority.fingerprint()
    );
    new_intermediate(data, &Issuer::from_ca_cert_der(&authority.root, key)?, now)?;
    Authority::load(data)
}

/// Renews it when it is time, if the root key was not moved away.
///
/// # Errors
/// As [`renew`].
pub fn renew_by_itself(data: &Data, authority: &Authority, now: Millis) -> Result<()> {
    let root_key = data.path(ROOT_KEY);
    if authority.expires().since(now) > RENEWED_BEFORE || !root_key.exists() {
        return Ok(());
    }
    renew(data, &root_key, now).map(drop)
}

impl Authority {
    /// Whether it issues by the same intermediate.
    pub fn is_same(&self, other: &Self) -> bool {
        self.intermediate == other.intermediate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aright_shared::time::{Clock as _, WallClock};

    #[test]
    fn it_is_renewed_in_time_by_the_roots_key_and_by_no_other() {
        let above = tempfile::tempdir().expect("a folder");
        let data = Data::open(&above.path().join("data")).expect("opens");
        let now = WallClock.now();
        Authority::create(&data, now).expect("made");
        let first = Authority::load(&data).expect("loads");

        renew_by_itself(&data, &first, now.plus(240 * DAY)).expect("looks");
        assert!(Authority::load(&data).expect("loads").is_same(&first), "too early");
        let later = now.plus(250 * DAY);
        renew_by_itself(&data, &first, later).expect("renews");
        let second = Authority::load(&data).expect("loads");
        assert!(!second.is_same(&first) && second.expires() > later.plus(364 * DAY));
        assert_eq!(second.fingerprint(), first.fingerprint(), "what agents pin stays");

        let elsewhere = above.path().join("authority-root.key");
        std::fs::rename(data.path(ROOT_KEY), &elsewhere).expect("moved away");
        renew_by_itself(&data, &second, later.plus(300 * DAY)).expect("looks");
        assert!(Authority::load(&data).expect("loads").is_same(&second), "it has no key");
        let third = renew(&data, &elsewhere, later.plus(300 * DAY)).expect("by hand");
        assert!(third.expires() > later.plus(664 * DAY));

        let stranger = above.path().join("stranger.key");
        std::fs::write(&stranger, KeyPair::generate().expect("a key").serialize_pem()).expect("written");
        let why = renew(&data, &stranger, now).err().expect("refused").to_string();
        assert!(why.contains("is not the key of the authority"), "{why}");
        assert!(Authority::load(&data).expect("loads").is_same(&third), "left as it was");
    }
}
