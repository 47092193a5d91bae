//! Reaching the kernel, which is one for all.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn the_kernel_is_out_of_reach() {
    theme("kernel::the_kernel_is_out_of_reach", CASES);
}

/// Not every kernel is built with every call.
macro_rules! has_call {
    ($number:literal) => {
        concat!(
            "/usr/bin/python3 -c 'import ctypes; l = ctypes.CDLL(None, use_errno=True); ",
            "l.syscall(",
            $number,
            ", 0, 0, 0, 0, 0); exit(ctypes.get_errno() == 38)'"
        )
    };
}

pub const CASES: &[Case] = &[
    python(
        "the clock, set to what it is",
        "clock_set()",
        "time.clock_settime_ns(0, time.clock_gettime_ns(0))",
    ),
    python(
        "the clock, moved by a nanosecond",
        "clock_set()",
        "call(305, 0, struct.pack('I4x4qi4x3q2q104x', 0x2100, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1))",
    ),
    python(
        "a module",
        "says('ENOEXEC')",
        "import errno
try: call(175, b'none', 4, b'')
except OSError as e: print(errno.errorcode[e.errno])",
    )
    .needs(has_call!("175")),
    python(
        "another kernel",
        "says('EINVAL')",
        "import errno
try: call(246, 0, 0, 0, 0xffff)
except OSError as e: print(errno.errorcode[e.errno])",
    )
    .needs(has_call!("246")),
    python("a restart", "first_lost()", "call(169, 0xfee1dead, 672274793, 0x01234567, 0)").supervised(),
    python(
        "bpf",
        "holds('anon_inode:bpf-map')",
        "call(321, 0, struct.pack('IIII', 2, 4, 4, 1) + bytes(112), 128); hold()",
    ),
    python(
        "perf events",
        "holds('anon_inode:[perf_event]')",
        "call(298, struct.pack('II', 1, 128) + bytes(120), 0, -1, -1, 0); hold()",
    ),
    python("userfaultfd", "holds('anon_inode:[userfaultfd]')", "call(323, 0); hold()"),
    python(
        "userfaultfd, by its device",
        "holds('anon_inode:[userfaultfd]')",
        "import fcntl
fcntl.ioctl(os.open('/dev/userfaultfd', os.O_RDWR), 0xaa00, 0); hold()",
    )
    .needs("[ -e /dev/userfaultfd ]"),
    python(
        "io_uring",
        "holds('anon_inode:[io_uring]')",
        "call(425, 4, ctypes.create_string_buffer(256)); hold()",
    ),
    python("watching every file", "holds('anon_inode:[fanotify]')", "call(300, 0, 0); hold()"),
    python(
        "a key for everybody of this user",
        "key_added()",
        "call(248, b'user', E['RUN'].encode(), b'x', 1, -4)",
    ),
    python(
        "a key of this user",
        "key_learnt()",
        "key = call(250, 10, -4, b'user', E['RUN'].encode(), 0)
text = ctypes.create_string_buffer(64)
call(250, 11, key, text, 64)
print(text.value)",
    ),
    python(
        "a call by the numbers of i386",
        "key_added()",
        "code = bytes.fromhex('53 89f8 89f3 87d1 4489c6 4489cf cd80 5b c3')
page = mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | 0x40, prot=7)
page.write(code + b'user\\0' + E['RUN'].encode() + b'\\0x')
at = ctypes.addressof(ctypes.c_char.from_buffer(page))
kind, name = at + len(code), at + len(code) + 5
types = [ctypes.c_int] * 6
ctypes.CFUNCTYPE(ctypes.c_int, *types)(at)(286, kind, name, name, 1, -4)",
    )
    .needs("zgrep -q CONFIG_IA32_EMULATION=y /proc/config.gz"),
    python(
        "a call by the numbers of x32",
        "key_added()",
        "call(0x40000000 + 248, b'user', E['RUN'].encode(), b'x', 1, -4)",
    )
    .needs("zgrep -q CONFIG_X86_X32_ABI=y /proc/config.gz"),
    sh("a user namespace", "other_namespace('user')", "unshare --user sleep 9"),
    sh(
        "a user namespace of somebody else",
        "other_namespace('user')",
        "setpriv --reuid 65534 --regid 65534 --clear-groups unshare --user sleep 9",
    ),
    python(
        "a user namespace, by clone",
        "other_namespace('user')",
        "if call(56, 0x10000000 | LIKE_CHILD, 0, 0, 0, 0) == 0: hold()
hold()",
    ),
    python(
        "a user namespace, by clone3",
        "other_namespace('user')",
        "if call(435, struct.pack('8Q', 0x10000000, 0, 0, 0, LIKE_CHILD, 0, 0, 0), 64) == 0: hold()
hold()",
    ),
    python(
        "the namespace of another process",
        "renamed_elsewhere()",
        "call(308, os.open(f\"/proc/{E['ELSEWHERE']}/ns/uts\", os.O_RDONLY), 0)
socket.sethostname('out')",
    ),
    python("the host's name", "renamed()", "socket.sethostname('out')"),
    sh("a control group", "cgroup(lambda: os.path.isdir('/srv/cgroup/out'))", "mkdir /srv/cgroup/out"),
    sh(
        "a control group's agent on the host",
        "cgroup(lambda: read('/srv/cgroup/release_agent').strip() == '/srv/agent')",
        "mkdir /tmp/c; mount -t cgroup -o none,name=$RUN cgroup /tmp/c; echo /srv/agent >/tmp/c/release_agent",
    ),
    python(
        "the handler of crashes",
        "may_write('/proc/sys/kernel/core_pattern')",
        "os.open('/proc/sys/kernel/core_pattern', os.O_WRONLY); hold()",
    ),
    python(
        "a setting in /proc/sys",
        "may_write('/proc/sys/vm/swappiness')",
        "os.open('/proc/sys/vm/swappiness', os.O_WRONLY); hold()",
    ),
    python(
        "a setting in /sys",
        "may_write('/sys/kernel/mm/ksm/run')",
        "os.open('/sys/kernel/mm/ksm/run', os.O_WRONLY); hold()",
    )
    .needs("[ -e /sys/kernel/mm/ksm/run ]"),
    python(
        "the magic key",
        "may_write('/proc/sysrq-trigger')",
        "os.open('/proc/sysrq-trigger', os.O_WRONLY); hold()",
    )
    .needs("[ -e /proc/sysrq-trigger ]"),
    sh("the kernel's log", "log_learnt()", "dmesg --raw --syslog"),
    sh("the kernel's log, by its device", "log_learnt()", "dmesg --raw"),
    python("a virtual machine", "holds('/dev/kvm')", "os.open('/dev/kvm', os.O_RDWR); hold()")
        .needs("[ -e /dev/kvm ]"),
    python("a file system of its own", "holds('/dev/fuse')", "os.open('/dev/fuse', os.O_RDWR); hold()")
        .needs("[ -e /dev/fuse ]"),
    python("a loop device", "holds('/dev/loop-control')", "os.open('/dev/loop-control', os.O_RDWR); hold()")
        .needs("[ -e /dev/loop-control ]"),
];
