//! The throwaway host: a process of this test binary in namespaces of its own, and for each run a world in it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setpgid};

use crate::world::on_host;

/// In the environment of the process that is the host: what no script shall learn from it.
pub const TOKEN: &str = "ESCAPES_TOKEN";

/// Places that the scripts go for. `/srv/fixed` shows `/srv/disk` read-only.
const FURNISH: &str = "
ip link set lo up
mount -t tmpfs shm /dev/shm
mkdir -p /srv/outside /srv/disk /srv/fixed
mount -t tmpfs disk /srv/disk
mount --bind /srv/disk /srv/fixed
mount -o remount,bind,ro /srv/fixed
echo declared >/etc/escapes
: >/srv/outside/log";

/// Runs this test again as PID 1 of a host: nothing outside is in reach of what runs there, and nothing of it
/// outlives it. True in that process.
#[expect(clippy::print_stdout, reason = "the host's output is the test's")]
pub fn enter(test: &str) -> bool {
    if std::env::var_os(TOKEN).is_some() {
        // `kill 0` of a script must not reach who started the host.
        setpgid(Pid::from_raw(0), Pid::from_raw(0)).expect("process group");
        return true;
    }
    let token =
        format!("token-{:016x}", std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), test));
    let mut host = Command::new("unshare");
    host.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(TOKEN, token)
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .stdin(Stdio::null())
        .process_group(0);
    let output = host.output().expect("unshare");
    println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{test} on a host of its own");
    false
}

/// One run on a fresh world with a network of its own. Whatever it started is gone afterwards.
pub fn fresh<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let mut result = None;
    on_host(1, |_| {
        let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
        unshare(own).expect("namespaces");
        let furnished = Command::new("sh").args(["-euc", FURNISH]).status().expect("sh");
        assert!(furnished.success(), "furnishing the host");
        result = Some(run());
        end_all();
    });
    result.expect("it ran")
}

/// Everything on this host but its PID 1, which is this process.
pub fn end_all() {
    assert_eq!(std::process::id(), 1, "only on a host of its own");
    // Nothing to end is no failure.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
}

/// Descriptors that an agent without care would hand on: a folder and a file of the host.
pub fn careless() -> [File; 2] {
    let log = File::options().append(true).open("/srv/outside/log").expect("file");
    let handed_on = [File::open("/srv/outside").expect("folder"), log];
    for file in &handed_on {
        fcntl(file, FcntlArg::F_SETFD(FdFlag::empty())).expect("flag");
    }
    handed_on
}
