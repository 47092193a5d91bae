//! `os`: what the system says it is, by os-release(5) and uname(2).

use aright_shared::content::probe::{Os, OsField};
use aright_shared::posture::{Missing, Reading, Value};

use super::{Failed, Look, Seen, evidence};

/// `/etc` may override `/usr/lib` (os-release(5)).
const FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

pub(super) fn see(look: &Look<'_>, with: &Os) -> Seen {
    match with.field {
        OsField::Id => release(look, "ID"),
        OsField::Version => release(look, "VERSION_ID"),
        OsField::Family => Seen::value(Value::Text("linux".into()), Vec::new()),
        OsField::Arch => uname(|name| name.machine()),
        OsField::Kernel => uname(|name| name.release()),
        OsField::Container => container(look),
    }
}

fn release(look: &Look<'_>, key: &str) -> Seen {
    for path in FILES {
        let text = match look.text(path) {
            Ok(text) => text,
            Err(Failed::Absent) => continue,
            Err(failed) => return Seen::of(failed.reading()),
        };
        let line = text.lines().find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with('=')));
        let Some(line) = line else { return Seen::of(Reading::Absent(Missing::Value)) };
        let value = line[key.len() + 1..].trim().trim_matches(['"', '\'']);
        return Seen::value(Value::Text(value.to_owned()), vec![evidence(path, Some(key.to_owned()), line)]);
    }
    Seen::of(Reading::Absent(Missing::File))
}

fn uname(part: impl Fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr) -> Seen {
    match nix::sys::utsname::uname() {
        Ok(name) => Seen::value(Value::Text(part(&name).to_string_lossy().into_owned()), Vec::new()),
        Err(error) => Seen::error(aright_shared::posture::ErrorCode::ProbeFailed, format!("uname: {error}")),
    }
}

/// The container's kind as its manager says it, absent outside of one.
fn container(look: &Look<'_>) -> Seen {
    match look.text("/run/systemd/container") {
        Ok(text) => Seen::value(Value::Text(text.trim().to_owned()), Vec::new()),
        Err(Failed::Absent) => Seen::of(Reading::Absent(Missing::Value)),
        Err(failed) => Seen::of(failed.reading()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    #[test]
    fn etc_overrides_usr_lib_and_quotes_go() {
        let files = [
            ("usr/lib/os-release", "ID=other\n"),
            ("etc/os-release", "PRETTY_NAME=x\nID=debian\nVERSION_ID=\"12\"\n"),
        ];
        look_at(&files, |look| {
            let value = |field| see(look, &Os { field }).reading;
            assert_eq!(value(OsField::Id), Reading::Value(Value::Text("debian".into())));
            assert_eq!(value(OsField::Version), Reading::Value(Value::Text("12".into())));
        });
    }
}
