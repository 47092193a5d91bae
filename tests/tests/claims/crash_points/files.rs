//! The host's files: as they were, and as the script makes them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Where they lie on the host.
pub const HOST: &str = "/media";
pub const CHANGED: &str = "/media/etc/changed";
const OLD: &str = "old";
pub const NEW: &str = "new";

/// What an undo does last. It shows whether just that is synced: file systems write in order, and with the last all that
/// came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// Gives a mode back, in a folder in which no name changes.
    Mode,
    /// Takes a file away.
    Name,
}

/// As the script declares them.
pub const TOUCHES: [&str; 10] = [
    "/media/afore/created",
    "/media/alone/folder/",
    "/media/alone/moded",
    CHANGED,
    "/media/created",
    "/media/etc/made/deep/one",
    "/media/etc/made/two",
    "/media/lib/deleted",
    "/media/other/changed",
    "link:/media/other/link",
];

/// What turns the old files into the new ones.
pub fn script(last: Last) -> String {
    match last {
        Last::Mode => SCRIPT.to_owned(),
        Last::Name => format!("{SCRIPT}cp etc/changed afore/created\n"),
    }
}

const SCRIPT: &str = r"
cd /media
sed -i s/old/new/g etc/changed other/changed
cp etc/changed created
mkdir -p etc/made/deep
cp etc/changed etc/made/deep/one
cp etc/changed etc/made/two
rm lib/deleted
chown 1 alone/moded
chmod 0600 alone/moded
chmod 0700 alone/folder
ln -sfn new other/link
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    Folder {
        mode: u32,
    },
    /// `stamped` with the time at which all old files were written.
    File {
        owner: u32,
        mode: u32,
        stamped: bool,
        text: String,
    },
    Link(String),
}

/// By path below [`HOST`].
pub type Files = BTreeMap<String, Thing>;

pub fn old() -> Files {
    let folder = || Thing::Folder { mode: 0o755 };
    let file = |stamped, word| Thing::File { owner: 0, mode: 0o644, stamped, text: text(word) };
    let things = [
        ("afore", folder()),
        ("alone", folder()),
        ("alone/folder", folder()),
        ("alone/moded", file(true, OLD)),
        ("etc", folder()),
        ("etc/changed", file(true, OLD)),
        ("lib", folder()),
        ("lib/deleted", file(true, OLD)),
        ("other", folder()),
        ("other/changed", file(true, OLD)),
        ("other/link", Thing::Link(OLD.into())),
    ];
    things.map(|(path, thing)| (path.to_owned(), thing)).into()
}

pub fn new(last: Last) -> Files {
    let mut files = old();
    let mut set = |path: &str, thing| drop(files.insert(path.to_owned(), thing));
    let file = || Thing::File { owner: 0, mode: 0o644, stamped: false, text: text(NEW) };
    for path in ["etc/changed", "created", "etc/made/deep/one", "etc/made/two", "other/changed"] {
        set(path, file());
    }
    if last == Last::Name {
        set("afore/created", file());
    }
    for path in ["etc/made", "etc/made/deep"] {
        set(path, Thing::Folder { mode: 0o755 });
    }
    set("alone/folder", Thing::Folder { mode: 0o700 });
    set("alone/moded", Thing::File { owner: 1, mode: 0o600, stamped: true, text: text(OLD) });
    set("other/link", Thing::Link(NEW.into()));
    files.remove("lib/deleted");
    files
}

/// A few blocks, each of which says whose it is.
fn text(word: &str) -> String {
    (0..10).map(|n| format!("{word} {n} ").repeat(200) + "\n").collect()
}

fn stamp() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000)
}

pub fn plant(files: &Files, folder: &Path) -> io::Result<()> {
    for (path, thing) in files {
        let at = folder.join(path);
        match thing {
            Thing::Folder { .. } => fs::create_dir(&at)?,
            Thing::File { text, .. } => {
                fs::write(&at, text)?;
                File::options().write(true).open(&at)?.set_modified(stamp())?;
            }
            Thing::Link(target) => symlink(target, &at)?,
        }
        if let Thing::Folder { mode } | Thing::File { mode, .. } = thing {
            fs::set_permissions(&at, fs::Permissions::from_mode(*mode))?;
        }
    }
    Ok(())
}

/// Everything below a folder.
pub fn read(folder: &Path) -> io::Result<Files> {
    let mut files = Files::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(at) = waiting.pop() {
        for entry in fs::read_dir(&at)? {
            let path = entry?.path();
            let thing = thing(&path)?;
            if matches!(thing, Thing::Folder { .. }) {
                waiting.push(path.clone());
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            files.insert(name, thing);
        }
    }
    // The file system's own.
    files.remove("lost+found");
    Ok(files)
}

fn thing(path: &Path) -> io::Result<Thing> {
    let stat = fs::symlink_metadata(path)?;
    let mode = stat.mode() & 0o7777;
    Ok(if stat.is_symlink() {
        Thing::Link(fs::read_link(path)?.to_string_lossy().into_owned())
    } else if stat.is_dir() {
        Thing::Folder { mode }
    } else {
        let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        Thing::File { owner: stat.uid(), mode, stamped: stat.modified()? == stamp(), text }
    })
}

/// The first thing that is neither the old one nor the new one. What lies aside of a commit or an undo does not count;
/// owner and mode are set one after the other.
pub fn is_torn(found: &Files, last: Last) -> Option<String> {
    let (old, new) = (old(), new(last));
    let mut all: Vec<&String> = old.keys().chain(new.keys()).chain(found.keys()).collect();
    all.retain(|path| !path.rsplit('/').next().unwrap_or_default().starts_with(".aright-"));
    let torn = all.into_iter().find(|path| {
        let (now, was, will) = (found.get(*path), old.get(*path), new.get(*path));
        now != was && now != will && !is_half_dressed(now, was, will)
    });
    torn.map(|path| format!("{path} is {:?}", found.get(path).map(shown)))
}

fn is_half_dressed(now: Option<&Thing>, was: Option<&Thing>, will: Option<&Thing>) -> bool {
    let bare = |thing: Option<&Thing>| match thing {
        Some(Thing::File { owner: 0 | 1, stamped, text, .. }) => Some((*stamped, text.clone())),
        _ => None,
    };
    bare(now).is_some() && bare(now) == bare(was) && bare(now) == bare(will)
}

/// What differs, a line each.
pub fn differences(found: &Files, due: &Files) -> String {
    let paths: std::collections::BTreeSet<_> = found.keys().chain(due.keys()).collect();
    let differ = paths.into_iter().filter(|path| found.get(*path) != due.get(*path));
    let lines = differ.map(|path| {
        format!("{path}: {:?} instead of {:?}\n", found.get(path).map(shown), due.get(path).map(shown))
    });
    lines.collect()
}

/// Without all of its text.
fn shown(thing: &Thing) -> String {
    match thing {
        Thing::File { owner, mode, stamped, text } => {
            format!(
                "a file of {owner}, {mode:o}, {} bytes of {:?}, old: {stamped}",
                text.len(),
                text.get(..3)
            )
        }
        other => format!("{other:?}"),
    }
}
