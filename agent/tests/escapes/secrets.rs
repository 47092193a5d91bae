//! Reading what the script shall not know.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn no_secret_is_learnt() {
    theme("secrets::no_secret_is_learnt", CASES);
}

const KEY: &str = "learnt('/var/lib/aright-agent/key')";

pub const CASES: &[Case] = &[
    sh("the agent's key", KEY, "cat /var/lib/aright-agent/key"),
    sh(
        "the agent's journal",
        "learnt('/var/lib/aright-agent/tasks/1/journal')",
        "cat /var/lib/aright-agent/tasks/*/journal",
    ),
    sh(
        "another task's parameters",
        "learnt('/var/lib/aright-agent/tasks/2/envelope')",
        "grep -rh secret /var/lib/aright-agent",
    ),
    sh("the agent's sockets and state below /run", "learnt('/run/aright-agent/state')", "cat /run/*/state"),
    sh("a file below /tmp", "learnt('/tmp/of-somebody')", "cat /tmp/of-somebody"),
    sh("shared memory", "learnt('/dev/shm/of-somebody')", "cat /dev/shm/of-somebody"),
    sh("the password hashes", "learnt_shadow()", "cat /etc/shadow"),
    sh(
        "the key, where its file system is mounted again",
        "learnt('/var/lib/aright-agent/key', elsewhere)",
        "cat /srv/lib/aright-agent/key",
    ),
    sh("the key, by another link", KEY, "ln /var/lib/aright-agent/key /var/lib/key; cat /var/lib/key"),
    sh(
        "the key, by another name of its folder",
        KEY,
        "mv /var/lib/aright-agent /var/lib/moved; cat /var/lib/moved/key",
    ),
    sh(
        "the key, by a descriptor of the agent",
        "learnt('/var/lib/aright-agent/key', held_open)",
        "for fd in /proc/$KEY_HOLDER/fd/*; do [ -f $fd ] && cat $fd; done",
    ),
    sh("the key, by the root of another process", KEY, "cat /proc/[0-9]*/root/var/lib/aright-agent/key"),
    sh(
        "the key, through an overlay of its own",
        KEY,
        "mkdir -p /tmp/e; mount -t overlay -o lowerdir=/var/lib:/tmp/e overlay /mnt; cat /mnt/aright-agent/key",
    ),
    sh("what a mount covers", "learnt('/srv/covered', covered)", "umount /srv/covered; cat /srv/covered"),
    python(
        "what a mount covers, by move_mount",
        "learnt('/srv/covered', covered)",
        "open('/tmp/x', 'w')
call(429, -100, b'/srv/covered', -100, b'/tmp/x', 0)
print(open('/srv/covered').read())",
    ),
    python(
        "a hidden file, by its handle",
        "learnt('/srv/disk/hidden/key', by_handle)",
        "place = os.open('/srv/disk', os.O_RDONLY)
print(os.read(call(304, place, bytes.fromhex(E['HANDLE']), os.O_RDONLY), 99))",
    ),
    sh("the disk, by its device", "disk()", "head -c 99 $DISK").needs("[ -e /dev/loop-control ]"),
    sh(
        "the disk, by a device of its own",
        "disk()",
        "mknod /srv/outside/disk b 7 $NUMBER; head -c 99 /srv/outside/disk",
    )
    .needs("[ -e /dev/loop-control ]"),
    python("the machine's memory, by its device", "holds('/dev/mem')", "open('/dev/mem', 'rb'); hold()")
        .needs("[ -e /dev/mem ]"),
    python("the machine's memory, by /proc", "holds('/proc/kcore')", "open('/proc/kcore', 'rb'); hold()")
        .needs("[ -e /proc/kcore ]"),
    sh("the environment of the agent", "environment_learnt()", "env"),
    sh(
        "the environment of other processes",
        "memory_learnt()",
        "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep ^MINE=",
    ),
    sh(
        "the environment of PID 1",
        "environment_learnt()",
        "unset ESCAPES_TOKEN; tr '\\0' '\\n' </proc/1/environ",
    ),
];
