//! The throwaway view: in a mount namespace of its own, an overlay of `/` whose upper layer lies in
//! memory, with `/run` and `/tmp` empty, everything else mounted read-only, and of `/proc/sys` only
//! `net` writable (the agent sets it in a network namespace of its own).

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

/// First argument of the process that enters: then the work folder, `--`, and what it becomes.
pub const ENTER: &str = "__enter-view";

const NONE: Option<&str> = None;
/// Shown as they are on the host.
const SHARED: [&str; 3] = ["/proc", "/sys", "/dev"];
/// Empty in the view: no socket of a running service is within reach.
const EMPTY: [&str; 2] = ["/run", "/tmp"];

/// A command that runs `program` inside the view; `work` stays shared with the host.
pub fn command(work: &Path, program: &Path) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ENTER).arg(work).arg("--").arg(program);
    Ok(command)
}

/// Builds the view around this process and becomes the program.
///
/// # Errors
/// A mount that the kernel refused.
pub fn enter(args: &[OsString]) -> anyhow::Result<Infallible> {
    let [work, _, program @ ..] = args else { bail!("{ENTER}: work folder and program are missing") };
    build(Path::new(work))?;
    let argv: Vec<CString> =
        program.iter().map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
    let path = argv.first().context("no program named")?;
    Ok(nix::unistd::execv(path, &argv)?)
}

fn build(work: &Path) -> anyhow::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).context("a mount namespace of our own")?;
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).context("making mounts private")?;
    // The layers lie in memory, on a mount that only this namespace sees; `work` itself is kept aside first.
    let kept = fs::File::open(work).context("the work folder")?;
    let kept = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&kept));
    let others = other_mounts(work)?;
    let base = work.join("view");
    mount(Some("aright-demo"), &base, Some("tmpfs"), MsFlags::MS_NODEV, Some("mode=700"))
        .context("memory for the view")?;
    let root = base.join("root");
    root_view(&base, &root)?;
    for folder in SHARED {
        bind(folder, &within(&root, folder), MsFlags::MS_REC)
            .with_context(|| format!("{folder} in the view"))?;
    }
    guard_sysctl(&root)?;
    for folder in EMPTY {
        let target = within(&root, folder);
        if target.is_dir() {
            mount(
                Some("aright-demo"),
                &target,
                Some("tmpfs"),
                MsFlags::MS_NODEV | MsFlags::MS_NOSUID,
                Some("mode=1777"),
            )
            .with_context(|| format!("an empty {folder}"))?;
        }
    }
    for folder in others {
        let target = within(&root, &folder);
        // What lies below an emptied folder is not wanted; what cannot be shown is left out.
        if target.exists() && bind(&folder, &target, MsFlags::empty()).is_ok() {
            read_only(&target)?;
        }
    }
    let inside = within(&root, &work.to_string_lossy());
    fs::create_dir_all(&inside)?;
    bind(&kept, &inside, MsFlags::empty()).context("the work folder in the view")?;
    nix::unistd::chdir(&root)?;
    nix::unistd::pivot_root(".", ".").context(
        "entering the view (`/` must be a mount point; in a chroot: mount --bind ROOT ROOT beforehand)",
    )?;
    umount2(".", MntFlags::MNT_DETACH)?;
    nix::unistd::chdir("/")?;
    Ok(())
}

/// An overlay of `/`; where the kernel refuses (a root that is itself two overlays deep) `/` read-only
/// with a private copy of `/etc`, which is all that the library changes.
fn root_view(base: &Path, root: &Path) -> anyhow::Result<()> {
    let (upper, scratch) = (base.join("upper"), base.join("work"));
    for folder in [&upper, &scratch, &root.to_owned()] {
        fs::create_dir(folder)?;
    }
    // The view's own root folder looks like the host's.
    fs::set_permissions(&upper, fs::metadata("/")?.permissions())?;
    let options = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), scratch.display());
    if mount(Some("aright-demo"), root, Some("overlay"), MsFlags::empty(), Some(options.as_str())).is_ok() {
        return Ok(());
    }
    eprintln!("demo: no overlay of / is possible here; using a private copy of /etc");
    bind("/", root, MsFlags::empty())?;
    read_only(root)?;
    let copy = base.join("etc");
    let done = Command::new("cp").args(["-a", "/etc"]).arg(&copy).status().context("copying /etc")?;
    anyhow::ensure!(done.success(), "copying /etc: {done}");
    bind(&copy.to_string_lossy(), &root.join("etc"), MsFlags::empty()).context("the copy of /etc")
}

/// The host's run-time kernel parameters stay as they are, but for `net`, which is the namespace's own.
fn guard_sysctl(root: &Path) -> anyhow::Result<()> {
    let sys = root.join("proc/sys");
    let net = sys.join("net");
    bind(&sys.to_string_lossy(), &sys, MsFlags::empty()).context("/proc/sys in the view")?;
    read_only(&sys)?;
    bind("/proc/sys/net", &net, MsFlags::empty()).context("/proc/sys/net in the view")
}

/// Mounted folders of the host that the overlay of `/` does not show.
fn other_mounts(work: &Path) -> anyhow::Result<Vec<String>> {
    let hidden: Vec<&str> = SHARED.into_iter().chain(EMPTY).collect();
    let mut folders: Vec<String> = Vec::new();
    for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
        let Some(point) = line.split(' ').nth(4).map(unescape) else { continue };
        let below = |folder: &str| Path::new(&point).starts_with(folder);
        if point == "/" || hidden.iter().any(|folder| below(folder)) || Path::new(&point).starts_with(work) {
            continue;
        }
        if !folders.contains(&point) {
            folders.push(point);
        }
    }
    Ok(folders)
}

/// `\040` and the like, as proc(5) writes blanks in paths.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

fn within(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn bind(from: &str, to: &Path, more: MsFlags) -> nix::Result<()> {
    mount(Some(from), to, NONE, MsFlags::MS_BIND | more, NONE)
}

fn read_only(folder: &Path) -> anyhow::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    // Flags that the mount already has must be repeated, or the kernel takes it for an attempt to drop them.
    let held = nix::sys::statvfs::statvfs(folder)?.flags();
    let mut keep = MsFlags::empty();
    for (has, flag) in [
        (nix::sys::statvfs::FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (nix::sys::statvfs::FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (nix::sys::statvfs::FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ] {
        if held.contains(has) {
            keep |= flag;
        }
    }
    mount(NONE, folder, NONE, flags | keep, NONE).with_context(|| format!("{} read-only", folder.display()))
}
