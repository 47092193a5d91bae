//! Commit and undo together, on throwaway trees: what a stage could hold goes to the host and back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::meta::{Bytes, Kind, open_path, set_xattrs};
use crate::undo::{self, Progress};

/// host/, stage/ and originals/ in one throwaway folder.
struct World {
    dir: tempfile::TempDir,
    task: TaskId,
}

/// Each thing in a tree with what counts of it; of files also when they were written.
type Snapshot = BTreeMap<PathBuf, (Meta, Option<(i64, i64)>)>;

fn snapshot(top: &Path) -> Snapshot {
    let mut all = Snapshot::new();
    let mut open = vec![PathBuf::from("/")];
    while let Some(folder) = open.pop() {
        let here = top.join(folder.strip_prefix("/").expect("absolute"));
        let dir = File::open(&here).expect("folder");
        for entry in fs::read_dir(&here).expect("folder") {
            let name = entry.expect("entry").file_name();
            let meta = Meta::at(&dir, &name).expect("readable").expect("there");
            let stat = fs::symlink_metadata(here.join(&name)).expect("there");
            let path = folder.join(&name);
            if meta.is_folder() {
                open.push(path.clone());
            }
            let written = (!meta.is_folder()).then(|| (stat.mtime(), stat.mtime_nsec()));
            all.insert(path, (meta, written));
        }
    }
    all
}

fn timeless(snapshot: &Snapshot) -> BTreeMap<&PathBuf, &Meta> {
    snapshot.iter().map(|(path, (meta, _))| (path, meta)).collect()
}

impl World {
    /// A host with one of each kind, and a stage that is equal to it.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("folder");
        let world = Self { dir, task: TaskId::new() };
        let host = world.host();
        fs::create_dir_all(host.join("etc/cron.daily")).expect("folder");
        for (name, content) in [
            ("plain", "one\ntwo\n"),
            ("mode", "m"),
            ("owner", "o"),
            ("gone", "g"),
            ("empty", ""),
            ("xattr", "x"),
            ("acl", "a"),
            ("cap", "c"),
            ("setuid", "s"),
            ("new\nline", "n"),
            ("several", "v"),
            ("untouched", "u"),
        ] {
            fs::write(host.join("etc").join(name), content).expect("write");
        }
        let sparse = File::create(host.join("etc/sparse")).expect("file");
        sparse.set_len(5_000_000).expect("hole");
        symlink("plain", host.join("etc/link")).expect("link");
        symlink("plain", host.join("etc/dead")).expect("link");
        fs::set_permissions(host.join("etc/setuid"), fs::Permissions::from_mode(0o4755)).expect("chmod");
        attribute(&host.join("etc/cap"), "security.capability", &capability(2));
        attribute(&host.join("etc/acl"), "system.posix_acl_access", &acl(1000));
        attribute(&host.join("etc/xattr"), "user.a", b"1");
        for entry in fs::read_dir(host.join("etc")).expect("folder") {
            let path = entry.expect("entry").path();
            let old = nix::sys::time::TimeSpec::new(1_600_000_000, 123_456_789);
            let flag = nix::sys::stat::UtimensatFlags::NoFollowSymlink;
            nix::sys::stat::utimensat(nix::fcntl::AT_FDCWD, &path, &old, &old, flag).expect("utimes");
        }
        let copied = Command::new("cp").arg("-a").arg(&host).arg(world.stage()).status().expect("cp");
        assert!(copied.success());
        world
    }

    fn host(&self) -> PathBuf {
        self.dir.path().join("host")
    }
    fn stage(&self) -> PathBuf {
        self.dir.path().join("stage")
    }
    fn tree(&self) -> Tree {
        Tree::open(&self.host()).expect("host")
    }

    /// What a script of many deeds does, in the stage.
    fn change_everything(&self) {
        let etc = self.stage().join("etc");
        fs::write(etc.join("plain"), "one\n2\n").expect("write");
        fs::set_permissions(etc.join("mode"), fs::Permissions::from_mode(0o600)).expect("chmod");
        fs::set_permissions(etc.join("cron.daily"), fs::Permissions::from_mode(0o700)).expect("chmod");
        std::os::unix::fs::chown(etc.join("owner"), Some(42), Some(43)).expect("chown");
        std::os::unix::fs::chown(etc.join("setuid"), Some(42), None).expect("chown");
        std::os::unix::fs::chown(etc.join("several"), Some(42), Some(43)).expect("chown");
        fs::set_permissions(etc.join("several"), fs::Permissions::from_mode(0o4711)).expect("chmod");
        attribute(&etc.join("several"), "user.a", b"1");
        fs::remove_file(etc.join("gone")).expect("remove");
        fs::write(etc.join("empty"), "no longer").expect("write");
        attribute(&etc.join("xattr"), "user.a", b"2");
        attribute(&etc.join("acl"), "system.posix_acl_access", &acl(1001));
        fs::write(etc.join("cap"), "changed").expect("write");
        attribute(&etc.join("cap"), "security.capability", &capability(4));
        fs::write(etc.join("new\nline"), "changed").expect("write");
        let sparse = File::options().write(true).open(etc.join("sparse")).expect("file");
        std::os::unix::fs::FileExt::write_at(&sparse, b"end", 4_000_000).expect("write");
        fs::remove_file(etc.join("link")).expect("remove");
        symlink("mode", etc.join("link")).expect("link");
        fs::remove_file(etc.join("dead")).expect("remove");
        symlink("mode", etc.join("fresh")).expect("link");
        fs::create_dir_all(etc.join("made/deep")).expect("folder");
        fs::write(etc.join("made/deep/file"), "created").expect("write");
        fs::write(etc.join("made/nothing"), "").expect("write");
    }

    fn changes(&self) -> Vec<Change> {
        let (before, after) = (snapshot(&self.host()), snapshot(&self.stage()));
        let meta = |all: &Snapshot, path: &PathBuf| all.get(path).map(|(meta, _)| meta.clone());
        let mut paths: Vec<_> = before.keys().chain(after.keys()).cloned().collect();
        paths.sort();
        paths.dedup();
        let change =
            |path: PathBuf| Change { before: meta(&before, &path), after: meta(&after, &path), path };
        paths.into_iter().map(change).filter(|change| change.before != change.after).collect()
    }

    fn keep(&self) -> Originals {
        keep_changes(&self.tree(), &self.changes(), 1, &self.dir.path().join("originals")).expect("keeps")
    }

    fn apply(&self, originals: &Originals) -> Result<(), Stopped> {
        let stage = self.stage();
        apply_content(&self.tree(), &self.task, originals, |path| {
            File::open(stage.join(path.strip_prefix("/").expect("absolute")))
        })
    }

    fn undo(&self, progress: Progress) -> undo::Undone {
        let originals = Originals::load(&self.dir.path().join("originals")).expect("readable").expect("kept");
        undo::files(&self.tree(), &self.task, &originals, progress)
    }
}

fn attribute(path: &Path, name: &str, value: &[u8]) {
    let dir = File::open(path.parent().expect("folder")).expect("folder");
    let fd = open_path(dir.as_fd(), path.file_name().expect("name")).expect("opens");
    let mut all = Meta::of(&fd).expect("readable").xattrs;
    all.insert(name.to_owned(), Bytes(value.to_owned()));
    set_xattrs(&fd, &all).expect("sets");
}

/// struct vfs_cap_data, revision 2, effective, with one permitted set.
fn capability(permitted: u32) -> Vec<u8> {
    [0x0200_0001u32, permitted, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// struct posix_acl_xattr: owner rw, one named user r, group r, mask r, others nothing.
fn acl(user: u32) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in
        [(1u16, 6u16, u32::MAX), (2, 4, user), (4, 4, u32::MAX), (0x10, 4, u32::MAX), (0x20, 0, u32::MAX)]
    {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

fn root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[test]
fn a_commit_makes_the_host_the_stage_and_undo_makes_it_what_it_was() {
    if !root() {
        return;
    }
    let world = World::new();
    let before = snapshot(&world.host());
    world.change_everything();
    assert_eq!(world.changes().len(), 20, "each kind of change occurs");
    let originals = world.keep();
    assert_eq!(snapshot(&world.host()), before, "keeping only reads");

    world.apply(&originals).expect("commits");
    assert_eq!(timeless(&snapshot(&world.host())), timeless(&snapshot(&world.stage())));
    assert!(
        fs::metadata(world.host().join("etc/sparse")).expect("there").blocks() < 1000,
        "holes stay holes"
    );

    let undone = world.undo(Progress::Whole);
    assert!(undone.conflicts.is_empty(), "{undone:?}");
    assert_eq!(snapshot(&world.host()), before);
    assert!(world.undo(Progress::Whole).conflicts.is_empty(), "a second time changes nothing");
    assert_eq!(snapshot(&world.host()), before);
}

#[test]
fn originals_that_are_narrowed_twice_keep_their_content() {
    let world = World::new();
    for name in ["gone", "mode", "plain"] {
        fs::remove_file(world.stage().join("etc").join(name)).expect("removed");
    }
    let mut changes = world.changes();
    let dir = world.dir.path().join("originals");
    let kept = || Originals::load(&dir).expect("readable").expect("kept");
    world.keep();
    // As after a script, and once more after a crash.
    while changes.len() > 1 {
        changes.remove(0);
        kept().narrow(&changes).expect("narrowed");
    }
    let mut text = String::new();
    let mut original = kept().open_path(Path::new("/etc/plain")).expect("kept");
    std::io::Read::read_to_string(&mut original, &mut text).expect("readable");
    assert_eq!(text, "one\ntwo\n");
}

#[test]
fn missing_parents_are_made_and_go_again() {
    let world = World::new();
    let before = snapshot(&world.host());
    fs::create_dir_all(world.stage().join("etc/a/b")).expect("folder");
    fs::write(world.stage().join("etc/a/b/f"), "x").expect("write");
    let only_file: Vec<_> = world.changes().into_iter().filter(|c| c.path.ends_with("f")).collect();
    let originals =
        keep_changes(&world.tree(), &only_file, 1, &world.dir.path().join("originals")).expect("keeps");
    world.apply(&originals).expect("commits");
    assert_eq!(fs::read_to_string(world.host().join("etc/a/b/f")).expect("there"), "x");
    fs::write(world.host().join("etc/a/foreign"), "x").expect("write");
    assert!(world.undo(Progress::Whole).conflicts.is_empty());
    assert!(world.host().join("etc/a/foreign").exists() && !world.host().join("etc/a/b").exists());
    fs::remove_file(world.host().join("etc/a/foreign")).expect("remove");
    world.undo(Progress::Whole);
    assert_eq!(timeless(&snapshot(&world.host())), timeless(&before));
}

#[test]
fn a_change_before_the_originals_are_kept_is_a_clash() {
    let world = World::new();
    world.change_everything();
    let changes = world.changes();
    fs::write(world.host().join("etc/plain"), "by hand\n").expect("write");
    let kept = keep_changes(&world.tree(), &changes, 1, &world.dir.path().join("originals"));
    assert!(matches!(kept, Err(PlaceError::Clash { path, .. }) if path == "/etc/plain"));
}

/// Each way in which somebody can be faster than the commit, after the originals were kept.
#[test]
fn a_change_between_originals_and_commit_stops_it_and_all_is_undone() {
    if !root() {
        return;
    }
    type Deed = fn(&Path);
    let deeds: [(&str, Deed); 7] = [
        ("plain", |path| fs::write(path, "by hand\n").expect("write")),
        ("plain", |path| fs::remove_file(path).expect("remove")),
        ("plain", |path| fs::set_permissions(path, fs::Permissions::from_mode(0o640)).expect("chmod")),
        ("gone", |path| fs::write(path, "by hand\n").expect("write")),
        ("gone", |path| fs::remove_file(path).expect("remove")),
        ("fresh", |path| fs::write(path, "by hand\n").expect("write")),
        ("mode", |path| fs::write(path, "by hand\n").expect("write")),
    ];
    for (name, deed) in deeds {
        let world = World::new();
        world.change_everything();
        let originals = world.keep();
        deed(&world.host().join("etc").join(name));
        let before = snapshot(&world.host());
        let stopped = world.apply(&originals).expect_err(name);
        assert!(
            matches!(&stopped.error, PlaceError::Clash { path, .. } if path == &format!("/etc/{name}")),
            "{stopped}"
        );
        let undone = world.undo(Progress::Stopped { before: stopped.before });
        assert!(undone.conflicts.is_empty(), "{name}: {undone:?}");
        assert!(snapshot(&world.host()) == before, "{name}");
    }
}

#[test]
fn a_file_edited_since_is_left_alone_and_the_others_are_restored() {
    if !root() {
        return;
    }
    let world = World::new();
    let before = snapshot(&world.host());
    world.change_everything();
    world.apply(&world.keep()).expect("commits");
    let edited = world.host().join("etc/plain");
    fs::write(&edited, "by hand\n").expect("write");
    fs::write(world.host().join("etc/gone"), "came back\n").expect("write");
    let undone = world.undo(Progress::Whole);
    let mut paths: Vec<_> = undone.conflicts.iter().map(|conflict| conflict.path.as_path()).collect();
    paths.sort();
    assert_eq!(paths, [Path::new("/etc/gone"), Path::new("/etc/plain")]);
    assert_eq!(fs::read_to_string(&edited).expect("there"), "by hand\n");
    let mut now = snapshot(&world.host());
    let mut expected = before;
    for path in paths {
        now.remove(path);
        expected.remove(path);
    }
    assert_eq!(now, expected);
}

#[test]
fn a_link_on_the_way_is_never_followed() {
    let world = World::new();
    fs::create_dir(world.host().join("elsewhere")).expect("folder");
    symlink("elsewhere", world.host().join("way")).expect("link");
    let after =
        Meta::at(File::open(world.host().join("etc")).expect("folder"), "plain".as_ref()).expect("reads");
    let change = Change { path: "/way/plain".into(), before: None, after };
    assert!(keep_changes(&world.tree(), &[change], 1, &world.dir.path().join("originals")).is_err());
}

/// Somebody replaces the file again and again, the way editors do: what they wrote last is never lost.
/// Ours names what it replaced, so in the end it must name that.
#[test]
fn a_busy_writer_never_loses_the_last_version() {
    let world = World::new();
    let (mut placed, mut clashes) = (0, 0);
    for round in 0..200 {
        let last = race(&world, round, &mut placed, &mut clashes);
        assert!(last.ends_with(&format!("theirs {round}-{VERSIONS}")), "{last}");
    }
    let names =
        fs::read_dir(world.host().join("etc")).expect("folder").map(|e| e.expect("entry").file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().starts_with(".aright-")));
    assert!(placed > 0 && clashes > 0, "placed {placed}, clashed {clashes}");
}

const VERSIONS: usize = 12;

/// One writer against us; what stands there in the end.
fn race(world: &World, round: usize, placed: &mut usize, clashes: &mut usize) -> String {
    let etc = world.host().join("etc");
    let writer = std::thread::spawn({
        let etc = etc.clone();
        move || {
            for n in 1..=VERSIONS {
                fs::write(etc.join("their-aside"), format!("theirs {round}-{n}")).expect("write");
                fs::rename(etc.join("their-aside"), etc.join("plain")).expect("rename");
                std::thread::sleep(std::time::Duration::from_micros((round as u64 * 7) % 150));
            }
        }
    });
    let (tree, ours) = (world.tree(), world.dir.path().join("ours"));
    let place = tree.place(Path::new("/etc/plain")).expect("opens").expect("there");
    let file = |text: &str, like: &Meta| {
        let digest = aright_shared::digest::Digest::of(text.as_bytes());
        Meta { kind: Kind::File { size: text.len() as u64, digest }, ..like.clone() }
    };
    while !writer.is_finished() {
        let base = fs::read_to_string(etc.join("plain")).expect("never gone");
        let like = place.look().expect("reads").expect("never gone");
        let (from, content) = (file(&base, &like), format!("ours over {base}"));
        if !base.starts_with("theirs") {
            continue;
        }
        fs::write(&ours, &content).expect("write");
        let (to, aside) = (file(&content, &like), Aside::of_commit(&world.task, 0));
        let step = Step { from: Some(&from), to: Some(&to), mtime: None, aside: &aside };
        match place.change(step, || File::open(&ours)) {
            Ok(()) => *placed += 1,
            Err(PlaceError::Clash { .. }) => *clashes += 1,
            Err(other) => panic!("{other}"),
        }
    }
    writer.join().expect("writes");
    fs::read_to_string(etc.join("plain")).expect("there")
}

/// What the killed children below do, as named by the environment.
#[test]
#[ignore = "only as the child of another test"]
fn child() {
    let dir = PathBuf::from(std::env::var("ARIGHT_TEST_DIR").expect("set by the parent"));
    let task: TaskId = std::env::var("ARIGHT_TEST_TASK").expect("set").parse().expect("an id");
    let originals = Originals::load(&dir.join("originals")).expect("readable").expect("kept");
    let tree = Tree::open(&dir.join("host")).expect("host");
    if std::env::var("ARIGHT_TEST_DEED").expect("set") == "commit" {
        let content =
            |path: &Path| File::open(dir.join("stage").join(path.strip_prefix("/").expect("absolute")));
        apply_content(&tree, &task, &originals, content).expect("commits");
    } else {
        undo::files(&tree, &task, &originals, Progress::Torn);
    }
}

/// Runs the deed in a child that kills itself at `point`; whether it came so far.
fn killed_at(world: &World, deed: &str, point: &str) -> bool {
    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "commit::tests::child", "--ignored", "--quiet"])
        .env("ARIGHT_TEST_DIR", world.dir.path())
        .env("ARIGHT_TEST_TASK", world.task.as_str())
        .env("ARIGHT_TEST_DEED", deed)
        .env("ARIGHT_FAIL_AT", point)
        .stdout(std::process::Stdio::null())
        .status()
        .expect("runs");
    assert!(status.success() || status.signal() == Some(9), "{point}: {status}");
    !status.success()
}

/// Every second kill of a kind, but every one between owner, mode and attributes of a thing in place.
fn stride(point: &str) -> usize {
    if point.starts_with("dress") { 1 } else { 2 }
}

const POINTS: [&str; 6] = ["written", "built", "exchanged", "created", "taken", "entry"];

#[test]
fn a_commit_killed_anywhere_is_undone_exactly() {
    if !root() {
        return;
    }
    let mut kills = 0;
    let points = POINTS
        .map(|point| format!("commit:{point}"))
        .into_iter()
        .chain(["dress:owned".into(), "dress:moded".into()]);
    for point in points {
        for nth in (1..).step_by(stride(&point)) {
            let world = World::new();
            let before = snapshot(&world.host());
            world.change_everything();
            world.keep();
            if !killed_at(&world, "commit", &format!("{point}#{nth}")) {
                assert!(nth > 1, "{point} never occurs");
                break;
            }
            kills += 1;
            let undone = world.undo(Progress::Torn);
            assert!(undone.conflicts.is_empty(), "{point}#{nth}: {undone:?}");
            assert!(snapshot(&world.host()) == before, "{point}#{nth}");
        }
    }
    println!("killed at {kills} places");
}

#[test]
fn an_undo_killed_anywhere_is_finished_by_the_next() {
    if !root() {
        return;
    }
    let points = POINTS
        .map(|point| format!("undo:{point}"))
        .into_iter()
        .chain(["dress:owned".into(), "dress:moded".into()]);
    for point in points {
        for nth in (1..).step_by(stride(&point)) {
            let world = World::new();
            let before = snapshot(&world.host());
            world.change_everything();
            world.apply(&world.keep()).expect("commits");
            if !killed_at(&world, "undo", &format!("{point}#{nth}")) {
                assert!(nth > 1, "{point} never occurs");
                break;
            }
            let undone = world.undo(Progress::Torn);
            assert!(undone.conflicts.is_empty(), "{point}#{nth}: {undone:?}");
            assert!(snapshot(&world.host()) == before, "{point}#{nth}");
        }
    }
}

/// Somebody's edit that an exchange displaced, the agent killed before it could look.
#[test]
fn a_displaced_edit_survives_the_kill() {
    let world = World::new();
    fs::write(world.stage().join("etc/plain"), "ours\n").expect("write");
    world.keep();
    fs::write(world.host().join("etc/plain"), "theirs\n").expect("write");
    assert!(killed_at(&world, "commit", "commit:exchanged"));
    assert_eq!(fs::read_to_string(world.host().join("etc/plain")).expect("there"), "ours\n");
    let undone = world.undo(Progress::Torn);
    assert_eq!(fs::read_to_string(world.host().join("etc/plain")).expect("there"), "theirs\n");
    assert_eq!(undone.conflicts.len(), 1, "and it is said");
    assert!(snapshot(&world.host()).keys().all(|path| !path.to_string_lossy().contains(".aright-")));
}
