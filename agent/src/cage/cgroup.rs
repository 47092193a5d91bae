//! Control groups: where the agent stands in them, and what the group of a task gets.
//!
//! Version 2 wants a subtree that was delegated to us; on version 1 each hierarchy that can be written gives
//! its own controllers; where both are mounted (hybrid) the tree of version 2 mostly has none, but its groups
//! can be ended as a whole. All of it is optional. The group itself is a [`Group`].

mod group;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use group::{Group, Joining, Membership, Usage, settle};

/// The leaf into which the agent moves itself: a group that hands controllers on must hold no process.
const AGENT_LEAF: &str = "agent";
/// Microseconds in which [`Bounds::cpu_us`] may be used.
const CPU_PERIOD_US: u64 = 100_000;

/// The kernel's interface, or interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Version {
    None,
    V1,
    V2,
    Hybrid,
}

impl Version {
    /// Of several folders.
    fn of(mut folders: impl Iterator<Item = Self>) -> Self {
        let Some(first) = folders.next() else { return Self::None };
        if folders.all(|other| other == first) { first } else { Self::Hybrid }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "cgroup",
            Self::V1 => "cgroup v1",
            Self::V2 => "cgroup v2",
            Self::Hybrid => "cgroup v1 and v2",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Controller {
    Memory,
    Pids,
    Cpu,
    /// Version 1 only: counts, and limits nothing.
    Cpuacct,
}

impl Controller {
    const ALL: [Self; 4] = [Self::Memory, Self::Pids, Self::Cpu, Self::Cpuacct];
    const LIMITING: [Self; 3] = [Self::Memory, Self::Pids, Self::Cpu];

    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::Cpuacct => "cpuacct",
        }
    }

    /// Those named in a list.
    fn among<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Vec<Self> {
        Self::ALL.into_iter().filter(|one| names.clone().any(|name| name == one.name())).collect()
    }
}

/// What the processes of a task may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// In bytes; files written on the stage count as well.
    pub memory: u64,
    /// Processes and threads, PID 1 among them.
    pub pids: u64,
    /// Of the time of one processor, in each 100 ms.
    cpu_us: u64,
}

impl Bounds {
    /// One processor at most; of an only one, most.
    pub fn new(memory: u64, pids: u64, processors: usize) -> Self {
        Self { memory, pids, cpu_us: if processors > 1 { CPU_PERIOD_US } else { CPU_PERIOD_US / 5 * 4 } }
    }
}

/// The agent's place in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Place {
    version: Version,
    /// Below it the groups of tasks are made.
    folder: PathBuf,
    /// Which of them such a group has.
    controllers: Vec<Controller>,
    /// Why no group can be made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    unusable: Option<String>,
    /// By the service manager, to us.
    delegated: bool,
}

/// The groups of one task, as data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct GroupPlan {
    version: Version,
    folders: Vec<FolderPlan>,
    /// What these groups do not limit, and why.
    missing: Vec<String>,
}

/// One folder to be made, and what is written into its files before a process is put in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct FolderPlan {
    version: Version,
    below: PathBuf,
    writes: Vec<Write>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Write {
    file: &'static str,
    value: String,
    /// Not every kernel has the file.
    optional: bool,
}

impl GroupPlan {
    /// # Errors
    /// No group can be made; the reasons.
    fn new(places: &[Place], bounds: Bounds) -> Result<Self, String> {
        let usable: Vec<&Place> = places.iter().filter(|place| place.unusable.is_none()).collect();
        let folders: Vec<FolderPlan> = usable.iter().map(|place| place.plan(bounds)).collect();
        let mut reasons: Vec<&str> = places.iter().filter_map(|place| place.unusable.as_deref()).collect();
        reasons.dedup();
        let version = match Version::of(folders.iter().map(|folder| folder.version)) {
            Version::None if reasons.is_empty() => return Err("no hierarchy is mounted".into()),
            Version::None => return Err(reasons.join("; ")),
            version => version,
        };
        let unlimited = Controller::LIMITING
            .into_iter()
            .filter(|one| !usable.iter().any(|place| place.controllers.contains(one)));
        let because = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join("; ")) };
        let missing = unlimited.map(|one| format!("no {} controller{because}", one.name())).collect();
        Ok(Self { version, folders, missing })
    }
}

impl Place {
    fn plan(&self, bounds: Bounds) -> FolderPlan {
        let of = |controller: &Controller| writes(self.version, *controller, bounds);
        let writes = self.controllers.iter().flat_map(of).collect();
        FolderPlan { version: self.version, below: self.folder.clone(), writes }
    }
}

fn writes(version: Version, controller: Controller, bounds: Bounds) -> Vec<Write> {
    let Bounds { memory, pids, cpu_us } = bounds;
    let must = |file, value: u64| Write { file, value: value.to_string(), optional: false };
    let may = |file, value: u64| Write { file, value: value.to_string(), optional: true };
    match (controller, version) {
        (Controller::Memory, Version::V1) => {
            // What sockets hold is counted apart there.
            vec![
                must("memory.limit_in_bytes", memory),
                may("memory.memsw.limit_in_bytes", memory),
                may("memory.kmem.tcp.limit_in_bytes", memory),
            ]
        }
        (Controller::Memory, _) => {
            vec![must("memory.max", memory), may("memory.swap.max", 0), may("memory.oom.group", 1)]
        }
        (Controller::Pids, _) => vec![must("pids.max", pids)],
        (Controller::Cpu, Version::V1) => {
            vec![must("cpu.cfs_period_us", CPU_PERIOD_US), must("cpu.cfs_quota_us", cpu_us)]
        }
        (Controller::Cpu, _) => {
            vec![Write { file: "cpu.max", value: format!("{cpu_us} {CPU_PERIOD_US}"), optional: false }]
        }
        (Controller::Cpuacct, _) => Vec::new(),
    }
}

/// A line of mountinfo(5) for a hierarchy.
struct Hierarchy<'a> {
    at: &'a str,
    root: &'a str,
    version: Version,
    read_only: bool,
    /// Of version 1.
    controllers: Vec<&'a str>,
}

impl<'a> Hierarchy<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (of_mount, of_super) = line.split_once(" - ")?;
        let mut fields = of_mount.split(' ').skip(3);
        let (root, at, options) = (fields.next()?, fields.next()?, fields.next()?);
        let mut of_super = of_super.split(' ');
        let version = match of_super.next()? {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => return None,
        };
        let controllers: Vec<&str> = of_super.nth(1)?.split(',').collect();
        let read_only = options.split(',').chain(controllers.iter().copied()).any(|option| option == "ro");
        Some(Self { at, root, version, read_only, controllers })
    }

    /// Our path in it, by proc_pid_cgroup(5).
    fn own(&self, cgroup: &'a str) -> Option<&'a str> {
        cgroup.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (names, path) = (parts.next()?, parts.next()?);
            let here = match self.version {
                Version::V1 => {
                    names.split(',').any(|name| !name.is_empty() && self.controllers.contains(&name))
                }
                _ => names.is_empty(),
            };
            here.then_some(path)
        })
    }
}

/// Where this process stands in each hierarchy that matters, by what lies below `root`.
fn places(root: &Path) -> Vec<Place> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    // Of this thread: another one may live in another mount namespace.
    let (cgroup, mountinfo) = (read("proc/thread-self/cgroup"), read("proc/thread-self/mountinfo"));
    let mut places: Vec<Place> = Vec::new();
    for hierarchy in mountinfo.lines().filter_map(Hierarchy::of) {
        let Some(own) = hierarchy.own(&cgroup) else { continue };
        let Some(place) = place(root, &hierarchy, own) else { continue };
        // A hierarchy may be mounted twice; one that can be used counts.
        match places.iter_mut().find(|other| other.is_same_hierarchy(&place)) {
            Some(other) if other.unusable.is_some() => *other = place,
            Some(_) => {}
            None => places.push(place),
        }
    }
    places
}

impl Place {
    fn is_same_hierarchy(&self, other: &Self) -> bool {
        self.version == other.version
            && (self.version == Version::V2 || self.controllers == other.controllers)
    }
}

fn place(root: &Path, hierarchy: &Hierarchy<'_>, own: &str) -> Option<Place> {
    let mut controllers = Controller::among(hierarchy.controllers.iter().copied());
    if hierarchy.version == Version::V1 && controllers.is_empty() {
        return None;
    }
    let inside = Path::new(own).strip_prefix(hierarchy.root).ok().filter(|path| !path.starts_with(".."));
    let mount = Path::new(hierarchy.at);
    let mut folder = inside.map_or_else(|| mount.to_owned(), |path| joined(mount, path));
    let mut delegated = false;
    let mut unusable = match inside {
        None => Some(format!("the agent's own group lies outside of {}", hierarchy.at)),
        Some(_) if hierarchy.read_only => Some(format!("{} is read-only", hierarchy.at)),
        Some(_) => None,
    };
    if hierarchy.version == Version::V2 {
        let is_delegated = |folder: &Path| is_marked(&below(root, folder));
        if let Some(parent) =
            folder.parent().filter(|parent| folder.ends_with(AGENT_LEAF) && is_delegated(parent))
        {
            folder = parent.to_owned();
        }
        delegated = is_delegated(&folder);
        if unusable.is_none() && !delegated && below(root, Path::new("/run/systemd/system")).exists() {
            unusable = Some(format!("{} is not delegated; next: Delegate=yes in the unit", folder.display()));
        }
        let handed_on = std::fs::read_to_string(below(root, &folder).join("cgroup.subtree_control"));
        controllers = Controller::among(handed_on.unwrap_or_default().split_whitespace());
    }
    Some(Place { version: hierarchy.version, folder, controllers, unusable, delegated })
}

/// Joining an empty path would add a slash.
fn joined(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// systemd marks what it delegates.
fn is_marked(folder: &Path) -> bool {
    let marked = |name: &str| {
        let mut value = [0; 4];
        rustix::fs::getxattr(folder, name, &mut value).is_ok_and(|length| value.get(..length) == Some(b"1"))
    };
    marked("trusted.delegate") || marked("user.delegate")
}

#[cfg(test)]
mod tests;
