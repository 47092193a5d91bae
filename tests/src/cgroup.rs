//! A control group of its own for each booted host.
//!
//! Without one all hosts that a test boots share one: a service manager would find the processes of its
//! neighbours among those of its own units.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::wait::until;

const PREFIX: &str = "aright-test-";

/// The folders of one group: one, or several where version 1 and 2 are mixed.
pub struct Group(Vec<PathBuf>);

impl Group {
    /// Made below the test's own group. `name` is unique on this machine.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        Self::below(parents(), name)
    }

    /// The same, with its memory counted, where that can be.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn with_memory(name: &str) -> anyhow::Result<Self> {
        Self::below(parents().into_iter().chain(memory()).collect(), name)
    }

    fn below(parents: Vec<PathBuf>, name: &str) -> anyhow::Result<Self> {
        let mut group = Self(Vec::new());
        for parent in parents {
            let folder = parent.join(format!("{PREFIX}{name}"));
            fs::create_dir(&folder)?;
            group.0.push(folder);
        }
        Ok(group)
    }

    /// CPU time of all that ever was in it. Version 2 counts it without any controller.
    ///
    /// # Errors
    /// There is no version 2.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = self.read("cpu.stat").context("no control groups of version 2")?;
        let usage = stat.lines().find_map(|line| line.strip_prefix("usage_usec "));
        Ok(Duration::from_micros(usage.context("cpu.stat has no usage")?.parse()?))
    }

    /// The most memory that it had at once, in bytes: also of files that it was the first to read or write.
    #[must_use]
    pub fn peak_memory(&self) -> Option<u64> {
        ["memory.peak", "memory.max_usage_in_bytes"]
            .iter()
            .find_map(|name| self.read(name)?.trim().parse().ok())
    }

    fn read(&self, name: &str) -> Option<String> {
        self.0.iter().find_map(|folder| fs::read_to_string(folder.join(name)).ok())
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
    for parent in parents().into_iter().chain(memory()) {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&format!("{PREFIX}{name}")) {
                remove(&entry.path());
            }
        }
    }
}

/// Where the test's own process stands in each hierarchy that systemd uses.
fn parents() -> Vec<PathBuf> {
    let hybrid = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"];
    if Path::new(hybrid[0]).is_dir() {
        return [own(hybrid[0], ":name=systemd:"), own(hybrid[1], "0::")].into_iter().flatten().collect();
    }
    own("/sys/fs/cgroup", "0::").into_iter().collect()
}

/// Where it stands in version 1's hierarchy for memory, if there is one.
fn memory() -> Option<PathBuf> {
    own("/sys/fs/cgroup/memory", ":memory:")
}

fn own(mount: &str, mark: &str) -> Option<PathBuf> {
    let all = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let line = all.lines().find_map(|line| line.split_once(mark).map(|(_, path)| path))?;
    let folder = Path::new(mount).join(line.trim_start_matches('/'));
    folder.join("cgroup.procs").exists().then_some(folder)
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
