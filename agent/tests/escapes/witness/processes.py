# Processes of the host.


def victim():
    """A process of the host, with a secret in its environment, its memory and its descriptors."""
    code = """
import ctypes, os
memory = ctypes.create_string_buffer(os.environ['MINE'].encode(), 64)
for fd in 3, 4: os.close(fd) if os.path.exists(f'/proc/self/fd/{fd}') else None
held = os.memfd_create('held'); os.write(held, memory.value)
print(ctypes.addressof(memory), flush=True)
input()
print(memory.value.decode(errors='replace'))"""
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c", code],
        env={"MINE": SECRET}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    return process, {"VICTIM": process.pid, "ADDRESS": process.stdout.readline().strip()}


def killed():
    process, know = victim()
    yield know
    try:
        process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        return False
    return True


def memory_changed():
    process, know = victim()
    yield know
    return SECRET not in process.communicate("\n", timeout=5)[0]


def memory_learnt():
    process, know = victim()
    seen = yield know
    return SECRET in seen["output"]


def property_changed(look):
    process, know = victim()
    before = look(process.pid)
    yield know
    return look(process.pid) != before


def niceness(pid):
    return os.getpriority(os.PRIO_PROCESS, pid)


def open_files(pid):
    return re.search("Max open files.*", read(f"/proc/{pid}/limits"))[0]


def environment_learnt():
    """What this host's PID 1 has in its environment."""
    seen = yield {}
    return os.environ["ESCAPES_TOKEN"] in seen["output"]


def own_killed():
    """This process, of the same process group as whoever starts the script."""
    yield {"WITNESS": os.getpid()}
    return False


def first_lost():
    """PID 1 of the script's namespace did not live to tell its end."""
    seen = yield {}
    return not seen["orderly"]


def alive():
    """A process of the script outlives its run."""
    yield {}
    return any(True for _ in mine())


def typed_into():
    ours, slave = os.openpty()
    import tty
    tty.setraw(slave)
    yield {"TERMINAL": os.ttyname(slave)}
    return select.select([slave], [], [], 0)[0] != []


def shared_memory_changed():
    segment = libc.shmget(0, 4096, 0o600)
    memory = (ctypes.c_char * 16).from_address(libc.shmat(segment, None, 0))
    memory.value = b"as it was"
    yield {"SEGMENT": segment}
    return memory.value != b"as it was"


def queue_heard():
    queue = libc.mq_open(b"/canary", os.O_RDONLY | os.O_CREAT | os.O_NONBLOCK, 0o600, None)
    assert queue >= 0
    yield {}
    return libc.mq_receive(queue, ctypes.create_string_buffer(1 << 16), ctypes.c_size_t(1 << 16), None) >= 0


def renamed():
    before = socket.gethostname()
    yield {}
    return socket.gethostname() != before


def renamed_elsewhere():
    """The host name in another UTS namespace."""
    process = subprocess.Popen(["unshare", "--uts", "sh", "-c", "echo; exec sleep 60"], stdout=subprocess.PIPE)
    process.stdout.readline()
    name = lambda: subprocess.check_output(["nsenter", "-u", "-t", str(process.pid), "hostname"])
    before = name()
    yield {"ELSEWHERE": process.pid}
    return name() != before
