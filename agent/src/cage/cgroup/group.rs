//! The group of one task: made by the agent, joined by the launcher for PID 1, removed when dropped.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg};
use nix::unistd::ForkResult;
use serde::{Deserialize, Serialize};

use super::{AGENT_LEAF, Bounds, Controller, FolderPlan, GroupPlan, Place, Version, places};
use crate::cage::{InForce, Layer, sys};

/// How the folders of tasks are named, so that those a crash left behind are known.
const PREFIX: &str = "aright-task-";
/// Of one agent at a time.
const MOST: u32 = 1000;
/// The kernel lets a group go a moment after its last process.
const REMOVALS: u32 = 500;

/// One folder per hierarchy, gone when dropped.
#[derive(Debug, Default)]
pub struct Group {
    folders: Vec<Folder>,
    membership: Option<Membership>,
    missing: Vec<(Layer, String)>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    version: Version,
    /// Says that somebody still lives who will remove it.
    _owned: Flock<File>,
}

/// What PID 1 is put into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    version: Version,
    folders: Vec<PathBuf>,
    /// The number of processes is limited.
    pids: bool,
}

/// What all processes of a group used together, as far as it was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_ms: Option<u64>,
    pub peak_memory_kb: Option<u64>,
    /// Processes ended because all together met their limit of memory.
    pub oom_kills: u64,
}

/// Once, when the agent starts: into a leaf of its own, so that its group can hand controllers on; and what
/// a crash left behind is removed.
pub fn settle() {
    for place in places(Path::new("/")) {
        if place.delegated
            && let Err(error) = place.settle()
        {
            tracing::warn!("{} cannot hand controllers on: {error}", place.folder.display());
        }
        place.sweep();
    }
}

impl Group {
    /// Makes what can be made for a task with these bounds; the rest is told by [`Group::missing`].
    pub fn new(bounds: Bounds) -> Self {
        Self::make(&places(Path::new("/")), bounds)
    }

    pub(super) fn make(places: &[Place], bounds: Bounds) -> Self {
        let plan = match GroupPlan::new(places, bounds) {
            Ok(plan) => plan,
            Err(why) => {
                return Self { missing: vec![(Layer::Cgroup(Version::None), why)], ..Self::default() };
            }
        };
        let mut missing = plan.missing.clone();
        let mut folders = Vec::new();
        for one in &plan.folders {
            match Folder::make(one, &mut |why| missing.push(why)) {
                Ok(folder) => folders.push(folder),
                Err(error) => missing.push(format!("no group below {}: {error}", one.below.display())),
            }
        }
        let version = Version::of(folders.iter().map(|folder: &Folder| folder.version));
        let missing = missing.into_iter().map(|why| (Layer::Cgroup(version), why)).collect();
        let membership = (!folders.is_empty()).then(|| Membership {
            version,
            folders: folders.iter().map(|folder| folder.path.clone()).collect(),
            pids: folders.iter().any(|folder| folder.number("pids.max").is_some()),
        });
        Self { folders, membership, missing }
    }

    pub fn membership(&self) -> Option<Membership> {
        self.membership.clone()
    }

    /// What is not limited by it, and why.
    pub fn missing(&self) -> &[(Layer, String)] {
        &self.missing
    }

    pub fn usage(&self) -> Usage {
        let each = || self.folders.iter().map(Folder::usage);
        Usage {
            cpu_ms: each().find_map(|usage| usage.cpu_ms),
            peak_memory_kb: each().find_map(|usage| usage.peak_memory_kb),
            oom_kills: each().map(|usage| usage.oom_kills).sum(),
        }
    }
}

impl Folder {
    fn make(plan: &FolderPlan, failed: &mut dyn FnMut(String)) -> io::Result<Self> {
        let (path, owned) = new_folder(&plan.below)?;
        for write in &plan.writes {
            let file = path.join(write.file);
            match fs::write(&file, &write.value) {
                Ok(()) => {}
                Err(error) if write.optional && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => failed(format!("{} = {}: {error}", write.file, write.value)),
            }
        }
        Ok(Self { path, version: plan.version, _owned: owned })
    }

    /// None where the file says `max`.
    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.path.join(file)).ok()?.trim().parse().ok()
    }

    fn usage(&self) -> Usage {
        let keyed = |file: &str, key: &str| {
            let text = fs::read_to_string(self.path.join(file)).ok()?;
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok())
        };
        match self.version {
            Version::V2 => Usage {
                cpu_ms: keyed("cpu.stat", "usage_usec ").map(|us| us / 1_000),
                peak_memory_kb: self.number("memory.peak").map(|bytes| bytes >> 10),
                oom_kills: keyed("memory.events", "oom_kill ").unwrap_or(0),
            },
            _ => Usage {
                cpu_ms: self.number("cpuacct.usage").map(|ns| ns / 1_000_000),
                peak_memory_kb: self.number("memory.max_usage_in_bytes").map(|bytes| bytes >> 10),
                oom_kills: keyed("memory.oom_control", "oom_kill ").unwrap_or(0),
            },
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            tracing::warn!("{} stays until the agent's next start: {error}", self.path.display());
        }
    }
}

fn new_folder(below: &Path) -> io::Result<(PathBuf, Flock<File>)> {
    for number in 0..MOST {
        let path = below.join(format!("{PREFIX}{}-{number}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(error),
        }
        // Another agent may start just now and take it for one left behind.
        if let Ok(owned) = owned(&path)
            && path.exists()
        {
            return Ok((path, owned));
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Fails while its owner lives.
fn owned(folder: &Path) -> io::Result<Flock<File>> {
    Flock::lock(File::open(folder)?, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

/// Whatever is in it is ended, where the kernel can.
fn remove(folder: &Path) -> io::Result<()> {
    for _ in 0..REMOVALS {
        match fs::remove_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            done => return done,
        }
        let _ = OpenOptions::new()
            .write(true)
            .open(folder.join("cgroup.kill"))
            .and_then(|mut all| all.write_all(b"1"));
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

impl Place {
    fn settle(&self) -> io::Result<()> {
        let leaf = self.folder.join(AGENT_LEAF);
        fs::create_dir(&leaf).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        })?;
        fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
        let offered = fs::read_to_string(self.folder.join("cgroup.controllers"))?;
        for one in Controller::among(offered.split_whitespace()) {
            fs::write(self.folder.join("cgroup.subtree_control"), format!("+{}", one.name()))?;
        }
        Ok(())
    }

    /// Removes the folders of tasks whose agent is gone.
    pub(super) fn sweep(&self) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            // Held until it is gone: else its maker could take it in between.
            if ours && let Ok(_held) = owned(&entry.path()) {
                let _ = remove(&entry.path());
            }
        }
    }
}

/// The files of a group, opened while the launcher still sees them.
#[derive(Debug, Default)]
pub struct Joining {
    membership: Option<Membership>,
    folders: Vec<Joined>,
    failed: Option<String>,
}

#[derive(Debug)]
struct Joined {
    folder: File,
    /// What a process writes itself into.
    members: File,
    /// On version 2 only.
    kill: Option<File>,
    /// PID 1 was born in it.
    born: bool,
}

impl Joining {
    pub fn open(membership: Option<Membership>) -> Self {
        let mut joining = Self { membership, ..Self::default() };
        for path in joining.membership.iter().flat_map(|membership| &membership.folders) {
            match Joined::open(path) {
                Ok(joined) => joining.folders.push(joined),
                Err(error) => joining.failed = Some(format!("{}: {error}", path.display())),
            }
        }
        joining
    }

    /// Forks PID 1, into the group where the kernel can: to move a process of version 2 waits until every processor
    /// has noticed, some 10 ms.
    pub fn fork(&mut self) -> nix::Result<ForkResult> {
        if let Some(joined) = self.folders.iter_mut().find(|joined| joined.kill.is_some())
            && let Ok(forked) = sys::fork_into(joined.folder.as_fd())
        {
            joined.born = true;
            return Ok(forked);
        }
        sys::fork()
    }

    /// By PID 1 itself, before it starts any other: whoever moves only itself waits for nobody on version 1.
    pub fn enter(self, in_force: &mut InForce) {
        let mut failed = self.failed;
        for mut joined in self.folders.into_iter().filter(|joined| !joined.born) {
            if let Err(error) = joined.members.write_all(b"0") {
                failed = Some(format!("joining: {error}"));
            }
        }
        if let (Some(membership), Some(why)) = (self.membership, failed) {
            in_force.missing.push((Layer::Cgroup(membership.version), why));
        }
    }

    /// Once PID 1 has told what it could not have.
    pub fn report(&self, in_force: &mut InForce) {
        let Some(membership) = &self.membership else { return };
        let layer = Layer::Cgroup(membership.version);
        if in_force.missing.iter().any(|(missing, _)| *missing == layer) {
            return;
        }
        in_force.layers.push(layer);
        if membership.pids && in_force.missing.iter().any(|(layer, _)| *layer == Layer::ProcessLimit) {
            in_force.missing.retain(|(layer, _)| *layer != Layer::ProcessLimit);
            in_force.layers.push(Layer::ProcessLimit);
        }
    }

    /// Ends every process of the group at once, where the kernel can. The PID namespace does it everywhere.
    pub fn kill(&self) {
        for mut kill in self.folders.iter().filter_map(|joined| joined.kill.as_ref()) {
            let _ = kill.write_all(b"1");
        }
    }
}

impl Joined {
    fn open(folder: &Path) -> io::Result<Self> {
        let write = |file| OpenOptions::new().write(true).open(folder.join(file));
        let kill = write("cgroup.kill").ok();
        // `tasks` is of version 1 alone.
        let members = write("tasks").or_else(|_| write("cgroup.procs"))?;
        Ok(Self { folder: File::open(folder)?, members, kill, born: false })
    }
}
