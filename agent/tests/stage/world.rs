//! A host of one's own: a mount namespace of the test's thread whose root is an overlay over the machine's.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use aright_agent::stage::{Compared, Ran, ScriptRun, Stage, StageError, StageSpec};
use aright_shared::content::script::Interpreter;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

pub struct World {
    /// What was changed of this host, by anybody.
    upper: File,
}

/// Runs `test` on a host whose root is an overlay `depth` deep. Root only; otherwise says so and does nothing.
pub fn on_host(depth: usize, test: impl FnOnce(&World) + Send) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: needs root");
        return;
    }
    // Taken away where it was made: on the world it could not be.
    let dir = tempfile::tempdir().expect("folder");
    let place = dir.path();
    // unshare and pivot_root act on this thread alone; its end takes the namespace away.
    std::thread::scope(|scope| {
        let run = scope.spawn(move || {
            let world = World::enter(place, depth);
            test(&world);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl World {
    fn enter(place: &Path, depth: usize) -> Self {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).expect("mount namespace");
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("private");
        mount(Some("world"), place, Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
        let mut lower = Path::new("/").to_owned();
        let mut upper = None;
        for level in 0..depth {
            let part = |name: &str| {
                let path = place.join(format!("{name}{level}"));
                fs::create_dir(&path).expect("folder");
                fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("mode");
                path
            };
            let (up, work, root) = (part("upper"), part("work"), part("root"));
            let options =
                format!("lowerdir={},upperdir={},workdir={}", lower.display(), up.display(), work.display());
            mount(Some("world"), &root, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
                .expect("overlay");
            lower = root;
            upper = Some(File::open(up).expect("upper"));
        }
        for name in ["proc", "sys", "dev"] {
            let (from, to) = (Path::new("/").join(name), lower.join(name));
            mount(Some(&from), &to, none, MsFlags::MS_BIND | MsFlags::MS_REC, none).expect("bind");
        }
        chdir(&lower).expect("chdir");
        pivot_root(".", ".").expect("pivot_root");
        umount2(".", MntFlags::MNT_DETACH).expect("detach");
        chdir("/").expect("chdir");
        Self { upper: upper.expect("at least one level") }
    }

    /// Everything that was ever changed on this host, content included: an outside judge.
    pub fn digest(&self) -> String {
        let upper = format!("/proc/{}/fd/{}", std::process::id(), self.upper.as_raw_fd());
        let list =
            "find . -printf '%P %y %m %U %G %s %T@ %l\\n' | sort; find . -type f | sort | xargs -r sha256sum";
        let output =
            Command::new("sh").arg("-c").arg(format!("cd {upper}/ && {{ {list}; }}")).output().expect("find");
        assert!(output.status.success());
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Processes of this machine whose command line has this word.
    pub fn processes(word: &str) -> usize {
        let of = |entry: std::io::Result<fs::DirEntry>| fs::read(entry.ok()?.path().join("cmdline")).ok();
        let has = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(word);
        fs::read_dir("/proc").expect("proc").filter_map(of).filter(has).count()
    }
}

pub fn spec(touches: &[&str]) -> StageSpec {
    StageSpec {
        launcher: env!("CARGO_BIN_EXE_aright-agent").into(),
        ..StageSpec::new(touches.iter().map(|touch| touch.parse().expect("touch")).collect())
    }
}

pub fn script(body: &str) -> ScriptRun {
    ScriptRun {
        interpreter: Interpreter::Sh,
        body: body.into(),
        params: Default::default(),
        timeout: Duration::from_secs(20),
    }
}

pub fn open(touches: &[&str]) -> Result<Stage, StageError> {
    Stage::open(&spec(touches))
}

pub fn run(touches: &[&str], body: &str) -> Ran {
    open(touches).expect("stage").run(&script(body)).expect("run")
}

pub fn compare(touches: &[&str], body: &str) -> Compared {
    run(touches, body).compare().expect("compare")
}

/// `stdout`, asserting that the script ended well.
pub fn output(touches: &[&str], body: &str) -> String {
    let ran = run(touches, body);
    assert_eq!(ran.script.exit, aright_shared::task::Exit::Code(0), "{:?}", ran.script);
    ran.script.stdout.head
}

pub fn paths(compared: &Compared) -> Vec<String> {
    compared.changes.changes.iter().map(|change| change.path.display().to_string()).collect()
}

pub fn wrong(compared: &Compared) -> Vec<String> {
    compared.overreach.iter().map(|item| item.path.clone()).collect()
}
