//! How a run ends: by itself, at its limit, by a wish, by an accident; and that nothing is left.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aright_agent::stage::{RunError, Stage};
use aright_shared::task::{Exit, OUTPUT_BYTES};

use crate::world::{World, on_host, run, script, spec};

/// Unique to one test, so that its processes can be told from any other's.
fn mark(name: &str) -> String {
    format!("aright-{name}-{}", std::process::id())
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A daemonised grandchild in its own session that ignores SIGTERM, seen from outside by its command line.
fn daemon(mark: &str) -> String {
    format!(
        "setsid sh -c 'trap \"\" TERM HUP; while :; do sleep 0.05; : {mark}; done' </dev/null >/dev/null 2>&1 &\n"
    )
}

#[test]
fn at_its_time_limit_the_whole_tree_is_gone_and_the_output_kept() {
    on_host(1, |world| {
        let (before, mark) = (world.digest(), mark("limit"));
        let mut slow = script(&format!("{}echo so far; echo x >>/etc/login.defs; sleep 60", daemon(&mark)));
        slow.timeout = Duration::from_millis(400);
        let stage = Stage::open(&spec(&["/etc/login.defs"])).expect("stage");
        let started = Instant::now();
        let ran = stage.run(&slow).expect("run");
        assert_eq!(World::processes(&mark), 0, "left behind");
        assert_eq!(ran.script.exit, Exit::TimedOut);
        assert_eq!(ran.script.stdout.head, "so far\n");
        assert!(started.elapsed() < Duration::from_secs(5) && !ran.cancelled);
        assert_eq!(world.digest(), before);
    });
}

#[test]
fn what_outlives_the_script_is_ended_with_it() {
    on_host(1, |_| {
        let mark = mark("survivor");
        let ran = run(&[], &format!("{}{}sleep 0.1; exit 7", daemon(&mark), daemon(&mark)));
        assert_eq!(World::processes(&mark), 0, "left behind");
        assert_eq!(ran.script.exit, Exit::Code(7));
    });
}

#[test]
fn a_signal_is_reported_as_such() {
    on_host(1, |_| {
        assert_eq!(run(&[], "kill -SEGV $$").script.exit, Exit::Signal(11));
        assert_eq!(run(&[], "kill -RTMIN+3 $$").script.exit, Exit::Signal(37));
        // An orphan's odd end is reaped and not taken for the script's.
        assert_eq!(
            run(&[], "(sh -c 'sleep 0.1; kill -RTMIN+3 $$' &); sleep 0.3; exit 4").script.exit,
            Exit::Code(4)
        );
    });
}

#[test]
fn it_can_be_cancelled_from_another_thread() {
    on_host(1, |_| {
        let stage = Stage::open(&spec(&[])).expect("stage");
        let cancel = stage.cancel();
        let after = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            cancel.cancel();
        });
        let ran = stage.run(&script("echo begun; sleep 60")).expect("run");
        after.join().expect("thread");
        assert!(
            ran.cancelled && ran.script.exit == Exit::Signal(9) && ran.script.stdout.head == "begun\n",
            "{ran:?}"
        );
        let early = Stage::open(&spec(&[])).expect("stage");
        early.cancel().cancel();
        assert!(early.run(&script("sleep 60")).expect("run").cancelled);
    });
}

#[test]
fn endless_output_is_cut_in_the_middle() {
    on_host(1, |_| {
        let ran = run(
            &[],
            "echo first; head -c 20000000 /dev/zero | tr '\\0' x; echo last; yes | head -c 3000000 >&2",
        );
        let out = &ran.script.stdout;
        assert!(out.head.starts_with("first\n") && out.tail.ends_with("last\n"));
        assert_eq!(out.head.len() + out.tail.len(), OUTPUT_BYTES);
        assert_eq!(out.cut_bytes, 20_000_011 - OUTPUT_BYTES as u64);
        assert_eq!(ran.script.stderr.cut_bytes, 3_000_000 - OUTPUT_BYTES as u64);
    });
}

#[test]
fn a_fork_bomb_meets_its_limit_and_goes_away() {
    on_host(1, |_| {
        let mut limited = spec(&[]);
        limited.limits.processes = Some(40);
        let stage = Stage::open(&limited).expect("stage");
        if stage.confinement().missing.iter().any(|layer| layer.starts_with("process limit")) {
            println!("skipped: {:?}", stage.confinement().missing);
            return;
        }
        let mark = mark("bomb");
        let mut bomb = script(&format!(
            "i=0; while [ $i -lt 2000 ]; do sh -c 'sleep 30; : {mark}' & i=$((i+1)); done; echo all"
        ));
        bomb.timeout = Duration::from_secs(3);
        let ran = stage.run(&bomb).expect("run");
        assert!(!ran.script.stdout.head.contains("all"), "{:?}", ran.script);
        assert!(ran.script.stderr.head.contains("fork"), "{:?}", ran.script);
        assert_eq!(World::processes(&mark), 0);
    });
}

#[test]
fn memory_is_limited() {
    on_host(1, |_| {
        let mut limited = spec(&[]);
        limited.limits.memory_mb = Some(100);
        let stage = Stage::open(&limited).expect("stage");
        let ran = stage.run(&script("python3 -c 'x = bytearray(200 << 20)'")).expect("run");
        assert!(ran.script.stderr.head.contains("MemoryError"), "{:?}", ran.script);
        assert!(ran.script.peak_memory_kb < 100 << 10 && ran.script.peak_memory_kb > 1000);
    });
}

#[test]
fn nothing_is_left_of_many_runs() {
    on_host(1, |_| {
        let mounts = || fs::read_to_string("/proc/thread-self/mountinfo").expect("reads");
        let fds = || fs::read_dir("/proc/self/fd").expect("reads").count();
        let children = || fs::read_to_string("/proc/thread-self/children").expect("reads");
        run(&["/etc/login.defs"], "true").compare().expect("compare");
        let before = (mounts(), children());
        let open = fds();
        for _ in 0..5 {
            run(&["/etc/login.defs"], "true").compare().expect("compare");
            drop(Stage::open(&spec(&[])).expect("stage"));
        }
        assert_eq!((mounts(), children()), before);
        // Other tests of this process open files of their own.
        assert!(fds() < open + 60);
    });
}

#[test]
fn when_the_launcher_dies_everything_dies_with_it() {
    on_host(1, |_| {
        let mark = mark("orphan");
        let body = format!("{}sleep 60", daemon(&mark));
        let stage = Stage::open(&spec(&[])).expect("stage");
        let own = launcher_of_this_thread();
        let killer = std::thread::spawn({
            let mark = mark.clone();
            move || {
                wait_until("the daemon runs", || World::processes(&mark) > 0);
                Command::new("kill").args(["-9", &own]).status().expect("kill");
            }
        });
        assert!(matches!(stage.run(&script(&body)), Err(RunError::LauncherGone)));
        killer.join().expect("thread");
        wait_until("everything is gone", || World::processes(&mark) == 0);
    });
}

fn launcher_of_this_thread() -> String {
    let own = fs::read_to_string("/proc/thread-self/children").expect("children");
    own.split_whitespace().last().expect("a launcher").to_owned()
}

#[test]
fn an_interpreter_that_is_not_there_is_said_so() {
    on_host(1, |_| {
        let mut run = script("true");
        run.interpreter = aright_shared::content::script::Interpreter::Powershell;
        let stage = Stage::open(&spec(&[])).expect("stage");
        assert!(matches!(stage.run(&run), Err(RunError::Interpreter(_))));
        fs::rename("/usr/bin/bash", "/usr/bin/not-bash").expect("rename");
        assert!(!Path::new("/bin/bash").exists());
        run.interpreter = aright_shared::content::script::Interpreter::Bash;
        let stage = Stage::open(&spec(&[])).expect("stage");
        assert!(matches!(stage.run(&run), Err(RunError::NotStarted(why)) if why.contains("/bin/bash")));
    });
}
