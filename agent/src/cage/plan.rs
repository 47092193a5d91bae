//! Everything the launcher is to do, as plain data: made beforehand, seen whole in a snapshot, then applied.

use std::path::{Path, PathBuf};

use aright_shared::content::script::{Limits, Network};
use serde::{Deserialize, Serialize};

use super::cgroup::{Bounds, Membership};

/// Folders of the host that the stage never shows: each gets a fresh one. Scripts cannot change them.
pub const REPLACED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];
/// File systems below `/sys` that are shown, read-only, beside it.
pub const SHOWN_BELOW_SYS: [&str; 2] = ["selinuxfs", "securityfs"];
/// File systems of the kernel, wherever else they are mounted: a jail's `/proc` leads into the host's processes.
/// Nothing is behind an autofs mount point until it is used; looking would mount it.
const NEVER_SHOWN: [&str; 21] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "sysfs",
    "tracefs",
];
/// In `/proc`: covered, so that they read as empty.
pub const PROC_COVERED: [&str; 7] =
    ["sysrq-trigger", "kcore", "kmsg", "timer_list", "keys", "latency_stats", "sched_debug"];
/// Character devices in `/dev`, with major and minor number; world-writable.
pub const DEVICES: [(&str, u64, u64); 5] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9)];

/// Only the stage's `/run` has it: the script's bytes and its empty work folder.
pub const TASK_FOLDER: &str = "/run/aright-task";
pub const WORK_FOLDER: &str = "/run/aright-task/work";
pub const SCRIPT_FILE: &str = "/run/aright-task/script";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Who asks, where that is not root: everything then happens in a user namespace of theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    pub stage: StagePlan,
    pub cage: CagePlan,
    /// Made by the agent; PID 1 is put into it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Membership>,
}

/// An ordinary user of the host, root in their own namespace and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
}

impl User {
    /// Who this process runs as; `None` for root.
    pub fn of_this_process() -> Option<Self> {
        let uid = nix::unistd::geteuid();
        (!uid.is_root()).then(|| Self { uid: uid.as_raw(), gid: nix::unistd::getegid().as_raw() })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePlan {
    /// A replaced folder of the host over which the launcher mounts its own tmpfs, seen by nobody else.
    pub scratch: PathBuf,
    /// Of everything the script may write, in bytes.
    pub size: u64,
    /// How many files and folders it may make or change.
    pub inodes: u64,
    /// In the order they are mounted: `/` first, parents before what lies below them.
    pub mounts: Vec<MountStep>,
    /// Which of [`REPLACED`] the host has.
    pub replaced: Vec<PathBuf>,
    /// Top-level folders of `/run`, made anew and empty.
    pub run_folders: Vec<Folder>,
    /// Covered with something empty: what the script must not read.
    pub covers: Vec<Cover>,
}

/// One mount of the host and how the stage shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStep {
    pub at: PathBuf,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nosuid: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub noexec: bool,
    pub view: View,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    ReadOnly,
    /// An overlay; where that is impossible these folders as private copies, the rest read-only.
    Writable {
        copies: Vec<PathBuf>,
    },
    /// With everything mounted below it, read-only, and these folders as private copies of what may be read: all
    /// that an ordinary user can have, since their namespace may not take the host's mounts apart.
    Tree {
        copies: Vec<PathBuf>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub name: String,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    pub path: PathBuf,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub folder: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CagePlan {
    pub network: Network,
    /// Address space of each process, in bytes.
    pub memory: u64,
    /// Processes and threads at once.
    pub processes: u64,
    pub open_files: u64,
    /// Of one written file, in bytes.
    pub file_size: u64,
}

impl CagePlan {
    pub fn new(network: Network, limits: &Limits) -> Self {
        Self {
            network,
            memory: u64::from(limits.memory_mb.unwrap_or(1024)) << 20,
            processes: u64::from(limits.processes.unwrap_or(256)),
            open_files: 1024,
            file_size: 64 << 20,
        }
    }

    /// Of all processes together. Each may fill its address space, and all together the stage.
    pub fn bounds(&self, stage: &StagePlan, processors: usize) -> Bounds {
        Bounds::new(self.memory + stage.size, self.processes + 1, processors)
    }
}

/// What the host is like and what the script wants: all that a [`StagePlan`] follows from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Visible mounts of the host, parents first.
    pub mounts: &'a [HostMount],
    /// Where [`REPLACED`] lie, links resolved; those the host has.
    pub replaced: &'a [PathBuf],
    pub run_folders: Vec<Folder>,
    /// What is declared: each with the folder a private copy would need.
    pub writable: &'a [PathBuf],
    pub covers: Vec<Cover>,
    pub limits: &'a Limits,
    /// For an ordinary user.
    pub as_user: bool,
}

/// A line of mountinfo(5), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMount {
    pub at: PathBuf,
    /// Major and minor number: the same for every mount of a file system.
    pub device: String,
    /// The folder (or file) of that file system which is seen here.
    pub root: PathBuf,
    pub kind: String,
    pub read_only: bool,
    pub nosuid: bool,
    pub noexec: bool,
}

impl StagePlan {
    pub fn new(wanted: Wanted<'_>) -> Self {
        let shown = shown(&wanted);
        let is_shown = |path: &Path| {
            owner(wanted.mounts, path).is_some_and(|mount| shown.iter().any(|m| m.at == mount.at))
        };
        let scratch =
            wanted.replaced.iter().find(|folder| folder.ends_with("tmp")).or(wanted.replaced.last());
        let mut covers: Vec<Cover> =
            wanted.covers.iter().flat_map(|cover| everywhere(wanted.mounts, cover)).collect();
        covers.retain(|cover| is_shown(&cover.path) && !is_replaced(&wanted, &cover.path));
        // Below a covered folder there is no place for another cover.
        covers.sort_by(|a, b| a.path.cmp(&b.path));
        covers.dedup_by(|inner, outer| inner.path.starts_with(&outer.path));
        Self {
            scratch: scratch.cloned().unwrap_or_else(|| "/tmp".into()),
            size: u64::from(wanted.limits.stage_mb.unwrap_or(256)) << 20,
            inodes: 20_000,
            mounts: if wanted.as_user { vec![tree(&wanted)] } else { apart(&shown, &wanted) },
            replaced: wanted.replaced.to_vec(),
            run_folders: wanted
                .run_folders
                .into_iter()
                .filter(|folder| folder.name != "aright-task")
                .collect(),
            covers,
        }
    }
}

/// Each mount by itself.
fn apart(shown: &[&HostMount], wanted: &Wanted<'_>) -> Vec<MountStep> {
    let step = |mount: &&HostMount| MountStep {
        at: mount.at.clone(),
        nosuid: mount.nosuid,
        noexec: mount.noexec,
        view: view(mount, wanted),
    };
    shown.iter().map(step).collect()
}

fn tree(wanted: &Wanted<'_>) -> MountStep {
    let copies = outermost(wanted.writable.to_vec());
    MountStep { at: "/".into(), nosuid: true, noexec: false, view: View::Tree { copies } }
}

fn is_replaced(wanted: &Wanted<'_>, path: &Path) -> bool {
    wanted.replaced.iter().any(|folder| path.starts_with(folder))
}

/// Every mount that the stage has a place for.
fn shown<'a>(wanted: &Wanted<'a>) -> Vec<&'a HostMount> {
    // What is seen at a replaced folder is not seen elsewhere either.
    let behind_replaced: Vec<&HostMount> =
        wanted.mounts.iter().filter(|mount| wanted.replaced.contains(&mount.at)).collect();
    let part_of = |mount: &HostMount, other: &HostMount| {
        mount.device == other.device && mount.root.starts_with(&other.root)
    };
    let mut shown: Vec<&HostMount> = Vec::new();
    let mut unshown: Vec<&Path> = Vec::new();
    for mount in wanted.mounts {
        let fits = !is_replaced(wanted, &mount.at)
            && !NEVER_SHOWN.contains(&mount.kind.as_str())
            && !behind_replaced.iter().any(|replaced| part_of(mount, replaced));
        // Below one that is not shown there is no place to mount on.
        if below_sys(mount) || fits && !unshown.iter().any(|above| mount.at.starts_with(above)) {
            shown.push(mount);
        } else {
            unshown.push(&mount.at);
        }
    }
    shown
}

/// `/sys`, and what is shown beside it.
fn below_sys(mount: &HostMount) -> bool {
    let beside = mount.at.starts_with("/sys") && SHOWN_BELOW_SYS.contains(&mount.kind.as_str());
    mount.at == Path::new("/sys") || beside
}

/// The same cover on every mount of the file system that holds what is covered, or a part of it.
fn everywhere(mounts: &[HostMount], cover: &Cover) -> Vec<Cover> {
    let mut all = vec![cover.clone()];
    let Some(here) = owner(mounts, &cover.path) else { return all };
    let below = cover.path.strip_prefix(&here.at).unwrap_or(&cover.path);
    let inside = below_or_itself(&here.root, below);
    for other in mounts.iter().filter(|mount| mount.device == here.device && mount.at != here.at) {
        let path = match inside.strip_prefix(&other.root) {
            Ok(rest) => below_or_itself(&other.at, rest),
            Err(_) if other.root.starts_with(&inside) => other.at.clone(),
            Err(_) => continue,
        };
        if owner(mounts, &path).is_some_and(|owner| owner.at == other.at) {
            let folder = cover.folder && (path != other.at || other.root == inside || path.is_dir());
            all.push(Cover { path, folder });
        }
    }
    all
}

/// Joining an empty path would add a slash, which a file does not bear.
fn below_or_itself(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

/// Writable where something is declared on it.
fn view(mount: &HostMount, wanted: &Wanted<'_>) -> View {
    let here = |path: &&PathBuf| owner(wanted.mounts, path).is_some_and(|owner| owner.at == mount.at);
    let copies: Vec<PathBuf> = wanted.writable.iter().filter(here).cloned().collect();
    if copies.is_empty() || mount.read_only {
        return View::ReadOnly;
    }
    View::Writable { copies: outermost(copies) }
}

/// Without those that lie in another one.
fn outermost(mut folders: Vec<PathBuf>) -> Vec<PathBuf> {
    folders.sort();
    folders.dedup_by(|inner, outer| inner.starts_with(outer));
    folders
}

/// The mount that a path lies on.
pub fn owner<'a>(mounts: &'a [HostMount], path: &Path) -> Option<&'a HostMount> {
    mounts
        .iter()
        .filter(|mount| path.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(at: &str, kind: &str, read_only: bool) -> HostMount {
        let (device, root) = (format!("of {at}"), "/".into());
        HostMount {
            at: at.into(),
            device,
            root,
            kind: kind.into(),
            read_only,
            nosuid: at == "/home",
            noexec: false,
        }
    }

    fn stage(mounts: &[HostMount], writable: &[&str]) -> StagePlan {
        plan(mounts, writable, false)
    }

    fn plan(mounts: &[HostMount], writable: &[&str], as_user: bool) -> StagePlan {
        let cover = |path: &str, folder| Cover { path: path.into(), folder };
        StagePlan::new(Wanted {
            mounts,
            replaced: &REPLACED.map(PathBuf::from),
            run_folders: vec![
                Folder { name: "aright-task".into(), mode: 0o777, uid: 5, gid: 5 },
                Folder { name: "lock".into(), mode: 0o1777, uid: 0, gid: 0 },
            ],
            writable: &writable.iter().map(PathBuf::from).collect::<Vec<_>>(),
            covers: vec![cover("/etc/shadow", false), cover("/run/aright", true)],
            limits: &Limits::default(),
            as_user,
        })
    }

    /// The whole plan for a script on a host, as it goes to the launcher: what changes here changes the cage.
    #[test]
    fn a_plan_is_data() {
        let mounts = [
            mount("/", "ext4", false),
            mount("/boot", "ext4", true),
            mount("/home", "xfs", false),
            mount("/mnt/auto", "autofs", false),
            mount("/proc", "proc", false),
            mount("/sys", "sysfs", false),
            mount("/sys/fs/cgroup", "cgroup2", false),
            mount("/sys/fs/selinux", "selinuxfs", false),
            mount("/tmp/x", "tmpfs", false),
            mount("/var", "ext4", false),
        ];
        let stage = stage(&mounts, &["/etc/ssh", "/etc", "/var/lib/x", "/boot/grub"]);
        let plan =
            Plan { user: None, stage, cage: CagePlan::new(Network::None, &Limits::default()), group: None };
        let expected = serde_json::json!({
            "stage": {
                "scratch": "/tmp",
                "size": 256 << 20,
                "inodes": 20_000,
                "mounts": [
                    {"at": "/", "view": {"writable": {"copies": ["/etc"]}}},
                    {"at": "/boot", "view": "read_only"},
                    {"at": "/home", "nosuid": true, "view": "read_only"},
                    {"at": "/sys", "view": "read_only"},
                    {"at": "/sys/fs/selinux", "view": "read_only"},
                    {"at": "/var", "view": {"writable": {"copies": ["/var/lib/x"]}}},
                ],
                "replaced": ["/proc", "/sys", "/dev", "/run", "/tmp"],
                "run_folders": [{"name": "lock", "mode": 0o1777, "uid": 0, "gid": 0}],
                "covers": [{"path": "/etc/shadow"}],
            },
            "cage": {
                "network": "none",
                "memory": 1 << 30,
                "processes": 256,
                "open_files": 1024,
                "file_size": 64 << 20,
            },
        });
        assert_eq!(serde_json::to_value(plan).expect("data"), expected);
    }

    #[test]
    fn an_ordinary_user_sees_the_tree_and_writes_copies() {
        let mounts = [mount("/", "ext4", false), mount("/var", "ext4", false), mount("/proc", "proc", false)];
        let stage = plan(&mounts, &["/var/lib/x", "/etc/ssh", "/etc"], true);
        let user = Some(User { uid: 1000, gid: 100 });
        let plan = Plan { user, stage, cage: CagePlan::new(Network::None, &Limits::default()), group: None };
        let plan = serde_json::to_value(plan).expect("data");
        assert_eq!(plan["user"], serde_json::json!({"uid": 1000, "gid": 100}));
        let expected = serde_json::json!(
            [{"at": "/", "nosuid": true, "view": {"tree": {"copies": ["/etc", "/var/lib/x"]}}}]
        );
        assert_eq!(plan["stage"]["mounts"], expected);
        assert_eq!(plan["stage"]["covers"], serde_json::json!([{"path": "/etc/shadow"}]));
    }

    #[test]
    fn without_declarations_nothing_is_writable() {
        let plan = stage(&[mount("/", "ext4", false)], &[]);
        assert_eq!(plan.mounts[0].view, View::ReadOnly);
    }

    #[test]
    fn a_path_lies_on_the_innermost_mount() {
        let mounts = [mount("/", "a", false), mount("/var", "b", false), mount("/var/lib", "c", false)];
        for (path, kind) in [("/var/lib/x", "c"), ("/variety", "a"), ("/var", "b"), ("/", "a")] {
            assert_eq!(
                owner(&mounts, Path::new(path)).map(|mount| mount.kind.as_str()),
                Some(kind),
                "{path}"
            );
        }
    }

    /// A view of `root` of the file system whose number is `device`.
    fn part(at: &str, device: &str, root: &str) -> HostMount {
        HostMount { device: device.into(), root: root.into(), ..mount(at, "btrfs", false) }
    }

    #[test]
    fn a_cover_is_wherever_its_file_system_is_mounted() {
        let mounts = [
            part("/", "0:1", "/@"),
            part("/etc/x", "0:2", "/"),
            part("/mnt", "0:1", "/"),
            part("/opt/etc", "0:1", "/@/etc"),
            part("/opt/run/state", "0:1", "/@/run"),
            part("/opt/shadow", "0:1", "/@/etc/shadow"),
            part("/run", "0:1", "/@/run"),
            part("/srv", "0:1", "/@srv"),
            part("/srv/etc", "0:3", "/@/etc"),
            part("/tmp", "0:1", "/@tmp"),
        ];
        let plan = stage(&mounts, &[]);
        let covers: Vec<_> = plan.covers.iter().map(|cover| cover.path.to_str().expect("text")).collect();
        assert_eq!(
            covers,
            ["/etc/shadow", "/mnt/@/etc/shadow", "/mnt/@/run/aright", "/opt/etc/shadow", "/opt/shadow"]
        );
        let shown: Vec<_> = plan.mounts.iter().map(|mount| mount.at.to_str().expect("text")).collect();
        assert_eq!(shown, ["/", "/etc/x", "/mnt", "/opt/etc", "/opt/shadow", "/srv", "/srv/etc"]);
    }

    #[test]
    fn file_systems_of_the_kernel_are_shown_in_no_other_place() {
        let mounts = [
            mount("/", "ext4", false),
            mount("/net", "autofs", false),
            mount("/net/far", "nfs4", false),
            mount("/srv/jail/proc", "proc", false),
            mount("/srv/jail/proc/fs", "tmpfs", false),
            mount("/srv/jail/sys", "sysfs", false),
            mount("/srv/jail/sys/kernel/security", "securityfs", false),
            mount("/srv/jail/usr", "ext4", false),
        ];
        let shown: Vec<PathBuf> = stage(&mounts, &[]).mounts.into_iter().map(|mount| mount.at).collect();
        assert_eq!(shown, [PathBuf::from("/"), "/srv/jail/usr".into()]);
    }
}
