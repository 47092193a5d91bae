//! A change set as people read it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

#[cfg_attr(target_os = "linux", path = "diff/linux.rs")]
#[cfg_attr(windows, path = "diff/windows.rs")]
mod facts;

use aright_shared::task::{FileChange, FileDiff};
use similar::TextDiff;

use crate::change::Change;
use crate::commit::place::shown;
use crate::mask::mask;
use crate::meta::{Kind, Meta};
use facts::{attributes, kinds};

/// Larger texts are compared by digest.
const TEXT_BYTES: u64 = 1_000_000;
/// Longest diff of one file, and of all together.
const DIFF_BYTES: usize = 64_000;
const ALL_BYTES: usize = 1_000_000;
const CONTEXT: usize = 3;
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the two versions of a file are read, and which of them are never shown.
pub struct Sources<'a> {
    pub before: &'a dyn Fn(&Path) -> io::Result<File>,
    pub after: &'a dyn Fn(&Path) -> io::Result<File>,
    /// Content that nobody is to see: told by digests.
    pub secret: &'a dyn Fn(&Path) -> bool,
}

/// One [`FileDiff`] for each change, together within a bound.
pub fn of(changes: &[Change], sources: &Sources<'_>) -> Vec<FileDiff> {
    let mut room = ALL_BYTES;
    changes
        .iter()
        .map(|change| {
            let diff = one(change, sources, room.min(DIFF_BYTES));
            room -= diff.text.as_ref().map_or(0, String::len).min(room);
            diff
        })
        .collect()
}

fn one(change: &Change, sources: &Sources<'_>, room: usize) -> FileDiff {
    let (before, after) = (change.before.as_ref(), change.after.as_ref());
    let mut facts = attributes(before, after);
    let mut text = None;
    if before.map(|meta| &meta.kind) != after.map(|meta| &meta.kind) {
        let texts = (!(sources.secret)(&change.path))
            .then(|| {
                Some((side(before, &change.path, sources.before)?, side(after, &change.path, sources.after)?))
            })
            .flatten();
        text = texts.and_then(|(old, new)| unified(&old, &new, room, &mut facts));
        facts.extend(kinds(before, after, text.is_none()));
    }
    let kind = match (before, after) {
        (None, _) => FileChange::Created,
        (Some(_), None) => FileChange::Deleted,
        (Some(_), Some(_)) => FileChange::Modified,
    };
    FileDiff { path: shown(&change.path), change: kind, text, facts }
}

/// The text of one side, masked: empty where nothing or no file is, `None` for what is no text.
fn side(meta: Option<&Meta>, path: &Path, open: &dyn Fn(&Path) -> io::Result<File>) -> Option<String> {
    let size = match meta.map(|meta| &meta.kind) {
        Some(Kind::File { size, .. }) => *size,
        _ => return Some(String::new()),
    };
    if size > TEXT_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    open(path).ok()?.take(TEXT_BYTES + 1).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    Some(mask(&text).into_owned())
}

/// `None` when there is nothing to show: then the facts must say it.
fn unified(old: &str, new: &str, room: usize, facts: &mut Vec<String>) -> Option<String> {
    let mut text = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(old, new)
        .unified_diff()
        .context_radius(CONTEXT)
        .to_string();
    if text.is_empty() {
        return None;
    }
    if text.len() > room {
        let keep = text.as_bytes()[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        facts.push(format!("{} bytes of the diff cut", text.len() - keep));
        text.truncate(keep);
    }
    Some(text)
}

/// `WHAT OLD → NEW`, or one of the two alone; nothing when they are equal.
fn fact(what: &str, old: Option<String>, new: Option<String>) -> Option<String> {
    match (old, new) {
        (old, new) if old == new => None,
        (Some(old), Some(new)) => Some(format!("{what} {old} → {new}")),
        (Some(old), None) => Some(format!("{what} was {old}")),
        (None, Some(new)) => Some(format!("{what} {new}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("folder");
            for side in ["before", "after"] {
                std::fs::create_dir(dir.path().join(side)).expect("folder");
            }
            Self(dir)
        }

        fn write(&self, side: &str, name: &str, content: impl AsRef<[u8]>) {
            std::fs::write(self.0.path().join(side).join(name), content).expect("write");
        }

        fn diff(&self, name: &str) -> FileDiff {
            let meta = |side: &str| {
                Meta::at(File::open(self.0.path().join(side)).expect("folder"), name.as_ref()).expect("reads")
            };
            let open = |side: &'static str| {
                move |path: &Path| {
                    File::open(self.0.path().join(side).join(path.strip_prefix("/").expect("absolute")))
                }
            };
            let change =
                Change { path: Path::new("/").join(name), before: meta("before"), after: meta("after") };
            let secret = |path: &Path| path == Path::new("/shadow");
            let sources = Sources { before: &open("before"), after: &open("after"), secret: &secret };
            of(&[change], &sources).remove(0)
        }
    }

    #[test]
    fn text_is_shown_with_its_surroundings() {
        let world = World::new();
        let lines = |n: &str| format!("1\n2\n3\n4\n{n}\n6\n7\n8\n9\n");
        world.write("before", "f", lines("5"));
        world.write("after", "f", lines("five"));
        let diff = world.diff("f");
        assert_eq!(diff.text.expect("text"), "@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n");
        assert!(diff.facts.is_empty(), "{:?}", diff.facts);
    }

    #[test]
    fn mode_owner_and_kind_are_facts() {
        let world = World::new();
        world.write("before", "f", "x");
        world.write("after", "f", "x");
        for (side, mode) in [("before", 0o644), ("after", 0o600)] {
            let path = world.0.path().join(side).join("f");
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("chmod");
        }
        let diff = world.diff("f");
        assert_eq!((diff.text, diff.facts), (None, vec!["mode 0644 → 0600".to_owned()]));

        symlink("f", world.0.path().join("after/l")).expect("link");
        let diff = world.diff("l");
        assert_eq!(diff.change, FileChange::Created);
        assert!(
            diff.facts.contains(&"kind link".to_owned()) && diff.facts.contains(&"target f".to_owned()),
            "{diff:?}"
        );
    }

    #[test]
    fn binary_and_secret_content_is_told_by_digest() {
        let world = World::new();
        world.write("before", "b", [0, 1, 2]);
        world.write("after", "b", [0, 1, 3]);
        world.write("before", "shadow", "root:old");
        world.write("after", "shadow", "root:new");
        world.write("before", "conf", "hash $6$salt$0123456789abcdef\n");
        world.write("after", "conf", "hash $6$salt$fedcba9876543210\n");
        for name in ["b", "shadow", "conf"] {
            let diff = world.diff(name);
            assert!(diff.text.is_none(), "{name}");
            assert!(
                diff.facts[0].starts_with("sha256 ") && diff.facts[0].contains(" → "),
                "{name}: {:?}",
                diff.facts
            );
        }
    }

    #[test]
    fn a_long_diff_is_cut_and_says_so() {
        let world = World::new();
        world.write("after", "f", "0123456789\n".repeat(20_000));
        let diff = world.diff("f");
        assert!(diff.text.expect("text").len() <= DIFF_BYTES);
        assert!(diff.facts.iter().any(|fact| fact.ends_with("bytes of the diff cut")), "{:?}", diff.facts);
    }
}
