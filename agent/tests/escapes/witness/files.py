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


def fifo_heard(path, at=None):
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    if at:
        write(at, "")
        subprocess.run(["mount", "--bind", path, at], check=True)
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
