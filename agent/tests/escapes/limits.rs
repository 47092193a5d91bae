//! Taking more of the machine than allowed. The bounds are those of the harness and of the cage itself.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn nothing_is_used_up() {
    theme("limits::nothing_is_used_up", CASES);
}

pub const CASES: &[Case] = &[
    python(
        "a bomb of processes",
        "more_than(140, processes)",
        "for _ in range(400):
    if os.fork() == 0: hold()
hold()",
    ),
    python(
        "a bomb of threads",
        "more_than(140, threads)",
        "import threading
threading.stack_size(1 << 16)
for _ in range(400): threading.Thread(target=hold, daemon=True).start()
hold()",
    ),
    python(
        "a bomb of memory",
        "more_than(600, resident_mb)",
        "kept = [bytearray(os.urandom(1 << 20)) * 50 for _ in range(16)]; hold()",
    ),
    python(
        "filling the stage",
        "more_than(140, written_mb)",
        "kept = []
for number in range(6):
    kept.append(open(f'/srv/outside/{number}', 'wb', buffering=0) if os.access('/srv/outside', os.W_OK) else open(f'/tmp/{number}', 'wb', buffering=0))
    for _ in range(50): kept[-1].write(bytes(1 << 20))
hold()",
    ),
    python(
        "one large file",
        "more_than(70, written_mb)",
        "kept = open('/tmp/large', 'wb', buffering=0)
for _ in range(100): kept.write(bytes(1 << 20))
hold()",
    ),
    python(
        "filling the stage with files",
        "more_than(21000, made_files)",
        "os.mkdir('/tmp/many')
kept = os.open('/tmp/many', os.O_RDONLY)
for number in range(25000): os.close(os.open(str(number), os.O_CREAT | os.O_WRONLY, dir_fd=kept))
hold()",
    ),
    python(
        "opening too many files",
        "more_than(1100, open_descriptors)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, [resource.getrlimit(resource.RLIMIT_NOFILE)[1]] * 2)
kept = [os.open('/dev/null', os.O_RDONLY) for _ in range(1500)]
hold()",
    ),
    sh("a flood of output", "output_over(1_000_100)", "head -c 5000000 /dev/zero | tr '\\0' x"),
    sh(
        "output without an end",
        "output_over(2_000_100)",
        "while :; do head -c 100000 /dev/zero | tr '\\0' x; head -c 100000 /dev/zero >&2; sleep 0.1; done",
    ),
    python(
        "the machine's share of asynchronous reads",
        "used_up(lambda: count('/proc/sys/fs/aio-nr'), 5000)",
        "call(206, 8000, ctypes.byref(ctypes.c_long())); hold()",
    ),
    python(
        "a user's share of timers",
        "used_up(lambda: count('/proc/self/status', 'SigQ:'), 5000)",
        "timer = ctypes.c_int()
for _ in range(8000): call(222, 1, None, ctypes.byref(timer))
hold()",
    ),
    python(
        "a user's share of message queues",
        "queues_used_up()",
        "made = [libc.mq_open(f'/{n}'.encode(), os.O_RDWR | os.O_CREAT, 0o600, None) for n in range(50)]
hold()",
    ),
    python("the watches of a user", "holds('anon_inode:inotify')", "call(294, 0); hold()"),
];
