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
