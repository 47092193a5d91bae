//! The control group of a task: what it limits and counts that no single process shows, and that it goes.
//! The judge is the kernel's own files.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use aright_agent::stage::Stage;
use aright_shared::task::Exit;

use crate::world::{World, on_host, output, script, spec};

/// Says why, if this machine lets nobody make the group that a test is about.
fn lacks(stage: &Stage, controller: &str) -> bool {
    let confinement = stage.confinement();
    let about = |why: &&String| {
        why.starts_with("cgroup:") || why.starts_with("cgroup") && why.contains(&format!("no {controller} "))
    };
    let why = confinement.missing.iter().find(about);
    if let Some(why) = why {
        eprintln!("skipped: {why}");
    }
    why.is_some()
}

/// The folders of the group that the youngest stage of this thread has, seen from outside.
fn folders() -> Vec<PathBuf> {
    let children = |path: &str| fs::read_to_string(path).expect("children");
    let launcher = children("/proc/thread-self/children");
    let launcher = launcher.split_whitespace().last().expect("a launcher");
    let init = children(&format!("/proc/{launcher}/task/{launcher}/children"));
    let own = fs::read_to_string(format!("/proc/{}/cgroup", init.trim())).expect("cgroup");
    let mut folders = Vec::new();
    for line in own.lines().filter(|line| line.contains("/aright-task-")) {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next().expect("names"), parts.next().expect("path"));
        let mounts = match names {
            "" => vec!["unified", "."],
            controllers => vec![controllers],
        };
        let places = mounts.iter().map(|mount| PathBuf::from(format!("/sys/fs/cgroup/{mount}{path}")));
        folders.extend(places.into_iter().find(|place| place.is_dir()));
    }
    folders
}

fn setting(folders: &[PathBuf], files: [&str; 2]) -> String {
    let read = |folder: &PathBuf| files.iter().find_map(|file| fs::read_to_string(folder.join(file)).ok());
    folders.iter().find_map(read).expect("one of the files").trim().to_owned()
}

#[test]
fn a_task_has_a_group_with_limits_which_goes_with_it() {
    on_host(1, |_| {
        let mut limited = spec(&[]);
        (limited.limits.memory_mb, limited.limits.stage_mb, limited.limits.processes) =
            (Some(100), Some(20), Some(40));
        let stage = Stage::open(&limited).expect("stage");
        if ["memory", "pids", "cpu"].iter().any(|controller| lacks(&stage, controller)) {
            return;
        }
        let own = folders();
        assert!(stage.confinement().layers.iter().any(|layer| layer.starts_with("cgroup v")));
        assert_eq!(setting(&own, ["memory.max", "memory.limit_in_bytes"]), (120_u64 << 20).to_string());
        assert_eq!(setting(&own, ["pids.max"; 2]), "41");
        assert!(setting(&own, ["cpu.max", "cpu.cfs_quota_us"]).parse::<u64>().is_ok_and(|us| us <= 100_000));
        drop(stage);
        assert_eq!(own.iter().filter(|folder| folder.exists()).count(), 0, "{own:?}");
    });
}

#[test]
fn several_processes_together_meet_the_limit_that_none_of_them_meets() {
    on_host(1, |_| {
        let mut limited = spec(&[]);
        (limited.limits.memory_mb, limited.limits.stage_mb) = (Some(100), Some(20));
        let stage = Stage::open(&limited).expect("stage");
        if lacks(&stage, "memory") {
            return;
        }
        let (own, mark) = (folders(), format!("aright-bomb-{}", std::process::id()));
        // Each would stay longer than the script may: the first end is not its own.
        let bomb = format!(
            "cat >p.py <<'END'
import os, subprocess, sys
held = 'import time; x = bytearray(60 << 20); time.sleep(60) # {mark}'
all = [subprocess.Popen([sys.executable, '-c', held]) for _ in range(6)]
print(os.waitstatus_to_exitcode(os.wait()[1]))
sys.exit(3)
END
python3 p.py"
        );
        let ran = stage.run(&script(&bomb)).expect("run");
        // Where the kernel ends a group as a whole, the script went with it.
        assert!([Exit::Code(3), Exit::Signal(9)].contains(&ran.script.exit), "{:?}", ran.script);
        assert!(["-9\n", ""].contains(&ran.script.stdout.head.as_str()), "{:?}", ran.script);
        assert!(ran.script.oom_kills > 0, "{:?}", ran.script);
        assert!((60 << 10..=120 << 10).contains(&ran.script.peak_memory_kb), "{:?}", ran.script);
        assert_eq!(World::processes(&mark), 0);
        drop(ran);
        assert_eq!(own.iter().filter(|folder| folder.exists()).count(), 0, "{own:?}");
    });
}

#[test]
fn the_time_of_processes_that_nobody_waited_for_is_counted() {
    on_host(1, |_| {
        let stage = Stage::open(&spec(&[])).expect("stage");
        if lacks(&stage, "cpu") {
            return;
        }
        let ran = stage
            .run(&script(
                "cat >p.py <<'END'
import time
while time.process_time() < 0.4: pass
open('done', 'w')
time.sleep(60)
END
setsid python3 p.py &
while [ ! -e done ]; do sleep 0.05; done",
            ))
            .expect("run");
        assert!(ran.script.exit == Exit::Code(0) && ran.script.cpu_ms >= 400, "{:?}", ran.script);
    });
}

#[test]
fn what_a_crash_left_behind_goes_at_the_next_start() {
    on_host(1, |_| {
        let stage = Stage::open(&spec(&[])).expect("stage");
        let own = folders();
        if own.is_empty() {
            println!("skipped: {:?}", stage.confinement().missing);
            return;
        }
        let dead: Vec<PathBuf> = own.iter().map(|folder| folder.with_file_name("aright-task-dead")).collect();
        dead.iter().for_each(|folder| fs::create_dir_all(folder).expect("folder"));
        // It is not enrolled, and says so when it has tidied up.
        fs::write("/etc/agent.toml", "state = '/var/lib/not-enrolled'").expect("file");
        let agent = Command::new(env!("CARGO_BIN_EXE_aright-agent"))
            .args(["--config", "/etc/agent.toml", "run"])
            .output()
            .expect("agent");
        assert!(String::from_utf8_lossy(&agent.stderr).contains("not enrolled"), "{agent:?}");
        assert_eq!(dead.iter().filter(|folder| folder.exists()).count(), 0, "{dead:?}");
        assert_eq!(own.iter().filter(|folder| !folder.exists()).count(), 0, "{own:?}");
    });
}

#[test]
fn a_script_cannot_leave_its_group() {
    on_host(1, |_| {
        let found = output(
            &[],
            // Whatever shows groups is a mount: to search the whole of a big disk would take longer than the script has.
            "awk '$3 ~ /^cgroup/' /proc/mounts; find /sys -name cgroup.procs 2>/dev/null; ls -A /sys/fs/cgroup; { mkdir /sys/fs/cgroup/x; } 2>/dev/null || echo stays",
        );
        assert_eq!(found.trim(), "stays");
    });
}
