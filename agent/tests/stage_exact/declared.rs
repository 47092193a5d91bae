//! What is declared for a script, and what must then become of it: the rules of DESIGN.md section 5 over again,
//! on what really happened.

use std::path::{Path, PathBuf};

use crate::planted::join;
use crate::random::Random;
use crate::snapshot::{Delta, Node, Tree, What};

/// One declaration, its path below the top of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    File(String),
    Pattern(String),
    Link(String),
    Folder(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Everything that will be changed.
    All,
    /// Most of it.
    Most,
    /// Something else.
    Other,
}

impl Wish {
    pub fn path(&self) -> &str {
        let (Self::File(path) | Self::Pattern(path) | Self::Link(path) | Self::Folder(path)) = self;
        path
    }

    /// As a script says it.
    pub fn touch(&self, top: &str) -> String {
        match self {
            Self::File(path) | Self::Pattern(path) => format!("{top}/{path}"),
            Self::Link(path) => format!("link:{top}/{path}"),
            Self::Folder(path) => format!("{top}/{path}/"),
        }
    }

    fn is_for(&self, path: &Path) -> bool {
        match self {
            Self::Pattern(pattern) => path.to_str().is_some_and(|path| fits(pattern, path)),
            Self::File(one) | Self::Link(one) | Self::Folder(one) => path == Path::new(one),
        }
    }

    /// The folder that it is about: of a pattern what comes before its first wildcard.
    fn folder(&self) -> PathBuf {
        match self {
            Self::Pattern(path) => path.split('/').take_while(|part| !part.contains(WILD)).collect(),
            Self::File(path) | Self::Link(path) => {
                Path::new(path).parent().unwrap_or(Path::new("")).to_owned()
            }
            Self::Folder(path) => path.into(),
        }
    }
}

const WILD: [char; 3] = ['*', '?', '['];

/// `*` and `?`, which never stand for a slash.
fn fits(pattern: &str, path: &str) -> bool {
    let one = |(pattern, name): (&str, &str)| matches(pattern.as_bytes(), name.as_bytes());
    pattern.split('/').count() == path.split('/').count() && pattern.split('/').zip(path.split('/')).all(one)
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| matches(rest, &name[skip..])),
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([c, rest @ ..], [n, name @ ..]) => c == n && matches(rest, name),
        _ => false,
    }
}

/// Declares for what will be changed, and now and then for more.
pub fn declare(random: &mut Random, delta: &Delta, manner: Manner) -> Vec<Wish> {
    // Whatever the rest, the top of the tree can be written.
    let mut wishes = vec![Wish::File("not there".into())];
    if manner != Manner::Other {
        wishes.extend(delta.iter().filter_map(|(path, change)| wish(random, path.to_str()?, change)));
    }
    if manner == Manner::Most && wishes.len() > 1 {
        wishes.remove(1 + random.below(wishes.len() - 1));
    }
    if random.chance(15) {
        wishes.push(Wish::Pattern(random.pick(&["*.conf", "conf.d/file*", "*/made*", "old/*"]).to_string()));
    }
    wishes.dedup();
    wishes
}

/// One that lets a change through, as far as one can.
fn wish(random: &mut Random, path: &str, (before, after): &(Option<What>, Option<What>)) -> Option<Wish> {
    let any = |is: fn(&What) -> bool| before.iter().chain(after).any(is);
    let one_line = !path.contains('\n');
    if any(What::is_link) {
        return one_line.then(|| Wish::Link(path.to_owned()));
    }
    if any(What::is_folder) {
        let goes_without_saying = before.is_none() && random.chance(50);
        return (one_line && !goes_without_saying).then(|| Wish::Folder(path.to_owned()));
    }
    if one_line && !path.contains(WILD) && random.chance(60) {
        return Some(Wish::File(path.to_owned()));
    }
    Some(Wish::Pattern(pattern(random, path)))
}

/// One that stands for this path.
fn pattern(random: &mut Random, path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let plain = |text: &str| text.replace(['\n', '*', '?', '['], "?");
    let folder = if random.chance(20) && !folder.contains('/') && !folder.is_empty() { "*" } else { folder };
    let name = match random.below(3) {
        0 => "*".to_owned(),
        1 => format!("{}*", &name[..1]),
        _ => plain(name),
    };
    join(&plain_but_stars(folder), &if name.contains(WILD) { name } else { format!("{name}*") })
}

fn plain_but_stars(folder: &str) -> String {
    if folder == "*" { folder.to_owned() } else { folder.replace(['\n', '*', '?', '['], "?") }
}

/// Why no script may start with these declarations.
pub fn refusal(before: &Tree, wishes: &[Wish]) -> Option<String> {
    let of = |wish: &Wish| {
        let named: Vec<(&PathBuf, &Node)> = before.iter().filter(|(path, _)| wish.is_for(path)).collect();
        let folders = folders(before, wish);
        let open = folders.into_iter().find(|folder| !only_root_writes(before, folder));
        open.map(|folder| format!("others may write in {folder:?}")).or_else(|| {
            named
                .into_iter()
                .find_map(|(path, node)| cannot_be_committed(wish, node).map(|why| format!("{path:?} {why}")))
        })
    };
    wishes.iter().find_map(of)
}

fn cannot_be_committed(wish: &Wish, Node { what, nlink, .. }: &Node) -> Option<&'static str> {
    if what.is_file() && *nlink > 1 {
        return Some("has hard links");
    }
    let as_folder = matches!(wish, Wish::Folder(_));
    let misnamed = match wish {
        Wish::File(_) | Wish::Folder(_) => as_folder != what.is_folder(),
        Wish::Pattern(_) | Wish::Link(_) => false,
    };
    let special = !what.is_file() && !what.is_link() && !what.is_folder();
    (misnamed || special).then_some("is of another kind")
}

/// Those in which a declaration lets something be changed.
fn folders(before: &Tree, wish: &Wish) -> Vec<PathBuf> {
    let is_folder = |path: &Path| before.get(path).is_some_and(|node| node.what.is_folder());
    let nearest = wish.folder().ancestors().find(|path| is_folder(path)).map(Path::to_owned);
    let parent = match wish {
        Wish::Pattern(pattern) => pattern.rsplit_once('/').map(|(folder, _)| folder),
        _ => None,
    };
    let led_to = parent.filter(|parent| parent.contains(WILD)).map(|parent| {
        before.keys().filter(|path| is_folder(path) && path.to_str().is_some_and(|path| fits(parent, path)))
    });
    nearest.into_iter().chain(led_to.into_iter().flatten().cloned()).collect()
}

fn only_root_writes(before: &Tree, folder: &Path) -> bool {
    folder.ancestors().all(|path| {
        before.get(path).is_some_and(|node| node.what.owner.0 == 0 && node.what.mode & 0o022 == 0)
    })
}

/// Everything that must not have happened.
pub fn violations(delta: &Delta, after: &Tree, wishes: &[Wish]) -> Vec<PathBuf> {
    let wrong = |(path, change): &(&PathBuf, &(Option<What>, Option<What>))| {
        let linked = after.get(*path).is_some_and(|node| node.what.is_file() && node.nlink > 1);
        path.to_str().is_none() || linked || harms(change) || !is_declared(path, change, wishes)
    };
    delta.iter().filter(wrong).map(|(path, _)| path.clone()).collect()
}

fn harms((before, after): &(Option<What>, Option<What>)) -> bool {
    let Some(after) = after else { return false };
    let had = before.as_ref().map_or(0, |what| what.mode);
    let capability = after.capability();
    after.kind == crate::snapshot::Kind::Special
        || after.mode & 0o6000 & !had != 0
        || capability.is_some() && capability != before.as_ref().and_then(What::capability)
}

fn is_declared(path: &Path, (before, after): &(Option<What>, Option<What>), wishes: &[Wish]) -> bool {
    let all = |is: fn(&What) -> bool| before.iter().chain(after).all(is);
    let allows = |wish: &Wish| match wish {
        Wish::File(_) | Wish::Pattern(_) => all(What::is_file),
        Wish::Link(_) => all(What::is_link),
        Wish::Folder(_) => all(What::is_folder) && after.is_some(),
    };
    wishes.iter().any(|wish| wish.is_for(path) && allows(wish))
        || before.is_none()
            && after.as_ref().is_some_and(is_plain_folder)
            && wishes.iter().any(|wish| needs(wish, path))
}

fn is_plain_folder(what: &What) -> bool {
    what.is_folder() && what.owner == (0, 0) && what.mode == 0o755
}

/// Whether a declared path lies in this folder.
fn needs(wish: &Wish, folder: &Path) -> bool {
    match wish {
        Wish::Pattern(_) => wish.folder().starts_with(folder),
        _ => wish.folder().starts_with(folder) && Path::new(wish.path()) != folder,
    }
}
