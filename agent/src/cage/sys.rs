//! The calls that nix wraps unsafely or not at all. The only unsafe code of the cage.
#![expect(unsafe_code, reason = "raw system calls, one block each")]

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::NixPath as _;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::{ForkResult, Pid};

/// Forks the launcher, which has one thread only.
pub fn fork() -> nix::Result<ForkResult> {
    // SAFETY: with a single thread no lock can be held by anybody else at the moment of the fork.
    unsafe { nix::unistd::fork() }
}

/// linux/sched.h; the C library's constant does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// As [`fork`], born in a group of version 2 (clone3(2), Linux 5.7).
pub fn fork_into(group: BorrowedFd<'_>) -> nix::Result<ForkResult> {
    let number = u64::try_from(group.as_raw_fd()).map_err(|_| Errno::EBADF)?;
    let arguments = libc::clone_args {
        flags: CLONE_INTO_CGROUP,
        pidfd: 0,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: number,
    };
    // SAFETY: no memory is shared and the stack is copied, as by fork; with a single thread no lock can be held. The
    // C library's record of thread and process numbers is the parent's in the child, which asks for neither.
    let child =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<libc::clone_args>()) };
    match i32::try_from(Errno::result(child)?).map_err(|_| Errno::ERANGE)? {
        0 => Ok(ForkResult::Child),
        child => Ok(ForkResult::Parent { child: Pid::from_raw(child) }),
    }
}

/// So that no later exec gives the capability back.
pub fn drop_from_bounding_set(number: u8) -> nix::Result<()> {
    // SAFETY: passes numbers only.
    let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
    Errno::result(done).map(drop)
}

/// Everything mounted at and below `path` becomes read-only, without setuid programs and devices (mount_setattr(2),
/// Linux 5.12).
pub fn make_tree_read_only(path: &std::path::Path) -> nix::Result<()> {
    restrict(path, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV)
}

/// A device that can be used, and whose times and owner cannot be changed.
pub fn make_device_read_only(path: &std::path::Path) -> nix::Result<()> {
    restrict(path, libc::MOUNT_ATTR_RDONLY)
}

fn restrict(path: &std::path::Path, attr_set: u64) -> nix::Result<()> {
    let attributes = libc::mount_attr { attr_set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let done = path.with_nix_path(|path| {
        // SAFETY: the path ends with a zero byte; the attributes are read only, of the size that is told.
        unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::AT_RECURSIVE,
                &raw const attributes,
                size_of::<libc::mount_attr>(),
            )
        }
    })?;
    Errno::result(done).map(drop)
}

/// Closes every descriptor but 0, 1 and 2. Only for the launcher, first thing, before it owns any.
pub fn close_all_but_standard() -> nix::Result<()> {
    // SAFETY: the launcher has opened nothing yet, so that no owner of a descriptor is left without it.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    match Errno::result(done) {
        Ok(_) => Ok(()),
        Err(Errno::ENOSYS) => close_one_by_one(),
        Err(e) => Err(e),
    }
}

/// For kernels before 5.9.
fn close_one_by_one() -> nix::Result<()> {
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)?;
    for number in 3..i32::try_from(hard.min(1 << 20)).unwrap_or(1 << 20) {
        // SAFETY: as above; a number that is not open gives EBADF.
        unsafe { libc::close(number) };
    }
    Ok(())
}
