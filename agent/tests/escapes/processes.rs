//! Reaching processes outside, and outliving the run.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn no_process_outside_is_reached() {
    theme("processes::no_process_outside_is_reached", CASES);
}

pub const CASES: &[Case] = &[
    sh("a signal", "killed()", "kill -9 $VICTIM"),
    sh("a signal to everybody", "killed()", "trap '' TERM; kill -9 -1"),
    sh("a signal to whoever started it", "own_killed()", "kill -9 0"),
    python("a signal by descriptor", "killed()", "call(424, call(434, int(E['VICTIM']), 0), 9, None, 0)"),
    python(
        "ptrace",
        "memory_changed()",
        "pid = int(E['VICTIM'])
call(101, 16, pid, 0, 0)
os.waitpid(pid, 0x40000000)
call(101, 5, pid, int(E['ADDRESS']), 0x4141414141414141)
call(101, 17, pid, 0, 0)",
    ),
    python(
        "process_vm_writev",
        "memory_changed()",
        "mine = ctypes.create_string_buffer(b'out')
local, remote = (struct.pack('PP', at, 3) for at in (ctypes.addressof(mine), int(E['ADDRESS'])))
call(311, int(E['VICTIM']), local, 1, remote, 1, 0)",
    ),
    python(
        "process_vm_readv",
        "memory_learnt()",
        "mine = ctypes.create_string_buffer(64)
local, remote = (struct.pack('PP', at, 64) for at in (ctypes.addressof(mine), int(E['ADDRESS'])))
call(310, int(E['VICTIM']), local, 1, remote, 1, 0)
print(mine.value)",
    ),
    python(
        "the memory of another process, by /proc",
        "memory_changed()",
        "memory = os.open(f\"/proc/{E['VICTIM']}/mem\", os.O_WRONLY)
os.pwrite(memory, b'out', int(E['ADDRESS']))",
    ),
    python(
        "a descriptor of another process, by pidfd_getfd",
        "memory_learnt()",
        "process = call(434, int(E['VICTIM']), 0)
for fd in range(3, 9):
    try: print(os.pread(call(438, process, fd, 0), 64, 0))
    except OSError: pass",
    ),
    python(
        "the memory of PID 1",
        "first_lost()",
        "memory = os.open('/proc/1/mem', os.O_WRONLY)
for line in open('/proc/1/maps'):
    span, rights = line.split()[:2]
    start, end = (int(at, 16) for at in span.split('-'))
    if 'x' in rights and '[' not in line: os.pwrite(memory, bytes(end - start), start)",
    )
    .supervised(),
    sh(
        "the priority of another process",
        "property_changed(niceness)",
        "renice -n 5 -p $VICTIM; renice -n 5 -u root",
    ),
    sh(
        "the limits of another process",
        "property_changed(open_files)",
        "prlimit --pid $VICTIM --nofile=77:77; prlimit --nofile=88:88",
    ),
    python(
        "shared memory of System V",
        "shared_memory_changed()",
        "libc.shmat.restype = ctypes.c_long
at = libc.shmat(int(E['SEGMENT']), None, 0)
if at > 0: ctypes.memmove(at, b'out', 3)",
    ),
    python(
        "a message queue",
        "queue_heard()",
        "libc.mq_send(libc.mq_open(b'/canary', os.O_WRONLY), b'out', ctypes.c_size_t(3), 0)",
    ),
    python(
        "a terminal's input",
        "typed_into()",
        "import fcntl
fcntl.ioctl(os.open(E['TERMINAL'], os.O_RDWR | os.O_NOCTTY), 0x5412, b'x')",
    ),
    sh("a survivor, forked twice", "alive()", "(sh -c 'sleep 60; :' &) & exit"),
    sh("a survivor in a session of its own", "alive()", "setsid sh -c 'sleep 60; :' & exit"),
    python(
        "a survivor that takes care",
        "alive()",
        "if os.fork() == 0:
    os.setsid()
    if os.fork(): os._exit(0)
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
    libc.prctl(1, 0)
    for fd in range(3): os.close(fd)
    while True: time.sleep(1)",
    ),
    sh("a script that does not end", "alive()", "trap '' TERM HUP INT; while :; do sleep 1; done"),
];
