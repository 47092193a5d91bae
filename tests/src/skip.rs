//! How a test says that this machine cannot hold its testbed.
//!
//! It prints `skipped: why` and passes; the line also goes to the file named by `ARIGHT_SKIPS`, which
//! `./test` counts. Where `CI=true`, all of TESTBEDS.md is possible, and a skip is a failure.

use std::io::Write as _;

/// Something a testbed cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    Root,
    Program(&'static str),
    Device(&'static str),
    /// Built by `packaging/deb`.
    Package(&'static str),
}

/// What booted hosts in a lab need.
pub const HOSTS: &[Need] = &[
    Need::Root,
    Need::Program("debootstrap"),
    Need::Program("systemd-nspawn"),
    Need::Program("ip"),
    Need::Program("nsenter"),
    Need::Program("ssh"),
];

/// What the SCAP Security Guide needs.
pub const SSG: &[Need] = &[Need::Root, Need::Program("oscap"), Need::Program("apt-get")];

/// What a wrong clock needs.
pub const FAKETIME: &[Need] = &[Need::Program("faketime")];

/// What opens a backup without us, at a terminal.
pub const AGE: &[Need] = &[Need::Program("age"), Need::Program("script"), Need::Program("tar")];

/// What a lab without hosts needs.
pub const LAB: &[Need] = &[Need::Root, Need::Program("ip"), Need::Program("nsenter")];

/// What a Wine in a lab needs.
pub const WINDOWS: &[Need] = &[Need::Root, Need::Program("debootstrap"), Need::Program("apt-get")];

/// What claims about packages need.
pub const PACKAGES: &[Need] = &[
    Need::Package("aright-agent"),
    Need::Package("aright-controller"),
    Need::Package("aright"),
    Need::Program("dpkg-deb"),
];

/// What a disk whose power is cut needs, in a lab.
pub const POWER: &[Need] = &[
    Need::Program("qemu-storage-daemon"),
    Need::Program("mkfs.ext4"),
    Need::Program("mkfs.xfs"),
    Need::Device("/dev/fuse"),
    Need::Device("/dev/loop-control"),
];

/// Returns from the test, as skipped, unless all needs are met.
#[macro_export]
macro_rules! needs {
    ($($needs:expr),+ $(,)?) => {
        if $crate::skip::lacking(&[$($needs),+]) {
            return Ok(());
        }
    };
}

/// Whether something is missing; then it has been said.
///
/// # Panics
/// Where `CI=true` and something is missing.
#[must_use]
pub fn lacking(needs: &[&[Need]]) -> bool {
    let Some(need) = needs.iter().copied().flatten().find(|need| !is_met(**need)) else { return false };
    let why = match need {
        Need::Root => "needs root".to_owned(),
        Need::Program(name) => format!("{name} is not installed"),
        Need::Device(path) => format!("{path} cannot be opened"),
        Need::Package(name) => format!("the package {name} is not built: run packaging/deb first"),
    };
    say(&why);
    true
}

/// For a reason that is found out later.
///
/// # Panics
/// Where `CI=true`.
#[expect(clippy::print_stdout, reason = "the line is how a test says it")]
pub fn say(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    println!("skipped: {why}");
    if let Some(path) = std::env::var_os("ARIGHT_SKIPS") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        if let Ok(mut file) = file {
            let _ = file.write_all(format!("{test}: {why}\n").as_bytes());
        }
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "skipped where it is possible: {why}");
}

fn is_met(need: Need) -> bool {
    match need {
        Need::Root => nix::unistd::geteuid().is_root(),
        Need::Program(name) => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .chain(["/usr/sbin".into(), "/sbin".into()])
                .any(|folder| folder.join(name).is_file())
        }
        Need::Device(path) => std::fs::File::open(path).is_ok(),
        Need::Package(name) => crate::packages::package(name).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_missed() {
        assert!(is_met(Need::Program("sh")));
        assert!(!is_met(Need::Program("no-such-program-anywhere")));
    }
}
