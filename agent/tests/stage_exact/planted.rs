//! The tree that a script finds: some of each kind, with odd names, spread over a few folders.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{Mode, UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::random::Random;

pub struct Item {
    /// Below the top.
    pub path: String,
    pub thing: Thing,
    mode: u32,
    owner: (u32, u32),
    xattrs: Vec<(&'static str, Vec<u8>)>,
}

pub enum Thing {
    Folder,
    File(String),
    /// Nothing but zeros, and no room taken.
    Sparse(u64),
    Link(String),
    /// A second name of another one.
    Hard(String),
    Fifo,
}

/// What one tree holds, parents before what is in them.
pub struct Planted {
    pub items: Vec<Item>,
    random_names: usize,
}

/// Ends of names: some as everybody has them, some that only a careful program bears.
const ENDS: [&str; 10] = ["", ".conf", ".conf", ".d x", "'q", "*", "[a]", "{a,b}", "\\n", "é"];

impl Planted {
    /// `odd`: with folders, now and then, in which nothing may be declared.
    pub fn new(random: &mut Random, with_hard_links: bool, odd: bool) -> Self {
        let mut planted = Self { items: Vec::new(), random_names: 0 };
        planted.folders(random, odd);
        planted.files(random);
        planted.special(random);
        if with_hard_links {
            let first = planted.add(random, "hard", Thing::File("hard\n".into()), 0o644);
            planted.add(random, "hard-too", Thing::Hard(first), 0o644);
        }
        planted
    }

    fn folders(&mut self, random: &mut Random, odd: bool) {
        for name in ["conf.d", "old", "some thing"] {
            let parent = if random.chance(30) { self.folder(random) } else { String::new() };
            // The last ones may be written by others than root: nothing in them can be committed.
            let ways = [
                (0o755, (0, 0)),
                (0o755, (0, 0)),
                (0o750, (0, 42)),
                (0o2755, (0, 42)),
                (0o775, (0, 0)),
                (0o755, (1, 1)),
            ];
            let some = if odd && random.chance(10) { ways.len() } else { 4 };
            let (mode, owner) = random.pick(&ways[..some]);
            let xattrs =
                if random.chance(10) { vec![("system.posix_acl_default", acl(1000))] } else { Vec::new() };
            self.items.push(Item { path: join(&parent, name), thing: Thing::Folder, mode, owner, xattrs });
        }
    }

    fn files(&mut self, random: &mut Random) {
        for n in 0..3 + random.below(4) {
            let lines = 1 + random.below(40);
            let text: String = (0..lines).map(|line| format!("option{line} = no {n}\n")).collect();
            let mode = random.pick(&[0o644, 0o644, 0o600, 0o755, 0o4755, 0o444]);
            self.add(random, &format!("file{n}"), Thing::File(text), mode);
            if random.chance(30) {
                self.last().owner = random.pick(&[(1, 1), (0, 42), (1000, 1000)]);
            }
        }
    }

    fn special(&mut self, random: &mut Random) {
        self.add(random, "empty", Thing::File(String::new()), 0o644);
        self.add(random, "new\nline", Thing::File("new\nline\n".into()), 0o644);
        let size = 200_000 + random.below(100_000) as u64;
        self.add(random, "sparse", Thing::Sparse(size), 0o600);
        self.add(random, "able", Thing::File("#!/bin/true\n".into()), 0o755);
        self.last().xattrs.push(("security.capability", capability()));
        self.add(random, "noted", Thing::File("noted\n".into()), 0o644);
        self.last().xattrs.push(("user.note", b"one".to_vec()));
        self.add(random, "listed", Thing::File("listed\n".into()), 0o640);
        self.last().xattrs.push(("system.posix_acl_access", acl(1)));
        let target = random.pick(&["file0", "nowhere", "old", "/nowhere/at all"]).to_string();
        self.add(random, "link", Thing::Link(target), 0o777);
        if random.chance(10) {
            self.add(random, "fifo", Thing::Fifo, 0o600);
        }
    }

    /// Somewhere, under a name that begins so; its path.
    fn add(&mut self, random: &mut Random, name: &str, thing: Thing, mode: u32) -> String {
        let folder = if random.chance(40) { String::new() } else { self.folder(random) };
        let path = self.fresh(random, &folder, name);
        self.items.push(Item { path: path.clone(), thing, mode, owner: (0, 0), xattrs: Vec::new() });
        path
    }

    fn last(&mut self) -> &mut Item {
        self.items.last_mut().expect("just added")
    }

    /// A path that nothing has, in this folder.
    fn fresh(&mut self, random: &mut Random, folder: &str, name: &str) -> String {
        self.random_names += 1;
        join(folder, &format!("{name}{}{}", self.random_names, random.pick(&ENDS)))
    }

    fn folder(&self, random: &mut Random) -> String {
        let all: Vec<&Item> = self.items.iter().filter(|item| matches!(item.thing, Thing::Folder)).collect();
        if all.is_empty() { String::new() } else { random.pick(&all).path.clone() }
    }

    pub fn build(&self, top: &Path) {
        fs::create_dir(top).expect("folder");
        self.items.iter().for_each(|item| item.build(top));
    }
}

pub fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

impl Item {
    fn build(&self, top: &Path) {
        let path = top.join(&self.path);
        match &self.thing {
            Thing::Folder => fs::create_dir(&path).expect("folder"),
            Thing::File(text) => {
                File::create(&path).and_then(|mut file| file.write_all(text.as_bytes())).expect("file")
            }
            Thing::Sparse(size) => File::create(&path).and_then(|file| file.set_len(*size)).expect("file"),
            Thing::Link(target) => symlink(target, &path).expect("link"),
            Thing::Hard(of) => return fs::hard_link(top.join(of), &path).expect("hard link"),
            Thing::Fifo => nix::unistd::mkfifo(&path, Mode::S_IRUSR).expect("fifo"),
        }
        self.dress(&path);
    }

    fn dress(&self, path: &Path) {
        lchown(path, Some(self.owner.0), Some(self.owner.1)).expect("chown");
        if !matches!(self.thing, Thing::Link(_)) {
            fs::set_permissions(path, PermissionsExt::from_mode(self.mode)).expect("chmod");
        }
        for (name, value) in &self.xattrs {
            rustix::fs::lsetxattr(path, *name, value, rustix::fs::XattrFlags::empty()).expect("setxattr");
        }
        let old = TimeSpec::new(1_500_000_000, 123_456_789);
        utimensat(AT_FDCWD, path, &old, &old, UtimensatFlags::NoFollowSymlink).expect("utimes");
    }
}

/// cap_net_raw=ep, as capabilities(7) has it on disk.
fn capability() -> Vec<u8> {
    [0x0200_0001, 1 << 13, 0, 0, 0].iter().flat_map(|word: &u32| word.to_le_bytes()).collect()
}

/// One more user may write, as acl(5) has it in an attribute.
fn acl(user: u32) -> Vec<u8> {
    let nobody = u32::MAX;
    let entries: [(u16, u16, u32); 5] =
        [(1, 6, nobody), (2, 6, user), (4, 4, nobody), (16, 6, nobody), (32, 0, nobody)];
    let entry = |(tag, may, id): (u16, u16, u32)| {
        [tag.to_le_bytes().as_slice(), &may.to_le_bytes(), &id.to_le_bytes()].concat()
    };
    2_u32.to_le_bytes().into_iter().chain(entries.into_iter().flat_map(entry)).collect()
}
