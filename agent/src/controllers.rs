//! Which controllers there are, in order of preference.

use crate::config::Config;
use crate::identity::Identity;

/// Those of agent.toml, so that its owner can move the host to another address; else those of the enrolment. All of
/// them show certificates of the one pinned authority.
pub fn in_order(config: &Config, identity: &Identity) -> Vec<String> {
    if config.controllers.is_empty() { identity.controllers.clone() } else { config.controllers.clone() }
}
