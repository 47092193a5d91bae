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
