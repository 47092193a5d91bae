//! `file_attributes`: owner, group, mode, type and size of one file.

use aright_shared::content::probe::FileAttributes;
use aright_shared::posture::{Missing, Reading, Value};
use nix::sys::stat::SFlag;

use super::account::name_of;
use super::{Failed, Look, Seen, evidence, record};

/// A record `owner, group, mode, type, size`; absent (file) where nothing is.
pub(super) fn see(look: &Look<'_>, with: &FileAttributes) -> Seen {
    let meta = match look.root().meta(&with.path, with.follow).map_err(Failed::from) {
        Ok(meta) => meta,
        Err(Failed::Absent) => return Seen::of(Reading::Absent(Missing::File)),
        Err(failed) => return Seen::of(failed.reading()),
    };
    if look.pending().is_some_and(|pending| pending.attributes || pending.covers(&with.path)) {
        return Seen::of(Reading::Pending);
    }
    look.looked_at.borrow_mut().insert(with.path.clone());
    let text = |text: String| Reading::Value(Value::Text(text));
    let owner = name_of(look, "/etc/passwd", meta.st_uid);
    let group = name_of(look, "/etc/group", meta.st_gid);
    let mode = format!("{:04o}", meta.st_mode & 0o7777);
    let kind = kind(meta.st_mode);
    let shown = evidence(&with.path, None, &format!("{kind} {mode} {owner}:{group}"));
    let fields = [
        ("owner", text(owner)),
        ("group", text(group)),
        ("mode", text(mode)),
        ("type", text(kind.into())),
        ("size", Reading::Value(Value::Int(meta.st_size))),
    ];
    Seen::value(record(fields), vec![shown])
}

fn kind(mode: u32) -> &'static str {
    match SFlag::from_bits_truncate(mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => "file",
        SFlag::S_IFDIR => "folder",
        SFlag::S_IFLNK => "link",
        _ => "special",
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::look_at;
    use super::*;

    #[test]
    fn the_record_is_what_stat_says() {
        look_at(
            &[("etc/passwd", "root:x:0:0::/root:/bin/sh\n"), ("etc/group", "root:x:0:\n"), ("etc/f", "abc")],
            |look| {
                std::fs::set_permissions(
                    look.on_disk("etc/f"),
                    std::os::unix::fs::PermissionsExt::from_mode(0o4750),
                )
                .expect("chmod");
                let seen = see(look, &FileAttributes { path: "/etc/f".into(), follow: true });
                let Reading::Value(Value::Record(fields)) = seen.reading else { panic!("a record") };
                let text = |field: &str| fields[field].to_string();
                assert_eq!(
                    (text("mode"), text("type"), text("size")),
                    ("4750".into(), "file".into(), "3".into())
                );
                if nix::unistd::geteuid().is_root() {
                    assert_eq!((text("owner"), text("group")), ("root".into(), "root".into()));
                }
            },
        );
    }

    #[test]
    fn nothing_there_is_absent() {
        look_at(&[], |look| {
            let seen = see(look, &FileAttributes { path: "/etc/none".into(), follow: true });
            assert_eq!(seen.reading, Reading::Absent(Missing::File));
        });
    }
}
