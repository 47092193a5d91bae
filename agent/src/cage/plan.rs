//! Everything the launcher is to do, as plain data: made beforehand, seen whole in a snapshot, then applied.

use std::path::{Path, PathBuf};

use aright_shared::content::script::{Limits, Network};
use serde::{Deserialize, Serialize};

/// Folders of the host that the stage never shows: each gets a fresh one. Scripts cannot change them.
pub const REPLACED: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/tmp"];
/// File systems below `/sys` that are shown, read-only, beside it.
pub const SHOWN_BELOW_SYS: [&str; 2] = ["selinuxfs", "securityfs"];
/// In `/proc`: read-only.
pub const PROC_READ_ONLY: [&str; 4] = ["sys", "bus", "irq", "fs"];
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
    pub stage: StagePlan,
    pub cage: CagePlan,
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
}

/// A line of mountinfo(5), as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostMount {
    pub at: PathBuf,
    pub kind: String,
    pub read_only: bool,
    pub nosuid: bool,
    pub noexec: bool,
}

impl StagePlan {
    pub fn new(wanted: Wanted<'_>) -> Self {
        let replaced = |path: &Path| wanted.replaced.iter().any(|folder| path.starts_with(folder));
        let scratch =
            wanted.replaced.iter().find(|folder| folder.ends_with("tmp")).or(wanted.replaced.last());
        Self {
            scratch: scratch.cloned().unwrap_or_else(|| "/tmp".into()),
            size: u64::from(wanted.limits.stage_mb.unwrap_or(256)) << 20,
            inodes: 20_000,
            mounts: wanted
                .mounts
                .iter()
                .filter(|mount| !replaced(&mount.at) || below_sys(mount))
                // Nothing is behind an autofs mount point until it is used; looking would mount it.
                .filter(|mount| mount.kind != "autofs")
                .map(|mount| MountStep {
                    at: mount.at.clone(),
                    nosuid: mount.nosuid,
                    noexec: mount.noexec,
                    view: view(mount, &wanted),
                })
                .collect(),
            replaced: wanted.replaced.to_vec(),
            run_folders: wanted
                .run_folders
                .into_iter()
                .filter(|folder| folder.name != "aright-task")
                .collect(),
            covers: wanted.covers.into_iter().filter(|cover| !replaced(&cover.path)).collect(),
        }
    }
}

fn below_sys(mount: &HostMount) -> bool {
    mount.at == Path::new("/sys") || SHOWN_BELOW_SYS.contains(&mount.kind.as_str())
}

/// Writable where something is declared on it.
fn view(mount: &HostMount, wanted: &Wanted<'_>) -> View {
    let here = |path: &&PathBuf| owner(wanted.mounts, path).is_some_and(|owner| owner.at == mount.at);
    let mut copies: Vec<PathBuf> = wanted.writable.iter().filter(here).cloned().collect();
    if copies.is_empty() || mount.read_only {
        return View::ReadOnly;
    }
    copies.sort();
    copies.dedup_by(|inner, outer| inner.starts_with(outer));
    View::Writable { copies }
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
        HostMount { at: at.into(), kind: kind.into(), read_only, nosuid: at == "/home", noexec: false }
    }

    fn stage(mounts: &[HostMount], writable: &[&str]) -> StagePlan {
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
        let plan = Plan { stage, cage: CagePlan::new(Network::None, &Limits::default()) };
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
}
