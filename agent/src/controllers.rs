//! Which controllers there are, in order of preference, and whose turn it is.

use anyhow::ensure;

use crate::config::Config;
use crate::identity::Identity;

/// Failures in a row after which the next one's turn has come.
const FAILURES: u32 = 3;

/// Those of agent.toml, so that its owner can move the host to another address; else those of the enrolment. All of
/// them show certificates of the one pinned authority.
pub fn in_order(config: &Config, identity: &Identity) -> Vec<String> {
    if config.controllers.is_empty() { identity.controllers.clone() } else { config.controllers.clone() }
}

/// One is talked to until it fails; after the last comes the first again.
#[derive(Debug)]
pub struct Turn {
    urls: Vec<String>,
    at: usize,
    failures: u32,
}

impl Turn {
    /// # Errors
    /// There is none.
    pub fn of(urls: Vec<String>) -> anyhow::Result<Self> {
        ensure!(!urls.is_empty(), "no controller is named; next: controllers in agent.toml, or enrol again");
        Ok(Self { urls, at: 0, failures: 0 })
    }

    pub fn url(&self) -> &str {
        &self.urls[self.at]
    }

    /// The one whose turn it is, then the others.
    pub fn all(&self) -> Vec<String> {
        let (before, after) = self.urls.split_at(self.at);
        [after, before].concat()
    }

    pub fn answered(&mut self) {
        self.failures = 0;
    }

    /// Whether it is another one's turn now.
    pub fn failed(&mut self) -> bool {
        self.failures += 1;
        if self.failures < FAILURES || self.urls.len() == 1 {
            return false;
        }
        self.failures = 0;
        self.at = (self.at + 1) % self.urls.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(urls: &[&str]) -> Turn {
        Turn::of(urls.iter().map(|&url| url.to_owned()).collect()).expect("some")
    }

    #[test]
    fn the_next_ones_turn_comes_after_some_failures_in_a_row_and_round_again() {
        let mut turn = turn(&["a", "b"]);
        assert!(!turn.failed() && !turn.failed());
        turn.answered();
        assert!(!turn.failed() && !turn.failed() && turn.failed());
        assert_eq!((turn.url(), turn.all()), ("b", vec!["b".to_owned(), "a".to_owned()]));
        assert!(!turn.failed() && !turn.failed() && turn.failed());
        assert_eq!(turn.url(), "a");
    }

    #[test]
    fn one_alone_is_kept() {
        let mut turn = turn(&["a"]);
        assert!((0..10).all(|_| !turn.failed()));
        assert!(Turn::of(Vec::new()).is_err());
    }
}
