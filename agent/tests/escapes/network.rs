//! Talking to somebody outside, with and without a declared network.

use crate::case::{Case, python, sh};
use crate::judge::theme;

#[test]
fn nobody_outside_is_talked_to() {
    theme("network::nobody_outside_is_talked_to", CASES);
}

/// Not every kernel has every family.
macro_rules! has_family {
    ($socket:literal) => {
        concat!("/usr/bin/python3 -c 'import socket; socket.socket(", $socket, ")'")
    };
}

pub const CASES: &[Case] = &[
    python("IPv4", "tcp()", "socket.create_connection(('127.0.0.1', E['PORT']))"),
    python("IPv6", "tcp6()", "socket.create_connection(('::1', E['PORT']))"),
    python(
        "a datagram",
        "udp()",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'out', ('127.0.0.1', int(E['PORT'])))",
    ),
    sh("IPv4, by the shell", "tcp()", "bash -c 'echo out >/dev/tcp/127.0.0.1/$PORT'"),
    python(
        "an abstract Unix socket",
        "unix('\\0canary')",
        "socket.socket(socket.AF_UNIX).connect('\\0canary')",
    ),
    python(
        "an abstract Unix socket, with a declared network",
        "unix('\\0canary')",
        "socket.socket(socket.AF_UNIX).connect('\\0canary')",
    )
    .with_network(),
    python(
        "a Unix socket on a disk",
        "unix('/srv/disk/socket')",
        "socket.socket(socket.AF_UNIX).connect('/srv/disk/socket')",
    ),
    python(
        "a Unix socket on a disk, with a declared network",
        "unix('/srv/disk/socket')",
        "socket.socket(socket.AF_UNIX).connect('/srv/disk/socket')",
    )
    .with_network(),
    python(
        "a Unix socket on a disk, from one end of a pair",
        "datagram('/srv/disk/socket')",
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'out', '/srv/disk/socket')",
    ),
    python(
        "the service manager",
        "unix('/run/systemd/private')",
        "socket.socket(socket.AF_UNIX).connect('/run/systemd/private')",
    ),
    python(
        "the message bus",
        "unix('/run/dbus/system_bus_socket')",
        "socket.socket(socket.AF_UNIX).connect('/run/dbus/system_bus_socket')",
    ),
    python(
        "a container engine, with a declared network",
        "unix('/run/docker.sock')",
        "socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    )
    .with_network(),
    python(
        "the journal",
        "datagram('/run/systemd/journal/socket')",
        "socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'out', '/run/systemd/journal/socket')",
    ),
    python("a virtual machine's socket", "socket_of(40)", "kept = socket.socket(40); hold()")
        .needs(has_family!("40, 1")),
    python("the kernel's ciphers", "socket_of(38)", "kept = socket.socket(38, 5); hold()")
        .needs(has_family!("38, 5")),
    sh("an address of the host, by netlink", "address_added()", "ip address add 192.0.2.77 dev lo"),
    sh(
        "an address of the host, by netlink, with a declared network",
        "address_added()",
        "ip address add 192.0.2.77 dev lo",
    )
    .with_network(),
    python(
        "the events of the kernel",
        "socket_of(16)",
        "kept = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15); kept.bind((0, 1)); hold()",
    ),
    python("a raw packet", "frames()", FRAME),
    python("a raw packet, with a declared network", "frames()", FRAME).with_network(),
    python(
        "a network device of its own",
        "holds('/dev/net/tun')",
        "os.open('/dev/net/tun', os.O_RDWR); hold()",
    )
    .needs("[ -e /dev/net/tun ]"),
];

const FRAME: &str = "sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(('lo', 0x88b5))
sender.send(bytes(12) + b'\\x88\\xb5out')";
