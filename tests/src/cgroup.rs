//! A control group of its own for each booted host.
//!
//! Without one all hosts that a test boots share one: a service manager would find the processes of its
//! neighbours among those of its own units.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::wait::until;

const PREFIX: &str = "aright-test-";

/// The folders of one host's group: one, or two where version 1 and 2 are mixed.
pub struct Group(Vec<PathBuf>);

impl Group {
    /// Made below the test's own group. `name` is unique on this machine.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let mut group = Self(Vec::new());
        for parent in parents() {
            let folder = parent.join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder)?;
            group.0.push(folder);
        }
        Ok(group)
    }

    /// Shell words by which a process joins.
    #[must_use]
    pub fn join(&self) -> String {
        self.0.iter().map(|folder| format!("echo 0 > '{}/cgroup.procs' && ", folder.display())).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel lets a group go a moment after its last process.
        for folder in &self.0 {
            let _ = until("the group's end", Duration::from_secs(5), || {
                remove(folder);
                Ok((!folder.exists()).then_some(()))
            });
        }
    }
}

/// Removes the groups of hosts whose names start so.
pub fn sweep(name: &str) {
    for parent in parents() {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("{PREFIX}{name}")) {
                remove(&entry.path());
            }
        }
    }
}

/// Where the test's own process stands in each hierarchy that systemd uses.
fn parents() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let place = |mount: &str, mark: &str| {
        let line = own.lines().find_map(|line| line.split_once(mark).map(|(_, path)| path))?;
        let folder = Path::new(mount).join(line.trim_start_matches('/'));
        folder.join("cgroup.procs").exists().then_some(folder)
    };
    let hybrid = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
    if Path::new(hybrid[0]).is_dir() {
        return [place(hybrid[0], ":name=systemd:"), place(hybrid[1], "0::")].into_iter().flatten().collect();
    }
    place("/sys/fs/cgroup", "0::").into_iter().collect()
}

/// A group's folder goes only when those below it are gone.
fn remove(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
