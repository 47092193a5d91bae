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
