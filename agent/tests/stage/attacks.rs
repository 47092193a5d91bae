//! Ways out that were once tried with success: each judged by a canary on the host.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command};

use aright_agent::stage::Stage;
use aright_shared::content::script::Network;
use nix::mount::{MsFlags, mount};

use crate::world::{on_host, open, output, run, script, spec};

const NOBODY: u32 = 65534;

/// A process of an ordinary user of the host, ended with the test.
struct Bystander(Child);

impl Bystander {
    fn start(program: &[&str]) -> Self {
        let nobody = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
        Self(Command::new("setpriv").args(nobody).args(program).spawn().expect("setpriv"))
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A folder that everybody may write to, on every view of this host.
fn playground() {
    fs::create_dir_all("/opt/play").expect("folder");
    fs::set_permissions("/opt/play", PermissionsExt::from_mode(0o1777)).expect("mode");
}

/// A socket with a path is in no network namespace, and a read-only mount does not close it. One end of a pair
/// of datagram sockets can be sent from to anywhere, descriptors included.
#[test]
fn no_datagram_reaches_a_socket_of_the_host() {
    on_host(1, |_| {
        playground();
        let canary = UnixDatagram::bind("/opt/play/canary").expect("socket");
        canary.set_nonblocking(true).expect("flag");
        for network in [Network::None, Network::Host] {
            for kind in ["SOCK_DGRAM", "SOCK_RAW", "SOCK_DGRAM | socket.SOCK_CLOEXEC", "SOCK_SEQPACKET"] {
                let body = format!(
                    "python3 -c \"import socket
a, b = socket.socketpair(socket.AF_UNIX, socket.{kind})
a.sendto(b'out', '/opt/play/canary')\""
                );
                let spec = aright_agent::stage::StageSpec { network, ..spec(&[]) };
                let ran = Stage::open(&spec).expect("stage").run(&script(&body)).expect("run");
                assert!(canary.recv(&mut [0; 8]).is_err(), "{kind}: {ran:?}");
            }
        }
        let pairs = "python3 -c \"import socket
for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK:
    a, b = socket.socketpair(socket.AF_UNIX, kind); a.send(b'x'); print(b.recv(1))\"";
        assert_eq!(output(&[], pairs), "b'x'\n".repeat(3));
    });
}

/// An accomplice takes a pair's end out of a process of its own user id and sends a folder of the host through it.
#[test]
fn no_descriptor_comes_in() {
    on_host(1, |_| {
        playground();
        let accomplice = "
import ctypes, glob, os, socket, time
libc = ctypes.CDLL(None, use_errno=True)
folder = os.open('/opt', os.O_PATH)
while True:
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            if not open(path).read().startswith('sleep\\x007.25'): continue
        except OSError: continue
        taken = libc.syscall(438, libc.syscall(434, int(path.split('/')[2]), 0), 9, 0)
        if taken >= 0:
            socket.send_fds(socket.socket(fileno=taken), [b'x'], [folder])
            open('/opt/play/sent', 'w').close()
            time.sleep(30)
    time.sleep(0.05)";
        let _accomplice = Bystander::start(&["/usr/bin/python3", "-c", accomplice]);
        let body = "cat >p.py <<'END'
import os, socket, subprocess, time
a, b = socket.socketpair()
os.dup2(b.fileno(), 9)
subprocess.Popen(['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups', 'sleep', '7.25'], pass_fds=[9])
a.settimeout(5)
for attempt in range(50):
    try: fds = socket.recv_fds(a, 8, 1)[1]
    except PermissionError: time.sleep(0.1); continue
    os.close(os.open('canary', os.O_CREAT | os.O_WRONLY, dir_fd=fds[0]))
    break
END
python3 p.py; true";
        let ran = run(&[], body);
        assert!(fs::exists("/opt/play/sent").expect("looks"), "the accomplice did its part: {ran:?}");
        assert!(!fs::exists("/opt/canary").expect("looks"), "written from inside");
    });
}

/// A jail's own `/proc` shows the host's processes, and each of them a way to the host's root.
#[test]
fn a_second_proc_is_not_shown() {
    on_host(1, |_| {
        playground();
        fs::create_dir_all("/opt/jail/proc").expect("folder");
        mount(Some("proc"), "/opt/jail/proc", Some("proc"), MsFlags::empty(), None::<&str>).expect("proc");
        let bystander = Bystander::start(&["sleep", "60"]);
        std::thread::sleep(std::time::Duration::from_millis(200));
        let exploit = format!(
            "cat >p.py <<'END'
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.setfsuid({NOBODY}); libc.setfsgid({NOBODY})
print(len(os.listdir('/opt/jail/proc')))
try:
    with open('/opt/jail/proc/{}/root/opt/play/canary', 'w') as f: f.write('out')
except OSError as e: print(e)
END
python3 p.py",
            bystander.0.id()
        );
        let printed = output(&["/etc/x"], &exploit) + &output(&[], &exploit);
        assert!(!fs::exists("/opt/play/canary").expect("looks"), "written from inside: {printed}");
        assert_eq!(printed.lines().filter(|line| *line == "0").count(), 2, "{printed}");
    });
}

/// A pipe in `core_pattern` starts the host's handler, as root on the host, with the memory of whoever crashed;
/// of all limits only 1 says no to it (core(5)).
#[test]
fn a_crash_starts_no_handler_on_the_host() {
    on_host(1, |_| {
        let limits = output(&[], "grep 'core file' /proc/self/limits");
        assert_eq!(limits.split_whitespace().collect::<Vec<_>>()[4..6], ["1", "1"], "{limits}");
    });
}

/// Nothing in `/proc` but what belongs to the script's own processes.
#[test]
fn no_file_of_the_kernel_can_be_written() {
    on_host(1, |_| {
        let tried = output(
            &[],
            "cat >p.py <<'END'
import os, stat
for folder, inner, names in os.walk('/proc'):
    if folder == '/proc': inner[:] = [n for n in inner if not n.isdigit() and n not in ('self', 'thread-self')]
    for name in names:
        path = folder + '/' + name
        info = os.lstat(path)
        if not stat.S_ISREG(info.st_mode): continue
        try: os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK)); print(path)
        except OSError: pass
END
python3 p.py",
        );
        assert_eq!(tried, "");
        // Modes and owners of these are the whole machine's; a later mount shows it.
        let entry = "/proc/execdomains";
        let before = output(&[], &format!("stat -c %a {entry}"));
        output(&[], &format!("chmod 0440 {entry}; true"));
        let after = output(&[], &format!("stat -c %a {entry}"));
        fs::set_permissions(entry, PermissionsExt::from_mode(0o444)).expect("back");
        assert_eq!(after, before);
    });
}

/// The 128 instances of a user are those of the whole host.
#[test]
fn the_hosts_watches_cannot_be_used_up() {
    on_host(1, |_| {
        let made = output(
            &[],
            "python3 -c 'import ctypes; libc = ctypes.CDLL(None); print(sum(libc.inotify_init1(0) >= 0 for _ in range(3)))'",
        );
        assert_eq!(made.trim(), "0");
    });
}

/// A secret on a file system that is mounted twice is covered in both places.
#[test]
fn a_secret_is_covered_wherever_its_file_system_is_mounted() {
    on_host(1, |_| {
        for folder in ["/opt/etc", "/opt/all", "/opt/lib", "/var/lib/agent-state"] {
            fs::create_dir_all(folder).expect("folder");
        }
        fs::write("/var/lib/agent-state/key", "secret").expect("file");
        for (from, to) in [("/etc", "/opt/etc"), ("/", "/opt/all"), ("/var/lib", "/opt/lib")] {
            mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("bind");
        }
        let mut spec = spec(&["/etc/x"]);
        spec.state = vec!["/var/lib/agent-state".into()];
        let body = "cat /etc/shadow /opt/etc/shadow /opt/all/etc/shadow | wc -c; cat /opt/lib/agent-state/key /opt/all/var/lib/agent-state/key";
        let ran = Stage::open(&spec).expect("stage").run(&script(body)).expect("run");
        assert_eq!(ran.script.stdout.head.trim(), "0", "{:?}", ran.script);
    });
}

/// Whoever owns the folder could swap what is written there.
#[test]
fn a_pattern_does_not_lead_into_folders_of_others() {
    on_host(1, |_| {
        fs::create_dir_all("/opt/homes/eve").expect("folder");
        fs::write("/opt/homes/eve/.profile", "old\n").expect("file");
        assert!(open(&["/opt/homes/*/.profile"]).is_ok());
        chown("/opt/homes/eve", Some(NOBODY), None).expect("owner");
        let refused = open(&["/opt/homes/*/.profile"]).expect_err("refused");
        assert!(refused.to_string().contains("others than root may write in /opt/homes/eve"), "{refused}");
    });
}

/// A mount below one that is not shown has no place to be shown on.
#[test]
fn a_mount_below_an_unshown_one_hinders_nobody() {
    on_host(1, |_| {
        fs::create_dir_all("/opt/jail/proc").expect("folder");
        mount(Some("proc"), "/opt/jail/proc", Some("proc"), MsFlags::empty(), None::<&str>).expect("proc");
        let none = None::<&str>;
        mount(Some("x"), "/opt/jail/proc/fs", Some("tmpfs"), MsFlags::empty(), none).expect("tmpfs");
        assert_eq!(output(&[], "ls -A /opt/jail/proc; echo here").trim(), "here");
    });
}
