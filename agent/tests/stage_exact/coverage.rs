//! That each case occurred: counted by what was seen, not by what was meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::case::Seen;
use crate::snapshot::{Kind, Node, Tree, What};

/// Committed, equal to the script's own doing, and undone.
const COMMITTED: [&str; 22] = [
    "content",
    "mode",
    "owner",
    "xattr",
    "acl",
    "capability file changed",
    "capability file replaced",
    "capability file deleted",
    "link made",
    "link changed",
    "link deleted",
    "sparse",
    "empty",
    "newline in a name",
    "file made",
    "file deleted",
    "file renamed",
    "folder made",
    "folder's attributes",
    "declared by pattern",
    "nothing changed",
    "modification time given back",
];
/// Not let through, the host untouched.
const STOPPED: [&str; 12] = [
    "undeclared",
    "hard-linked file: refused",
    "hard-linked file: overreach",
    "hard link made",
    "folder deleted",
    "folder renamed",
    "folder replaced",
    "folders swapped",
    "set-id bit",
    "capability gained",
    "special file",
    "name that is no text",
];

pub struct Coverage(BTreeMap<&'static str, usize>);

impl Coverage {
    pub fn new() -> Self {
        Self(COMMITTED.iter().chain(&STOPPED).map(|name| (*name, 0)).collect())
    }

    pub fn never(&self) -> Vec<&'static str> {
        self.0.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect()
    }

    pub fn line(&self) -> String {
        let counts: Vec<String> = self.0.iter().map(|(name, count)| format!("{name} {count}")).collect();
        counts.join(", ")
    }

    fn count(&mut self, name: &'static str, occurred: bool) {
        let count = self.0.get_mut(name).expect("a counter that is named above");
        *count += usize::from(occurred);
    }

    pub fn committed(&mut self, seen: &Seen, committed: &Tree, undone: &Tree) {
        self.count("nothing changed", seen.delta.is_empty());
        self.count("folder replaced", !seen.replaced_folders().is_empty());
        for path in seen.delta.keys() {
            let (before, after) = (seen.before.get(path), seen.after.get(path));
            self.count("newline in a name", path.to_string_lossy().contains('\n'));
            self.count("sparse", [before, after].into_iter().flatten().any(Node::is_sparse));
            self.count("declared by pattern", !seen.names(path));
            match (before, after) {
                (Some(before), Some(after)) => self.altered(&before.what, &after.what),
                (None, Some(after)) => self.made(after, seen),
                (Some(before), None) => self.deleted(&before.what),
                (None, None) => {}
            }
            self.able(before, after);
            let mtime =
                |tree: &Tree| tree.get(path).filter(|node| node.what.is_file()).map(|node| node.mtime);
            let [was, rewritten, undone] = [&seen.host_before, committed, undone].map(mtime);
            self.count("modification time given back", was.is_some() && rewritten != was && undone == was);
        }
    }

    fn altered(&mut self, before: &What, after: &What) {
        let other = |name: &str| before.xattrs.get(name) != after.xattrs.get(name);
        self.count("content", before.is_file() && before.kind != after.kind);
        self.count("link changed", before.is_link() && before.kind != after.kind);
        self.count("mode", before.mode != after.mode && before.is_file());
        self.count("owner", before.owner != after.owner);
        self.count("xattr", other("user.note"));
        self.count("acl", other("system.posix_acl_access") || other("system.posix_acl_default"));
        self.count("folder's attributes", before.is_folder());
        self.count("empty", [before, after].into_iter().any(is_empty));
    }

    fn made(&mut self, node: &Node, seen: &Seen) {
        let from = seen.before.iter().find(|(_, before)| before.ino == node.ino);
        self.count("file made", node.what.is_file() && from.is_none());
        self.count("file renamed", node.what.is_file() && from.is_some());
        self.count("folder made", node.what.is_folder());
        self.count("link made", node.what.is_link());
        self.count("empty", is_empty(&node.what));
    }

    fn deleted(&mut self, what: &What) {
        self.count("file deleted", what.is_file());
        self.count("link deleted", what.is_link());
        self.count("empty", is_empty(what));
    }

    fn able(&mut self, before: Option<&Node>, after: Option<&Node>) {
        let Some(before) = before.filter(|node| node.what.capability().is_some()) else { return };
        self.count("capability file changed", after.is_some_and(|after| after.ino == before.ino));
        self.count("capability file replaced", after.is_some_and(|after| after.ino != before.ino));
        self.count("capability file deleted", after.is_none());
    }

    pub fn stopped(&mut self, seen: &Seen, refused: bool) {
        self.count("undeclared", !refused);
        for (path, (before, after)) in &seen.delta {
            let linked =
                |tree: &Tree| tree.get(path).is_some_and(|node| node.what.is_file() && node.nlink > 1);
            self.count("hard-linked file: refused", refused && linked(&seen.before));
            self.count("hard-linked file: overreach", !refused && linked(&seen.before));
            if refused {
                continue;
            }
            self.count("hard link made", before.is_none() && linked(&seen.after));
            self.gone(path, seen);
            self.count("name that is no text", path.to_str().is_none());
            let Some(after) = after else { continue };
            let had = |bits: u32| before.as_ref().is_some_and(|what| what.mode & bits == after.mode & bits);
            self.count("set-id bit", after.mode & 0o6000 != 0 && after.is_file() && !had(0o6000));
            self.count("capability gained", after.capability().is_some() && before.is_none());
            self.count("special file", after.kind == Kind::Special);
        }
        let replaced = seen.replaced_folders();
        let was_elsewhere = |path: &PathBuf| {
            let is = seen.after[path].ino;
            seen.before.values().any(|node| node.ino == is)
        };
        self.count("folder replaced", !refused && !replaced.is_empty());
        self.count("folders swapped", !refused && replaced.into_iter().any(was_elsewhere));
    }

    fn gone(&mut self, path: &Path, seen: &Seen) {
        let was = seen.before.get(path).filter(|node| node.what.is_folder());
        let Some(was) = was.filter(|_| !seen.after.contains_key(path)) else { return };
        let elsewhere = seen.after.values().any(|node| node.ino == was.ino);
        self.count("folder renamed", elsewhere);
        self.count("folder deleted", !elsewhere);
    }
}

fn is_empty(what: &What) -> bool {
    matches!(what.kind, Kind::File { size: 0, .. })
}
