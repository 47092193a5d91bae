//! Proof of contact after a change that can lock people out: a new connection to the controller, and every
//! probe of the host's health that held before.

#[cfg_attr(target_os = "linux", path = "confirm/linux.rs")]
#[cfg_attr(windows, path = "confirm/windows.rs")]
mod system;

use std::collections::BTreeSet;
use std::net::ToSocketAddrs as _;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// A *new* connection to the controller, whatever stands already.
pub trait Contact {
    /// # Errors
    /// One sentence on why it was not reached.
    fn reach(&self, within: Duration) -> Result<(), String>;
}

/// A way in which people and programs reach this host, or it reaches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Probe {
    SshdAnswers,
    SshdSettings,
    Administrator,
    RemoteDesktop,
    RemoteManagement,
    DefaultRoute,
    NameLookup,
}

impl std::fmt::Display for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::SshdAnswers => "sshd answers",
            Self::SshdSettings => "sshd accepts its settings",
            Self::Administrator => "sshd lets a member of sudo or wheel in",
            Self::RemoteDesktop => "remote desktop answers",
            Self::RemoteManagement => "remote management (WinRM) answers",
            Self::DefaultRoute => "there is a default route",
            Self::NameLookup => "names are looked up",
        })
    }
}

/// The probes that hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health(BTreeSet<Probe>);

impl Health {
    /// Looks at this host. `name` is one that can be looked up, such as the controller's.
    pub fn look(name: Option<&str>) -> Self {
        let mut probes = system::look();
        probes.push((Probe::NameLookup, name.is_some_and(can_look_up)));
        Self(probes.into_iter().filter(|(_, holds)| *holds).map(|(probe, _)| probe).collect())
    }

    pub fn of(probes: impl IntoIterator<Item = Probe>) -> Self {
        Self(probes.into_iter().collect())
    }

    /// What held in `self` and does not in `now`.
    pub fn lost(&self, now: &Self) -> Vec<Probe> {
        self.0.difference(&now.0).copied().collect()
    }
}

/// Longest wait for one connection, and the pause between two tries.
const TRY: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(1);

/// Tries until the controller was reached anew and all that held before holds, at most for `limit`.
///
/// # Errors
/// What was missing at the last try.
pub fn within(
    limit: Duration,
    contact: &dyn Contact,
    before: &Health,
    look: impl Fn() -> Health,
) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let lost = before.lost(&look());
        let missing = match contact.reach(TRY.min(left)) {
            Ok(()) if lost.is_empty() => return Ok(()),
            Ok(()) => {
                format!("no longer: {}", lost.iter().map(Probe::to_string).collect::<Vec<_>>().join(", "))
            }
            Err(error) => format!("the controller is out of reach: {error}"),
        };
        if Instant::now() + PAUSE >= deadline {
            return Err(format!("{missing} (within {} s)", limit.as_secs()));
        }
        std::thread::sleep(PAUSE);
    }
}

/// On a thread of its own: a resolver may be silent for a long time.
fn can_look_up(name: &str) -> bool {
    let (send, receive) = mpsc::channel();
    let name = name.to_owned();
    std::thread::spawn(move || send.send((name.as_str(), 0).to_socket_addrs().is_ok()));
    receive.recv_timeout(Duration::from_secs(5)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Reached(bool);

    impl Contact for Reached {
        fn reach(&self, _: Duration) -> Result<(), String> {
            if self.0 { Ok(()) } else { Err("connection refused".into()) }
        }
    }

    const SHORT: Duration = Duration::from_millis(1);

    #[test]
    fn only_what_held_before_must_hold_after() {
        let before = Health::of([Probe::SshdAnswers]);
        assert!(within(SHORT, &Reached(true), &before, || before.clone()).is_ok());
        assert!(within(SHORT, &Reached(true), &Health::default(), Health::default).is_ok());
        let lost =
            within(SHORT, &Reached(true), &before, || Health::of([Probe::DefaultRoute])).expect_err("lost");
        assert!(lost.contains("sshd answers"), "{lost}");
    }

    #[test]
    fn the_controller_must_be_reached() {
        let error =
            within(SHORT, &Reached(false), &Health::default(), Health::default).expect_err("out of reach");
        assert!(error.contains("connection refused"), "{error}");
    }

    #[test]
    fn what_comes_back_in_time_is_enough() {
        let looks = Cell::new(0);
        let before = Health::of([Probe::SshdAnswers]);
        let look = || {
            looks.set(looks.get() + 1);
            if looks.get() == 2 { before.clone() } else { Health::default() }
        };
        assert!(within(Duration::from_secs(5), &Reached(true), &before, look).is_ok());
    }
}
