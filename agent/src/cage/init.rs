//! PID 1 of the cage: mounts its own `/proc`, gives up its rights, starts the script, reaps, and ends with
//! the script's first process. Whatever is still running then is ended by the kernel.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, setsid};
use rustix::process::{Pid, WaitOptions, wait};

use super::channel::{Channel, Request, RunOrder, Status, Word};
use super::plan::{CagePlan, PROC_COVERED, SCRIPT_FILE, WORK_FOLDER};
use super::{InForce, Layer, OrUnavailable, Unavailable, privileges};

/// What a script sees of the outside: nothing but this and its parameters.
const ENVIRONMENT: [(&str, &str); 2] =
    [("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"), ("LC_ALL", "C")];
/// Process numbers below this are given out only once in a PID namespace.
const RESERVED_PIDS: u64 = 300;

/// What the script is held back by.
pub struct Cage<'a> {
    pub plan: &'a CagePlan,
    /// Where the stage can be written to.
    pub writable: Vec<PathBuf>,
}

/// Where the script's output goes.
pub struct Streams {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// Ends the process: 0 when everything was said, else 1.
pub fn main(cage: &Cage<'_>, launcher: &Channel, streams: Streams, in_force: InForce) -> ! {
    let code = match run(cage, launcher, streams, in_force) {
        Ok(()) => 0,
        Err(unavailable) => {
            let _ = launcher.send(&Word::Unavailable(unavailable));
            1
        }
    };
    std::process::exit(code)
}

fn run(
    cage: &Cage<'_>,
    launcher: &Channel,
    streams: Streams,
    mut in_force: InForce,
) -> Result<(), Unavailable> {
    enter(cage, &mut in_force)?;
    launcher.send(&Word::Ready(in_force)).at(Layer::Session, "talking to the launcher")?;
    // The launcher's end is also noticed here when it died before the death signal was asked for.
    let Some(Request::Run(order)) =
        launcher.receive::<Request>().at(Layer::Session, "talking to the launcher")?
    else {
        return Ok(());
    };
    let word = match start(&order, streams) {
        Ok(child) => Word::Ended(reap(child)),
        Err(why) => Word::NotStarted(format!("{}: {why}", order.interpreter.display())),
    };
    launcher.send(&word).at(Layer::Session, "talking to the launcher")
}

fn enter(cage: &Cage<'_>, in_force: &mut InForce) -> Result<(), Unavailable> {
    // A session inside the namespace: `kill 0` must not reach the launcher's process group.
    setsid().at(Layer::Session, "setsid")?;
    prctl::set_pdeathsig(Signal::SIGKILL).at(Layer::Session, "death signal")?;
    in_force.layers.push(Layer::Session);
    mount_proc()?;
    in_force.layers.push(Layer::Proc);
    match limit_processes(cage.plan.processes) {
        Ok(()) => in_force.layers.push(Layer::ProcessLimit),
        Err(why) => in_force.missing.push((Layer::ProcessLimit, why)),
    }
    // Under memory pressure the script goes first. Best effort.
    let _ = std::fs::write("/proc/self/oom_score_adj", "500");
    protect_proc()?;
    umask(Mode::from_bits_truncate(0o022));
    chdir(WORK_FOLDER).at(Layer::Stage, WORK_FOLDER)?;
    privileges::give_up(cage.plan, &cage.writable, in_force)
}

fn mount_proc() -> Result<(), Unavailable> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>)
        .at(Layer::Proc, "mounting /proc; in a container that covers parts of its own, only root can")
}

/// By this namespace's own `pid_max`. Before 6.14 that file is the whole machine's: never touched.
fn limit_processes(processes: u64) -> Result<(), String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").map_err(|e| e.to_string())?;
    if !per_namespace(&release) {
        return Err(format!("kernel {} has no limit of its own for a PID namespace", release.trim()));
    }
    std::fs::write("/proc/sys/kernel/pid_max", (RESERVED_PIDS + processes).to_string())
        .map_err(|e| e.to_string())?;
    // They would come on top. Not every kernel is built with this file.
    let _ = std::fs::write("/proc/sys/kernel/ns_last_pid", (RESERVED_PIDS - 1).to_string());
    Ok(())
}

fn per_namespace(release: &str) -> bool {
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (6_u32, 14_u32)
}

/// Nothing in it can be written, but for what SELinux tools write to their own processes where it is in force.
fn protect_proc() -> Result<(), Unavailable> {
    for name in PROC_COVERED {
        let path = Path::new("/proc").join(name);
        match bind(Path::new("/dev/null"), &path, MsFlags::MS_BIND) {
            Ok(()) | Err(Errno::ENOENT) => {}
            failed => failed.at(Layer::Proc, path.display())?,
        }
    }
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        return read_only(Path::new("/proc")).at(Layer::Proc, "making /proc read-only");
    }
    for path in of_the_kernel().at(Layer::Proc, "listing /proc")? {
        bind(&path, &path, MsFlags::MS_BIND)
            .and_then(|()| read_only(&path))
            .at(Layer::Proc, path.display())?;
    }
    Ok(())
}

fn read_only(path: &Path) -> nix::Result<()> {
    let ours = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    bind(path, path, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | ours)
}

fn bind(from: &Path, to: &Path, flags: MsFlags) -> nix::Result<()> {
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
}

/// Everything but processes, links and what is covered. Mode and owner of each are the whole machine's, and some obey
/// whoever has user id 0 without asking for a capability (`dynamic_debug`, `acpi/wakeup`).
fn of_the_kernel() -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let of_a_process = entry.file_name().as_bytes().iter().all(u8::is_ascii_digit);
        let covered = PROC_COVERED.iter().any(|name| entry.file_name() == *name);
        if !of_a_process && !covered && !entry.file_type()?.is_symlink() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// vfork and exec: nothing but the standard descriptors goes over.
fn start(order: &RunOrder, streams: Streams) -> std::io::Result<u32> {
    let child = Command::new(&order.interpreter)
        .arg(SCRIPT_FILE)
        .env_clear()
        .envs(ENVIRONMENT)
        .envs(&order.environment)
        .stdin(File::open("/dev/null")?)
        .stdout(Stdio::from(streams.stdout))
        .stderr(Stdio::from(streams.stderr))
        .spawn()?;
    Ok(child.id())
}

/// Waits for whatever ends, until it is `first`.
fn reap(first: u32) -> Status {
    let first = Pid::from_raw(first.cast_signed());
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if Some(pid) == first => {
                return match status.exit_status() {
                    Some(code) => Status::Code(code),
                    None => Status::Signal(status.terminating_signal().unwrap_or(0)),
                };
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            // It was there and cannot have been waited for by anybody else: never loop on what cannot be.
            Err(_) => return Status::Signal(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::per_namespace;

    #[test]
    fn the_machines_own_pid_max_is_never_touched() {
        for (release, own) in [("6.14.0", true), ("6.18.44-fc", true), ("7.0-rc1", true)] {
            assert_eq!(per_namespace(release), own, "{release}");
        }
        for release in ["6.13.9", "5.15.0-100-generic", "6.1", "4.18.0-513.el8", "", "rubbish"] {
            assert!(!per_namespace(release), "{release}");
        }
    }
}
