//! The network of scripts that declare none: a namespace with nothing in it, made once and entered by each launcher.
//!
//! Making one is the dearest part of a launch. None of them can tell that others were there: they may make no socket,
//! and what could be set, in `/proc/sys/net` and by netlink, needs rights that they do not have.

use std::fs::File;
use std::io;
use std::sync::OnceLock;

use nix::sched::{CloneFlags, unshare};

/// It lasts as long as this process.
///
/// # Errors
/// The kernel's. The next call tries again.
pub fn nothing() -> io::Result<&'static File> {
    static NOTHING: OnceLock<File> = OnceLock::new();
    match NOTHING.get() {
        Some(made) => Ok(made),
        None => make().map(|made| NOTHING.get_or_init(|| made)),
    }
}

/// On a thread of its own, whose end leaves this process where it was.
fn make() -> io::Result<File> {
    let made = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        File::open("/proc/thread-self/ns/net")
    });
    made.join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that makes a network namespace panicked")))
}
