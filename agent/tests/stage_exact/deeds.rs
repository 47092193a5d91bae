//! What a script does to a tree: one line of shell a deed. One that cannot be done fails, and the script goes on.

use crate::planted::{Planted, Thing, join};
use crate::random::Random;

/// What deeds are done to: the planted things, and what earlier deeds may have made.
pub struct Scene<'a> {
    random: &'a mut Random,
    files: Vec<String>,
    folders: Vec<String>,
    links: Vec<String>,
    made: usize,
}

pub type Deed = (&'static str, fn(&mut Scene<'_>) -> String);

pub const DEEDS: [Deed; 57] = [
    ("append", |g| format!("echo more >>{}", g.file())),
    ("overwrite", |g| format!("printf 'over\\0\\377' >{}", g.file())),
    ("empty", |g| format!("true >{}", g.file())),
    ("edit", |g| format!("sed -i s/no/yes/ {}", g.file())),
    ("the same bytes", |g| {
        format!("f={} n={}; cat \"$f\" >\"$n\" && cat \"$n\" >\"$f\"; rm -f \"$n\"", g.file(), g.name())
    }),
    ("opened", |g| format!("f={}; true 1<>\"$f\"; true >>\"$f\"", g.file())),
    ("written in memory", |g| {
        format!(
            "python3 -c 'import mmap, sys; f = open(sys.argv[1], \"r+b\"); mmap.mmap(f.fileno(), 0)[0:1] = b\"M\"' {}",
            g.file()
        )
    }),
    ("touched", |g| format!("touch -d 2001-01-01 {}", g.file())),
    ("new and empty", |g| format!("touch {}", g.new_file())),
    ("new", |g| format!("echo new >{}", g.new_file())),
    ("file moved", |g| format!("mv -f {} {}", g.file(), g.new_file())),
    ("file moved over another", |g| format!("mv -f {} {}", g.file(), g.file())),
    ("file copied", |g| format!("cp -a {} {}", g.file(), g.new_file())),
    ("file copied over another", |g| format!("cp -a {} {}", g.file(), g.file())),
    ("file deleted", |g| format!("rm -f {}", g.file())),
    ("file mode", |g| format!("chmod {} {}", g.mode(), g.file())),
    ("file owner", |g| format!("chown {} {}", g.owner(), g.file())),
    ("attribute set", |g| format!("setfattr -n user.note -v {} {}", g.one_of(&["one", "two"]), g.file())),
    ("attribute taken", |g| format!("setfattr -x user.note {}", g.planted("noted"))),
    ("list set", |g| format!("setfacl -m u:{}:rw {}", g.one_of(&["1", "1000"]), g.file())),
    ("list taken", |g| format!("setfacl -b {}", g.planted("listed"))),
    ("lengthened", |g| format!("truncate -s 400000 {}", g.file())),
    ("sparse written", |g| {
        format!("printf end | dd of={} bs=1 seek=150000 conv=notrunc", g.planted("sparse"))
    }),
    ("sparse cut", |g| format!("truncate -s {} {}", g.one_of(&["5000", "0", "190001"]), g.planted("sparse"))),
    ("empty written", |g| format!("echo x >{}", g.planted("empty"))),
    ("odd name written", |g| format!("echo more >>{}", g.planted("new\nline"))),
    ("odd name made", |g| {
        let n = g.free("li\nne");
        format!("echo x >{}", g.made_file(n))
    }),
    ("link made", |g| {
        let n = g.free("made");
        format!("ln -s file0 {}", g.made_link(n))
    }),
    ("link changed", |g| format!("ln -sfn elsewhere {}", g.link())),
    ("link deleted", |g| format!("rm -f {}", g.link())),
    ("link owner", |g| format!("chown -h {} {}", g.owner(), g.link())),
    ("moved by hard link", |g| format!("f={}; ln \"$f\" {} && rm -f \"$f\"", g.file(), g.new_file())),
    ("folder made", |g| {
        let n = g.free("made");
        format!("mkdir -m {} {}", g.one_of(&["755", "700"]), g.made_folder(n))
    }),
    ("folders made", |g| {
        let n = g.free("made");
        format!("mkdir -p {0}/b && echo x >{0}/b/c.conf", g.made_folder(n))
    }),
    ("folder made and moved", |g| {
        let n = g.free("made");
        format!("mkdir {0}; echo x >{0}/x; mv {0} {1}", quoted(&n), g.top_folder())
    }),
    ("folder copied", |g| format!("cp -a {} {}", g.folder(), g.top_folder())),
    ("folder mode", |g| format!("chmod {} {}", g.one_of(&["700", "750", "711", "1755"]), g.folder())),
    ("folder owner", |g| format!("chown {} {}", g.owner(), g.folder())),
    ("folder attribute", |g| {
        format!("setfattr -n user.note -v one {0}; setfacl -d -m u:1:rwx {0}", g.folder())
    }),
    ("able file changed", |g| {
        format!("{} {}", g.one_of(&["echo more >>", "chmod 700", "chown 1"]), g.planted("able"))
    }),
    ("able file replaced", |g| {
        let n = g.free("aside");
        format!("cp {0} {1} && mv -f {1} {0}", g.planted("able"), quoted(&n))
    }),
    ("able file deleted", |g| format!("rm -f {}", g.planted("able"))),
    // What no declaration makes good.
    ("file made a link", |g| format!("ln -sf elsewhere {}", g.file())),
    ("file made a folder", |g| format!("f={}; rm -f \"$f\"; mkdir \"$f\"", g.file())),
    ("set-id", |g| format!("chmod {}+s {}", g.one_of(&["g", "ug"]), g.file())),
    ("name that is no text", |_| "echo x >\"$(printf 'bad\\377')\"".into()),
    ("link made a file", |g| format!("l={}; rm -f \"$l\"; echo x >\"$l\"", g.link())),
    ("hard link made", |g| format!("ln {} {}", g.file(), g.new_file())),
    ("hard-linked written", |g| format!("echo more >>{}", g.planted("hard"))),
    (HARD_DELETED, |g| format!("rm -f {}", g.planted("hard"))),
    ("folder removed", |g| format!("d={}; rmdir \"$d\" || rm -rf \"$d\"", g.folder())),
    ("folder made anew", |g| format!("d={}; rm -rf \"$d\"; mkdir \"$d\"; echo x >\"$d/again\"", g.folder())),
    ("folder moved", |g| format!("mv {} {}", g.folder(), g.top_folder())),
    (SWAPPED, |g| {
        let [a, b] = g.two_folders();
        format!("a={a} b={b} t={}; mv \"$a\" \"$t\" && mv \"$b\" \"$a\" && mv \"$t\" \"$b\"", g.top_folder())
    }),
    (MOVED_BACK, |g| format!("d={} n={}; mv \"$d\" \"$n\" && mv \"$n\" \"$d\"", g.folder(), g.top_folder())),
    ("able file moved", |g| format!("mv {} {}", g.planted("able"), g.new_file())),
    ("FIFO made", |g| {
        let n = g.free("made");
        format!("mkfifo {}", quoted(&n))
    }),
];
/// How many of them, the first ones, can be committed.
pub const ORDINARY: usize = 42;

pub const MOVED_BACK: &str = "folder moved and back";
pub const SWAPPED: &str = "folders swapped";
pub const HARD_DELETED: &str = "hard-linked deleted";

impl<'a> Scene<'a> {
    pub fn new(random: &'a mut Random, planted: &Planted) -> Self {
        let paths = |is: fn(&Thing) -> bool| -> Vec<String> {
            planted.items.iter().filter(|item| is(&item.thing)).map(|item| item.path.clone()).collect()
        };
        Self {
            files: paths(|thing| matches!(thing, Thing::File(_) | Thing::Sparse(_) | Thing::Hard(_))),
            folders: paths(|thing| matches!(thing, Thing::Folder)),
            links: paths(|thing| matches!(thing, Thing::Link(_))),
            random,
            made: 0,
        }
    }

    fn file(&mut self) -> String {
        quoted(&self.random.pick::<String>(&self.files))
    }

    fn folder(&mut self) -> String {
        quoted(&self.random.pick::<String>(&self.folders))
    }

    /// Neither in the other, where there are such.
    fn two_folders(&mut self) -> [String; 2] {
        let one = self.random.pick::<String>(&self.folders);
        let apart = |other: &&String| !other.starts_with(&one) && !one.starts_with(*other);
        [quoted(&one), quoted(self.folders.iter().find(apart).unwrap_or(&one))]
    }

    fn link(&mut self) -> String {
        quoted(&self.random.pick::<String>(&self.links))
    }

    /// The planted file whose name begins so; where the tree has none, one that is not there.
    fn planted(&self, name: &str) -> String {
        let named = |path: &&String| path.rsplit('/').next().is_some_and(|last| last.starts_with(name));
        self.files.iter().find(named).map_or_else(|| quoted("no such file"), |path| quoted(path))
    }

    /// A path that nothing has.
    fn free(&mut self, name: &str) -> String {
        self.made += 1;
        let end = self.random.pick(&["", ".conf", " x"]);
        let folder = if self.random.chance(50) { String::new() } else { self.random.pick(&self.folders) };
        join(&folder, &format!("{name}{}{end}", self.made))
    }

    fn name(&mut self) -> String {
        quoted(&self.free("aside"))
    }

    fn new_file(&mut self) -> String {
        let path = self.free("made");
        self.made_file(path)
    }

    fn made_file(&mut self, path: String) -> String {
        let quoted = quoted(&path);
        self.files.push(path);
        quoted
    }

    fn made_link(&mut self, path: String) -> String {
        let quoted = quoted(&path);
        self.links.push(path);
        quoted
    }

    fn made_folder(&mut self, path: String) -> String {
        let quoted = quoted(&path);
        self.folders.push(path);
        quoted
    }

    /// A new one outside of all others: none is moved into itself.
    fn top_folder(&mut self) -> String {
        self.made += 1;
        self.made_folder(format!("top{}", self.made))
    }

    fn mode(&mut self) -> &'static str {
        self.one_of(&["400", "660", "711", "0"])
    }

    fn owner(&mut self) -> &'static str {
        self.one_of(&["2", "0:43", "1001:1001", "3:0"])
    }

    fn one_of(&mut self, of: &[&'static str]) -> &'static str {
        self.random.pick(of)
    }
}

/// One word of shell, which never looks like an option.
pub fn quoted(path: &str) -> String {
    format!("'./{}'", path.replace('\'', "'\\''"))
}
