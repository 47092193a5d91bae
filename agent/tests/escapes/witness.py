# The judge of a hostile script: a program of the host, outside the cage.
#
# Each function is a generator. It first yields what the script is to know, and may say `reached()` as soon as it
# sees it; it is then sent how the run looked from outside, and returns whether the script reached its goal.

import ctypes, fcntl, glob, json, os, re, select, socket, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = libc.shmat.restype = ctypes.c_long
SECRET = "secret-" + os.urandom(8).hex()
RUN = "run-" + os.urandom(8).hex()


def witness(goal):
    say(json.dumps({"RUN": RUN, **{name: str(value) for name, value in next(goal).items()}}))
    seen = json.loads(sys.stdin.read())
    try:
        goal.send(seen)
    except StopIteration as end:
        say("reached" if end.value else "not reached")


def say(word):
    print(word, flush=True)


def reached():
    say("reached")


def call(number, *args):
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return libc.syscall(ctypes.c_long(number), *wide)


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path, errors="replace") as file:
        return file.read()


# Files of the host.


def made(path):
    """A file comes to be."""
    assert not os.path.exists(path)
    yield {}
    return os.path.exists(path)


def changed(path):
    before = read(path)
    yield {}
    return read(path) != before


def learnt(path, prepare=lambda: {}):
    """The script comes to know what a file says."""
    write(path, SECRET)
    seen = yield prepare()
    return SECRET in seen["output"]


def learnt_shadow():
    with open("/etc/shadow", "a") as file:
        file.write(f"eve:{SECRET}:1::::::\n")
    seen = yield {}
    return SECRET in seen["output"]


def elsewhere():
    os.mkdir("/srv/lib")
    subprocess.run(["mount", "--bind", "/var/lib", "/srv/lib"], check=True)
    return {}


def covered():
    write("/srv/empty", "")
    subprocess.run(["mount", "--bind", "/srv/empty", "/srv/covered"], check=True)
    return {}


def held_open():
    os.set_inheritable(os.open("/var/lib/aright-agent/key", os.O_RDONLY), True)
    return {"KEY_HOLDER": os.getpid()}


def by_handle():
    """What name_to_handle_at says of a file that the script may not read, on a file system that it can see."""
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    assert call(303, -100, b"/srv/disk/hidden/key", handle, ctypes.byref(mount), 0) == 0
    subprocess.run(["mount", "-t", "tmpfs", "hidden", "/srv/disk/hidden"], check=True)
    return {"HANDLE": handle.raw.hex()}


def disk():
    """A disk of the machine: a file by way of a loop device, given back when this program ends."""
    write("/srv/outside/image", SECRET + "\n" * 4096)
    name = subprocess.check_output(["losetup", "--show", "-f", "/srv/outside/image"], text=True).strip()
    device = os.open(name, os.O_RDONLY)
    subprocess.run(["losetup", "-d", name], check=True)
    seen = yield {"DISK": name, "NUMBER": os.minor(os.fstat(device).st_rdev)}
    return SECRET in seen["output"]


def fifo_heard(path):
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield {}
    return select.select([pipe], [], [], 0)[0] and os.read(pipe, 9) != b""


def fifo_emptied(path):
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    os.write(pipe, SECRET.encode())
    yield {}
    return not select.select([pipe], [], [], 0)[0]


def locked(path):
    """A lock that a service of the host wants to have."""
    write(path, "")
    file = open(path)
    stop = watch(lambda: not lockable(file))
    yield {}
    return stop()


def lockable(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True


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
    return process.poll() is not None


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


# What the script's processes hold, as the kernel shows it to the host.


def mine():
    """The processes of the run. A zombie has no environment."""
    for path in glob.glob("/proc/[0-9]*"):
        try:
            if RUN in read(path + "/environ"):
                yield path
        except OSError:
            pass


def watch(is_reached):
    """Looks again and again; the returned function ends that and tells."""
    found, over = threading.Event(), threading.Event()

    def look():
        while not over.is_set():
            if is_reached():
                found.set()
                return reached()
            time.sleep(0.005)

    thread = threading.Thread(target=look)
    thread.start()

    def stop():
        over.set()
        thread.join()
        return found.is_set()

    return stop


def watched(is_reached):
    stop = watch(is_reached)
    yield {}
    return stop()


def any_of_mine(test):
    def look():
        for path in mine():
            try:
                if test(path):
                    return True
            except OSError:
                pass
        return False

    return look


def descriptors(path):
    for fd in os.listdir(path + "/fd"):
        yield fd, os.readlink(f"{path}/fd/{fd}")


def holds(target):
    """A descriptor of this kind."""
    return watched(any_of_mine(lambda path: any(target in link for _, link in descriptors(path))))


def may_write(target):
    """A descriptor of this file to write to."""

    def test(path):
        for fd, link in descriptors(path):
            if link == target and int(re.search("flags:\\s*(\\d+)", read(f"{path}/fdinfo/{fd}"))[1], 8) & 3:
                return True
        return False

    return watched(any_of_mine(test))


def other_namespace(kind):
    own = os.readlink("/proc/self/ns/" + kind)
    return watched(any_of_mine(lambda path: os.readlink(f"{path}/ns/{kind}") != own))


def socket_of(family):
    """A socket of this family, asked of a copy."""

    def test(path):
        process = call(434, int(path[6:]), 0)
        for fd, link in descriptors(path):
            if link.startswith("socket:"):
                with socket.socket(fileno=call(438, process, int(fd), 0)) as copy:
                    if copy.getsockopt(socket.SOL_SOCKET, 39) == family:
                        return True
        os.close(process)
        return False

    return watched(any_of_mine(test))


def more_than(bound, measure):
    return watched(lambda: measure() > bound)


def processes():
    return len(list(mine()))


def status_sum(field):
    total = 0
    for path in mine():
        try:
            total += int(re.search(f"{field}:\\s*(\\d+)", read(path + "/status"))[1])
        except (OSError, TypeError):
            pass
    return total


def threads():
    return status_sum("Threads")


def resident_mb():
    return status_sum("VmRSS") // 1024


def held(measure):
    """Over all descriptors of the run."""
    total = 0
    for path in mine():
        try:
            total += sum(measure(f"{path}/fd/{fd}") for fd, _ in descriptors(path))
        except OSError:
            pass
    return total


def written_mb():
    return held(lambda fd: os.stat(fd).st_blocks) // 2048


def made_files():
    return held(lambda fd: len(os.listdir(fd)) if os.path.isdir(fd) else 0)


def open_descriptors():
    return held(lambda fd: 1)


def output_over(length):
    """More is kept of what it printed: in a file by whoever has no bound."""

    def kept():
        return os.path.exists("/srv/output") and os.stat("/srv/output").st_size

    stop = watch(lambda: kept() > length)
    seen = yield {}
    return stop() or len(seen["output"]) > length


# The kernel, which is one for all.


def clock_set():
    """The kernel cancels such a timer whenever the clock is set."""
    timer = call(283, 0, os.O_NONBLOCK)
    far = struct.pack("qqqq", 0, 0, int(time.time()) + 10**6, 0)
    assert call(286, timer, 3, far, None) == 0
    yield {}
    try:
        os.read(timer, 8)
    except OSError as error:
        return error.errno == 125  # ECANCELED
    return True


def says(word):
    """The kernel looked at it: refused for what it is, not for who asked."""
    seen = yield {}
    return word in seen["output"]


def key_added():
    yield {}
    key = call(250, 10, -4, b"user", RUN.encode(), 0)
    if key > 0:
        call(250, 9, key, -4)
    return key > 0


def key_learnt():
    key = call(248, b"user", RUN.encode(), SECRET.encode(), len(SECRET), -4)
    assert key > 0
    seen = yield {}
    call(250, 9, key, -4)
    return SECRET in seen["output"]


def log_learnt():
    last = subprocess.check_output(["dmesg", "--raw"], text=True).splitlines()[-1]
    seen = yield {}
    return last in seen["output"]


def queues_used_up():
    """No queue of usual size can be made any more by this user."""

    def refused():
        queue = libc.mq_open(b"/one-more", os.O_RDWR | os.O_CREAT, 0o600, None)
        if queue >= 0:
            os.close(queue)
            libc.mq_unlink(b"/one-more")
        return queue < 0

    assert not refused()
    return watched(refused)


def cgroup(judge):
    """An empty hierarchy of control groups, with a name only."""
    os.mkdir("/srv/cgroup")
    hierarchy = ["mount", "-t", "cgroup", "-o", "none,name=" + RUN, "cgroup", "/srv/cgroup"]
    subprocess.run(hierarchy, check=True)
    yield {}
    result = judge()
    for group in glob.glob("/srv/cgroup/*/"):
        os.rmdir(group)
    subprocess.run(["umount", "/srv/cgroup"], check=True)
    return result


def count(path, name=""):
    return int(re.search(name + "\\s*(\\d+)", read(path))[1])


def used_up(look, by):
    """Something that there is only so much of for the whole machine."""
    before = look()
    return watched(lambda: look() > before + by)


# Listeners of the host.


def bound(family, kind, address, protocol=0):
    listener = socket.socket(family, kind, protocol)
    listener.bind(address)
    if kind == socket.SOCK_STREAM:
        listener.listen()
    listener.setblocking(False)
    return listener


def heard(family, kind, address):
    if family == socket.AF_UNIX and isinstance(address, str) and address.startswith("/"):
        os.makedirs(os.path.dirname(address), exist_ok=True)
        if os.path.exists(address):
            os.unlink(address)
    listener = bound(family, kind, address)
    port = listener.getsockname()[1] if family in (socket.AF_INET, socket.AF_INET6) else ""
    yield {"PORT": port}
    return select.select([listener], [], [], 0)[0] != []


def tcp():
    return heard(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))


def tcp6():
    return heard(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))


def udp():
    return heard(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))


def unix(address):
    return heard(socket.AF_UNIX, socket.SOCK_STREAM, address)


def datagram(address):
    return heard(socket.AF_UNIX, socket.SOCK_DGRAM, address)


def frames():
    """A packet of this run on the host's loopback."""
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5))
    ear.bind(("lo", 0x88B5))
    ear.setblocking(False)
    yield {}
    return select.select([ear], [], [], 0)[0] != []


def address_added():
    yield {}
    try:
        bound(socket.AF_INET, socket.SOCK_DGRAM, ("192.0.2.77", 0)).close()
    except OSError:
        return False
    return True
