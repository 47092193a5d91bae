//! For the probes' tests: a small tree to look at.

use std::path::PathBuf;

use aright_shared::posture::{Reading, Value};

use super::{Look, View};
use crate::root::Root;

/// Makes a tree of files and looks at it.
pub fn look_at(files: &[(&str, &str)], test: impl FnOnce(&Look<'_>)) {
    look_in(&View::Live, files, test);
}

/// As [`look_at`], by another view.
pub fn look_in(view: &View, files: &[(&str, &str)], test: impl FnOnce(&Look<'_>)) {
    let dir = tempfile::tempdir().expect("folder");
    for (path, text) in files {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("file");
    }
    let root = Root::folder(dir.path()).expect("opens");
    test(&Look::new(&root, view));
}

pub fn text_list(items: &[&str]) -> Reading {
    Reading::Value(Value::List(items.iter().map(|item| Value::Text((*item).to_owned())).collect()))
}

impl Look<'_> {
    /// Where a file of the tree lies.
    pub fn on_disk(&self, path: &str) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        PathBuf::from(format!("/proc/self/fd/{}", self.root.fd().as_raw_fd())).join(path)
    }
}
