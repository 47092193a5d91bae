//! `controller.toml`: every key has a default, an unknown one is an error.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use aright_shared::time::SECOND;
use serde::Deserialize;

use crate::log;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub agents: Agents,
    pub operators: Operators,
    pub dispatch: Dispatch,
    pub log: Log,
}

/// The agents' port, mutual TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Agents {
    pub listen: SocketAddr,
    /// What agents and operators call this machine, besides its host name: names and addresses, the
    /// best first.
    pub names: Vec<String>,
    pub max_connections: usize,
}

/// The operators' port, HTTPS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Operators {
    pub listen: SocketAddr,
    pub max_connections: usize,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dispatch {
    /// How long a delivered task may go without word of its start before it is offered again.
    pub lease_s: u32,
    /// Largest clock offset, bound included, at which anything runs.
    pub clock_limit_s: u32,
    /// How long lock-out-prone fixes may wait for proof of contact.
    pub confirm_s: u32,
    /// How long past timeout and confirm time a running task may be silent.
    pub silence_s: u32,
    /// How long runs wait for hosts that do not come, unless the job says otherwise.
    pub expiry_s: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// As `RUST_LOG`, which beats it.
    pub filter: String,
}

impl Default for Agents {
    fn default() -> Self {
        Self { listen: ([0, 0, 0, 0], 8440).into(), names: Vec::new(), max_connections: 10_000 }
    }
}

impl Default for Operators {
    fn default() -> Self {
        Self { listen: ([127, 0, 0, 1], 8441).into(), max_connections: 1_000 }
    }
}

impl Default for Dispatch {
    fn default() -> Self {
        Self { lease_s: 30, clock_limit_s: 30, confirm_s: 300, silence_s: 120, expiry_s: 24 * 3600 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into() }
    }
}

impl Dispatch {
    pub fn clock_limit_ms(&self) -> i64 {
        i64::from(self.clock_limit_s) * SECOND
    }
}

impl Settings {
    /// Reads `file`; without one, `DATA/controller.toml` where it exists, else the defaults.
    ///
    /// # Errors
    /// Names the file, the key and what to do.
    pub fn load(file: Option<&Path>, data: &Path) -> Result<Self> {
        let own = data.join("controller.toml");
        let path = match file {
            Some(file) => file,
            None if own.exists() => &own,
            None => return Ok(Self::default()),
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("settings {}", path.display()))?;
        Self::parse(&text).with_context(|| {
            format!("settings {}: correct it, then try `aright-controller check-config`", path.display())
        })
    }

    fn parse(text: &str) -> Result<Self> {
        let settings: Self = toml::from_str(text)?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        let Dispatch { lease_s, clock_limit_s, confirm_s, silence_s, expiry_s } = self.dispatch;
        for (field, value, range) in [
            ("dispatch.lease_s", lease_s, 1..=3600),
            ("dispatch.clock_limit_s", clock_limit_s, 1..=300),
            ("dispatch.confirm_s", confirm_s, 1..=3600),
            ("dispatch.silence_s", silence_s, 1..=24 * 3600),
            ("dispatch.expiry_s", expiry_s, 60..=90 * 24 * 3600),
        ] {
            if !range.contains(&value) {
                bail!("{field} = {value}: must be {} to {}", range.start(), range.end());
            }
        }
        for (field, value) in [
            ("agents.max_connections", self.agents.max_connections),
            ("operators.max_connections", self.operators.max_connections),
        ] {
            if value == 0 {
                bail!("{field} = 0: must be 1 or more");
            }
        }
        log::filter(&self.log.filter)?;
        if let Some(name) = self.agents.names.iter().find(|name| !is_host(name)) {
            bail!("agents.names: {name:?} is neither a host name nor an address");
        }
        Ok(())
    }
}

/// A name or an address that a certificate can hold.
pub fn is_host(name: &str) -> bool {
    let label = |part: &str| {
        !part.is_empty()
            && part.len() <= 63
            && part.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    name.parse::<std::net::IpAddr>().is_ok() || (name.len() <= 253 && name.split('.').all(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("controller.toml");
        std::fs::write(&file, text).expect("written");
        format!("{:#}", Settings::load(Some(&file), folder.path()).expect_err("refused"))
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_name_the_file_and_a_remedy() {
        let error = refusal("[dispatch]\nlaese_s = 5\n");
        for part in ["laese_s", "controller.toml", "lease_s", "check-config"] {
            assert!(error.contains(part), "{part} in {error}");
        }
        assert!(refusal("[agnets]\n").contains("agnets"));
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_with_the_range() {
        assert!(refusal("[dispatch]\nclock_limit_s = 0\n").contains("must be 1 to 300"));
        assert!(refusal("[agents]\nnames = [\"a b\"]\n").contains("\"a b\""));
        assert!(refusal("[agents]\nlisten = \"nowhere\"\n").contains("listen"));
    }

    #[test]
    fn without_a_file_the_defaults_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings::load(None, folder.path()).expect("defaults");
        assert_eq!(settings.agents.listen.port(), 8440);
        assert!(
            Settings::load(Some(Path::new("/nowhere.toml")), folder.path()).is_err(),
            "a named file must exist"
        );
    }

    #[test]
    fn the_packaged_settings_are_the_defaults() {
        let packaged = include_str!("../../packaging/debian/controller.toml");
        let shown: String = packaged
            .lines()
            .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        for text in [packaged, &shown] {
            let settings = Settings::parse(text).expect("loads");
            assert_eq!(format!("{settings:?}"), format!("{:?}", Settings::default()));
        }
    }
}
