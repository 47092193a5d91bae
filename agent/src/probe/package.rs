//! `package`: the installed version, by dpkg's own status file (dpkg-query(1), deb-control(5)).

use aright_shared::content::probe::Package;
use aright_shared::posture::{Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence};

pub(super) const STATUS: &str = "/var/lib/dpkg/status";

/// The version, or absent (value); absent (file) where dpkg does not keep this system.
pub(super) fn see(look: &Look<'_>, with: &Package) -> Seen {
    let text = match look.text(STATUS) {
        Ok(text) => text,
        Err(Failed::Absent) => return Seen::of(Reading::Absent(Missing::File)),
        Err(failed) => return Seen::of(failed.reading()),
    };
    for paragraph in text.split("\n\n") {
        let field = |name: &str| {
            paragraph.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::trim)
        };
        // Removed packages whose settings stay are listed too.
        let installed = field("Status").is_some_and(|status| status.ends_with(" installed"));
        if field("Package") == Some(with.name.as_str()) && installed {
            let version = field("Version").unwrap_or_default().to_owned();
            let shown = evidence(STATUS, Some(with.name.clone()), &version);
            return Seen::value(Value::Text(version), vec![shown]);
        }
    }
    Seen::of(Reading::Absent(Missing::Value))
}

#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    #[test]
    fn only_what_is_installed_counts() {
        let status = "Package: cron\nStatus: install ok installed\nVersion: 3.0pl1-162\n\n\
                      Package: sudo\nStatus: deinstall ok config-files\nVersion: 1.9\n";
        look_at(&[("var/lib/dpkg/status", status)], |look| {
            let version = |name: &str| see(look, &Package { name: name.into() }).reading;
            assert_eq!(version("cron"), Reading::Value(Value::Text("3.0pl1-162".into())));
            assert_eq!(version("sudo"), Reading::Absent(Missing::Value));
            assert_eq!(version("cro"), Reading::Absent(Missing::Value));
        });
    }
}
