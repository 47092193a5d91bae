//! How a host gets its agent: one line to be copied, per platform.

use serde::{Deserialize, Serialize};

use super::EnrollKeyMade;

/// All three to be run as the host's administrator, where the package lies.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installs {
    /// The package enrols while it is installed. The key is in the environment: no other user sees it there, and
    /// no `sudo` logs it.
    pub debian: String,
    /// For an agent that is installed already.
    pub by_hand: String,
    pub windows: String,
}

impl Installs {
    pub fn of(made: &EnrollKeyMade) -> Self {
        let url = word(made.urls.first().map_or("https://CONTROLLER:8440", String::as_str));
        let (key, authority, trust) = (word(&made.secret), made.authority, made.trust);
        let environment = format!(
            "ARIGHT_CONTROLLER_URL={url} ARIGHT_ENROLL_KEY={key} ARIGHT_CA_FINGERPRINT={authority} \
             ARIGHT_TRUST_FINGERPRINT={trust}"
        );
        let version = env!("CARGO_PKG_VERSION");
        Self {
            debian: format!("{environment} apt-get install -y ./aright-agent_*.deb"),
            by_hand: format!("{environment} aright-agent enroll"),
            windows: format!(
                "msiexec /i aright-agent-{version}-x64.msi /qn CONTROLLER_URL={url} ENROLL_KEY={key} \
                 CA_FINGERPRINT={authority} TRUST_FINGERPRINT={trust}"
            ),
        }
    }
}

/// What a controller says is pasted into a shell, cmd among them, to which `%` is a variable: no more than a word of it.
fn word(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_alphanumeric() || "-._~:/?[]@+=,".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::EnrollKey;
    use crate::digest::Digest;
    use crate::id::EnrollKeyId;
    use crate::time::Millis;

    #[test]
    fn a_line_per_platform_names_all_four_and_nothing_that_a_shell_would_obey() {
        let key = EnrollKey {
            id: EnrollKeyId::new(),
            name: String::new(),
            tags: Vec::new(),
            max_uses: 1,
            uses: 0,
            created: Millis(0),
            created_by: "admin".into(),
            expires: Millis(1),
        };
        let made = EnrollKeyMade {
            key,
            secret: "aek_a-b_c".into(),
            authority: Digest::of(b"authority"),
            trust: Digest::of(b"trust"),
            urls: vec!["https://aright.example:8440; reboot $(x)%PATH%".into()],
        };
        let Installs { debian, by_hand, windows } = Installs::of(&made);
        for line in [&debian, &by_hand, &windows] {
            for part in [&made.secret, &made.authority.to_string(), &made.trust.to_string()] {
                assert!(line.contains(part), "{line}");
            }
            assert!(
                line.contains("https://aright.example:8440reboot") && !line.contains([';', '$', '%', '\n']),
                "{line}"
            );
        }
    }
}
