//! Identifiers: opaque ids made by the controller, and the slugs that content uses.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::digest::Digest;

/// A text that is not an identifier of its kind.
#[derive(Debug, thiserror::Error)]
#[error("{kind} {text:?}: {why}")]
pub struct BadId {
    kind: &'static str,
    text: String,
    why: &'static str,
}

macro_rules! opaque_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// A new id: UUIDv7 (RFC 9562), so that ids sort by the time they were made.
            #[expect(clippy::new_without_default, reason = "an id made by default would be a surprise")]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7().to_string())
            }
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                // The hyphenated lower-case form only: one id, one spelling, safe in a path.
                match uuid::Uuid::try_parse(text) {
                    Ok(id) if id.to_string() == text => Ok(Self(text.to_owned())),
                    _ => Err(BadId { kind: $kind, text: clip(text), why: "not a lower-case UUID" }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

opaque_id!(/// One host.
    AssetId, "asset id");
opaque_id!(/// What the wizard or `aright job create` saved.
    JobId, "job id");
opaque_id!(/// One occurrence of a job.
    RunId, "run id");
opaque_id!(/// One script on one asset in one run.
    TaskId, "task id");
impl TaskId {
    /// The id of one script on one asset in one run: the same whenever the run begins. A controller that was
    /// restored to before then makes the task that its agent remembers, and not another. Ids sort by the age of
    /// their runs, then by asset, then by `rank`.
    pub fn of(run: &RunId, asset: &AssetId, script: Digest, rank: u16) -> Self {
        let of_asset = Digest::of(format!("{run} {asset}").as_bytes());
        let of_all = Digest::of(format!("{run} {asset} {script}").as_bytes());
        let mut bytes = [0; 16];
        if let Ok(run) = uuid::Uuid::try_parse(run.as_str()) {
            bytes[..6].copy_from_slice(&run.as_bytes()[..6]);
        }
        bytes[6..11].copy_from_slice(&of_asset.as_bytes()[..5]);
        bytes[11..13].copy_from_slice(&rank.to_be_bytes());
        bytes[13..].copy_from_slice(&of_all.as_bytes()[..3]);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string())
    }
}

opaque_id!(/// One posture.
    PostureId, "posture id");
opaque_id!(/// What lets agents enrol.
    EnrollKeyId, "enrolment key id");
opaque_id!(/// One line of the audit log.
    AuditId, "audit id");
opaque_id!(/// One life of a controller's store: another one since it was restored from a backup.
    HistoryId, "history id");

/// A slug that names a technology, control, policy or script: `[a-z0-9][a-z0-9.-]{0,99}`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Key(String);

impl Key {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Key {
    type Err = BadId;
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = |why| BadId { kind: "key", text: clip(text), why };
        if text.is_empty() || text.len() > 100 {
            return Err(bad("must have 1 to 100 characters"));
        }
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !text.bytes().all(|c| plain(c) || c == b'-' || c == b'.') || !plain(text.as_bytes()[0]) {
            return Err(bad("only a-z, 0-9, '-' and '.', the first a letter or digit"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let id = TaskId::new();
        assert_eq!(id.as_str().parse::<TaskId>().expect("its own text"), id);
        assert!(id.as_str().to_uppercase().parse::<TaskId>().is_err());
        assert!("../../etc/passwd".parse::<TaskId>().is_err());
    }

    #[test]
    fn a_tasks_id_is_the_same_again_and_sorts_by_rank() {
        let (run, asset, script) = (RunId::new(), AssetId::new(), Digest::of(b"script"));
        let id = |rank| TaskId::of(&run, &asset, script, rank);
        assert_eq!(id(1), id(1));
        assert!(id(1) < id(2) && id(2) < id(0x8000));
        assert_eq!(id(1).as_str().parse::<TaskId>().expect("an id"), id(1));
        assert_ne!(TaskId::of(&run, &asset, Digest::of(b"other"), 1), id(1));
        assert_ne!(TaskId::of(&run, &AssetId::new(), script, 1), id(1));
    }

    #[test]
    fn a_key_is_a_slug() {
        assert!("ubuntu-22.04".parse::<Key>().is_ok());
        for bad in ["", "-a", "A", "a/b", "a b", &"a".repeat(101)] {
            assert!(bad.parse::<Key>().is_err(), "{bad:?}");
        }
    }
}
