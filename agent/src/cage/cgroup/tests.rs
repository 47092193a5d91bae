use std::fs;

use super::*;

/// Files below a folder that stand for those of a kernel.
struct Kernel(tempfile::TempDir);

impl Kernel {
    fn new(cgroup: &str, mountinfo: &str, files: &[(&str, &str)]) -> Self {
        let kernel = Self(tempfile::tempdir().expect("folder"));
        kernel.write("proc/thread-self/cgroup", cgroup);
        kernel.write("proc/thread-self/mountinfo", mountinfo);
        for (path, text) in files {
            kernel.write(path, text);
        }
        kernel
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("file");
    }

    /// As systemd marks a folder; whether this file system can be marked.
    fn delegate(&self, folder: &str) -> bool {
        let flags = rustix::fs::XattrFlags::empty();
        let folder = self.0.path().join(folder);
        let marked = ["trusted.delegate", "user.delegate"]
            .iter()
            .any(|name| rustix::fs::setxattr(&folder, *name, b"1", flags).is_ok());
        if !marked {
            println!("skipped: no extended attributes in {}", folder.display());
        }
        marked
    }

    fn plan(&self) -> serde_json::Value {
        let bounds = Bounds::new(100 << 20, 41, 2);
        match GroupPlan::new(&places(self.0.path()), bounds) {
            Ok(plan) => serde_json::to_value(plan).expect("data"),
            Err(why) => why.into(),
        }
    }
}

const SYSTEMD: (&str, &str) = ("run/systemd/system/x", "");
const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const UNIT: &str = "0::/system.slice/aright-agent.service\n";
const UNIT_FOLDER: &str = "sys/fs/cgroup/system.slice/aright-agent.service";

fn v2(own: &str) -> Kernel {
    let handed_on = format!("{UNIT_FOLDER}/cgroup.subtree_control");
    Kernel::new(own, V2, &[SYSTEMD, (handed_on.as_str(), "cpu io memory pids\n")])
}

#[test]
fn on_version_2_a_group_lies_in_the_delegated_one() {
    let expected = serde_json::json!({
        "version": "v2",
        "folders": [{
            "version": "v2",
            "below": "/sys/fs/cgroup/system.slice/aright-agent.service",
            "writes": [
                {"file": "memory.max", "value": "104857600", "optional": false},
                {"file": "memory.swap.max", "value": "0", "optional": true},
                {"file": "memory.oom.group", "value": "1", "optional": true},
                {"file": "pids.max", "value": "41", "optional": false},
                {"file": "cpu.max", "value": "100000 100000", "optional": false},
            ],
        }],
        "missing": [],
    });
    let kernel = v2(UNIT);
    if !kernel.delegate(UNIT_FOLDER) {
        return;
    }
    assert_eq!(kernel.plan(), expected);
    // The agent has moved into its leaf.
    kernel.write("proc/thread-self/cgroup", "0::/system.slice/aright-agent.service/agent\n");
    kernel.write(&format!("{UNIT_FOLDER}/agent/cgroup.procs"), "");
    assert_eq!(kernel.plan(), expected);
}

#[test]
fn what_systemd_did_not_delegate_is_left_alone() {
    let not = |group: &str| {
        format!("/sys/fs/cgroup/system.slice/{group} is not delegated; next: Delegate=yes in the unit")
    };
    assert_eq!(v2(UNIT).plan(), not("aright-agent.service"));
    // A group that happens to have the name of the agent's leaf.
    assert_eq!(v2("0::/system.slice/agent\n").plan(), not("agent"));
}

#[test]
fn a_tree_without_controllers_can_still_be_ended() {
    let kernel = Kernel::new("0::/\n", V2, &[("sys/fs/cgroup/cgroup.subtree_control", "hugetlb\n")]);
    let expected = serde_json::json!({
        "version": "v2",
        "folders": [{"version": "v2", "below": "/sys/fs/cgroup", "writes": []}],
        "missing": ["no memory controller", "no pids controller", "no cpu controller"],
    });
    assert_eq!(kernel.plan(), expected);
}

/// systemd on version 1: controllers in hierarchies of their own, some together.
const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 31 0:30 / /sys/fs/cgroup/memory rw,nosuid shared:9 - cgroup cgroup rw,memory
34 31 0:31 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
36 31 0:33 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
";
const V1_OWN: &str = "\
6:pids:/system.slice/a.service
5:freezer:/
4:cpu,cpuacct:/system.slice/a.service
3:memory:/system.slice/a.service
2:name=systemd:/system.slice/a.service
1:name=x,y:/
";

fn v1_folders() -> serde_json::Value {
    serde_json::json!([
        {
            "version": "v1",
            "below": "/sys/fs/cgroup/memory/system.slice/a.service",
            "writes": [
                {"file": "memory.limit_in_bytes", "value": "104857600", "optional": false},
                {"file": "memory.memsw.limit_in_bytes", "value": "104857600", "optional": true},
                {"file": "memory.kmem.tcp.limit_in_bytes", "value": "104857600", "optional": true},
            ],
        },
        {
            "version": "v1",
            "below": "/sys/fs/cgroup/cpu,cpuacct/system.slice/a.service",
            "writes": [
                {"file": "cpu.cfs_period_us", "value": "100000", "optional": false},
                {"file": "cpu.cfs_quota_us", "value": "100000", "optional": false},
            ],
        },
        {
            "version": "v1",
            "below": "/sys/fs/cgroup/pids/system.slice/a.service",
            "writes": [{"file": "pids.max", "value": "41", "optional": false}],
        },
    ])
}

#[test]
fn on_version_1_each_hierarchy_has_a_folder() {
    let kernel = Kernel::new(V1_OWN, V1, &[SYSTEMD]);
    let expected = serde_json::json!({"version": "v1", "folders": v1_folders(), "missing": []});
    assert_eq!(kernel.plan(), expected);
}

#[test]
fn both_together_limit_by_version_1_and_end_by_version_2() {
    let unified = "37 31 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let kernel = Kernel::new(&format!("{V1_OWN}0::/\n"), &format!("{V1}{unified}"), &[]);
    let mut folders = v1_folders();
    let all = folders.as_array_mut().expect("a list");
    all.push(serde_json::json!({"version": "v2", "below": "/sys/fs/cgroup/unified", "writes": []}));
    let expected = serde_json::json!({"version": "hybrid", "folders": folders, "missing": []});
    assert_eq!(kernel.plan(), expected);
    kernel.write(SYSTEMD.0, "");
    let plan = kernel.plan();
    assert_eq!((&plan["version"], plan["folders"].as_array().map(Vec::len)), (&"v1".into(), Some(3)));
}

#[test]
fn none_has_a_reason() {
    let rw_then_ro = V1.replace(" rw", " ro");
    for (cgroup, mountinfo, why) in [
        (V1_OWN, "", "no hierarchy is mounted"),
        ("", V1, "no hierarchy is mounted"),
        ("0::/../../other\n", V2, "the agent's own group lies outside of /sys/fs/cgroup"),
        (
            V1_OWN,
            rw_then_ro.as_str(),
            "/sys/fs/cgroup/memory is read-only; /sys/fs/cgroup/cpu,cpuacct is read-only; \
             /sys/fs/cgroup/pids is read-only",
        ),
    ] {
        assert_eq!(Kernel::new(cgroup, mountinfo, &[]).plan(), why);
    }
}

#[test]
fn what_a_container_sees_of_its_own_group_is_found() {
    let mountinfo = V2.replace(" / ", " /docker/1 ");
    let kernel = Kernel::new("0::/docker/1/a\n", &mountinfo, &[]);
    assert_eq!(kernel.plan()["folders"][0]["below"], "/sys/fs/cgroup/a");
    // Mounted read-only as well: the other one is used.
    let twice = format!("29 23 0:26 / /mnt ro - cgroup2 cgroup2 ro\n{mountinfo}");
    let kernel = Kernel::new("0::/docker/1/a\n", &twice, &[]);
    assert_eq!(kernel.plan()["folders"][0]["below"], "/sys/fs/cgroup/a");
}

#[test]
fn an_only_processor_is_not_taken_whole() {
    assert_eq!(Bounds::new(0, 0, 1).cpu_us, 80_000);
    assert_eq!(Bounds::new(0, 0, 64).cpu_us, 100_000);
}

#[test]
fn the_folders_of_dead_agents_are_swept_and_no_others() {
    let kernel = Kernel::new("0::/\n", V2, &[("sys/fs/cgroup/a/b", "")]);
    let mut place = places(kernel.0.path()).remove(0);
    place.folder = kernel.0.path().join("sys/fs/cgroup");
    let group = Group::make(&[place.clone()], Bounds::new(1, 1, 1));
    fs::create_dir(place.folder.join("aright-task-1-7")).expect("folder");
    let left = || {
        let entries = fs::read_dir(&place.folder).expect("folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("entry").file_name()).collect();
        names.sort();
        names
    };
    place.sweep();
    let own = format!("aright-task-{}-0", std::process::id());
    assert_eq!(left(), ["a", own.as_str()]);
    drop(group);
    assert_eq!(left(), ["a"]);
}
