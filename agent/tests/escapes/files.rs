//! Writing to files of the host, whichever way around the stage.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn no_file_of_the_host_is_reached() {
    theme("files::no_file_of_the_host_is_reached", CASES);
}

const OUTSIDE: &str = "made('/srv/outside/canary')";
const FIXED: &str = "made('/srv/disk/canary')";

pub const CASES: &[Case] = &[
    sh("a file of the host", OUTSIDE, "echo out >/srv/outside/canary"),
    sh("a file below /run", "made('/run/canary')", "echo out >/run/canary"),
    sh("a file below /tmp", "made('/tmp/canary')", "echo out >/tmp/canary"),
    sh("a file in shared memory", "made('/dev/shm/canary')", "echo out >/dev/shm/canary"),
    sh(
        "a read-only mount, made writable again",
        FIXED,
        "mount -o remount,bind,rw /srv/fixed; echo out >/srv/fixed/canary",
    ),
    sh(
        "a bind mount of what is read-only",
        FIXED,
        "mkdir -p /tmp/m; mount --bind /srv/fixed /tmp/m; mount -o remount,bind,rw /tmp/m; echo out >/tmp/m/canary",
    ),
    python(
        "a read-only mount, by mount_setattr",
        FIXED,
        "call(442, -100, b'/srv/fixed', 0, struct.pack('QQQQ', 0, 1, 0, 0), 32)
open('/srv/fixed/canary', 'w')",
    ),
    python(
        "a detached copy of a mount, by open_tree",
        FIXED,
        "tree = call(428, -100, b'/srv/fixed', 1)
call(442, tree, b'', 0x1000, struct.pack('QQQQ', 0, 1, 0, 0), 32)
os.open('canary', os.O_CREAT | os.O_WRONLY, dir_fd=tree)",
    ),
    python(
        "an inherited descriptor of a folder",
        OUTSIDE,
        "for fd in range(3, 1024):
    try: os.open('canary', os.O_CREAT | os.O_WRONLY, dir_fd=fd)
    except OSError: pass",
    ),
    python(
        "an inherited descriptor of a file",
        "changed('/srv/outside/log')",
        "for fd in range(3, 1024):
    try: os.write(fd, b'out')
    except OSError: pass",
    ),
    sh(
        "the root of another process",
        OUTSIDE,
        "for root in /proc/[0-9]*/root; do echo out >$root/srv/outside/canary; done",
    ),
    sh(
        "the working folder of another process",
        OUTSIDE,
        "for folder in /proc/[0-9]*/cwd; do [ $folder -ef . ] || echo out >$folder/canary; done",
    ),
    python(
        "a descriptor of another process",
        OUTSIDE,
        "for path in glob.glob('/proc/[0-9]*/fd/*'):
    if path.split('/')[2] != str(os.getpid()) and os.path.isdir(path):
        try: open(path + '/canary', 'w')
        except OSError: pass",
    ),
    sh(
        "a named pipe that a service reads",
        "fifo_heard('/srv/disk/pipe')",
        "timeout 1 sh -c 'echo out >/srv/disk/pipe'",
    ),
    sh(
        "a named pipe on the root's file system",
        "fifo_heard('/srv/outside/pipe')",
        "timeout 1 sh -c 'echo out >/srv/outside/pipe'",
    ),
    sh(
        "a named pipe, mounted by itself",
        "fifo_heard('/srv/disk/pipe', at='/srv/outside/place')",
        "timeout 1 sh -c 'echo out >/srv/outside/place'",
    ),
    sh(
        "what a service wrote to a named pipe",
        "fifo_emptied('/srv/disk/pipe')",
        "timeout 1 cat /srv/disk/pipe",
    ),
    sh("a lock that a service takes", "locked('/srv/disk/lock')", "flock /srv/disk/lock sleep 1"),
    sh(
        "a lock that a service takes, on the root's file system",
        "locked('/srv/outside/lock')",
        "flock /srv/outside/lock sleep 1",
    ),
];
