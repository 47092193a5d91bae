//! What a script cannot reach. The judge is what it prints about itself, or something outside of it.

use std::fs;

use aright_agent::stage::Stage;
use aright_shared::content::script::Network;

use crate::world::{compare, on_host, output, paths, script, spec};

/// Runs python3 code inside and gives what it printed.
fn python(code: &str) -> String {
    output(&[], &format!("cat >p.py <<'END'\n{code}\nEND\npython3 p.py"))
}

#[test]
fn capabilities_and_privileges_are_exactly_these() {
    on_host(1, |_| {
        let status = output(&[], "cat /proc/self/status");
        for line in [
            "CapInh:\t0000000000000000",
            "CapPrm:\t00000000000000db",
            "CapEff:\t00000000000000db",
            "CapBnd:\t00000000000000db",
            "CapAmb:\t0000000000000000",
            "NoNewPrivs:\t1",
            "Seccomp:\t2",
        ] {
            assert!(status.lines().any(|own| own == line), "{line} is not in\n{status}");
        }
        // A program of another user comes back without even those.
        let other = output(&[], "setpriv --reuid 1 --clear-groups grep CapEff /proc/self/status");
        assert_eq!(other.trim(), "CapEff:\t0000000000000000");
    });
}

#[test]
fn nothing_is_inherited() {
    on_host(1, |_| {
        let _stray = fs::File::open("/etc/passwd").expect("opens");
        let fds = python("import os\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd')))");
        // 3 is the listing's own.
        assert_eq!(fds.trim(), "[0, 1, 2, 3]");
        let environment = output(&[], "env | cut -d= -f1 | sort | xargs");
        assert_eq!(environment.trim(), "LC_ALL PATH PWD");
        assert_eq!(
            output(&[], "umask; ls -A; wc -c </dev/stdin").split_whitespace().collect::<Vec<_>>(),
            ["0022", "0"]
        );
    });
}

#[test]
fn parameters_arrive_as_they_are() {
    on_host(1, |_| {
        let mut run = script("printf %s \"$ARIGHT_SET\"");
        run.params.insert("ARIGHT_SET".into(), "a b'\"$(x)\nc".into());
        let ran = Stage::open(&spec(&[])).expect("stage").run(&run).expect("run");
        assert_eq!(ran.script.stdout.head, "a b'\"$(x)\nc");
    });
}

#[test]
fn the_processes_of_the_host_are_out_of_sight_and_reach() {
    on_host(1, |_| {
        let pids = output(&[], "for p in /proc/[0-9]*; do echo ${p#/proc/}; done");
        // PID 1 and the shell.
        assert_eq!(pids.split_whitespace().count(), 2, "{pids}");
        // Would end the launcher if it were in reach.
        assert_eq!(
            output(&[], "trap '' TERM; kill 0; kill -TERM -1; kill -9 1; kill -STOP 1; echo here").trim(),
            "here"
        );
    });
}

#[test]
fn pid_1_cannot_be_read_or_written() {
    on_host(1, |_| {
        let tried = python(
            "for path, mode in [('mem', 'r+b'), ('mem', 'rb'), ('environ', 'rb'), ('maps', 'rb')]:
    try:
        open('/proc/1/' + path, mode).read(1); print('opened', path)
    except OSError as e: print(path, e.errno)
import os
try: print(os.readlink('/proc/1/fd/0'))
except OSError as e: print('fd', e.errno)
try: print(os.listdir('/proc/1/root/')[:1])
except OSError as e: print('root', e.errno)",
        );
        // The first, asked to write, meets a read-only /proc before it meets PID 1's own refusal.
        let (first, others) = tried.split_once('\n').expect("six lines");
        assert_eq!(first, "mem 30");
        assert!(others.lines().all(|line| line.ends_with(" 13")), "{tried}");
    });
}

#[test]
fn streams_can_be_opened_by_name() {
    on_host(1, |_| {
        let said = output(
            &[],
            "echo one >/dev/stdout; { echo two | tee /dev/stderr >/dev/null; } 2>&1; bash -c 'cat <(echo three)'; cat /dev/stdin </etc/hostname >/dev/null && echo four",
        );
        assert_eq!(said, "one\ntwo\nthree\nfour\n");
    });
}

#[test]
fn kernel_settings_cannot_be_written() {
    on_host(1, |_| {
        let before = fs::read_to_string("/proc/sys/kernel/core_pattern").expect("reads");
        let pids = fs::read_to_string("/proc/sys/kernel/pid_max").expect("reads");
        let tried = output(
            &[],
            "for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/pid_max /proc/sys/vm/swappiness /proc/irq/default_smp_affinity /sys/kernel/mm/ksm/run; do
               { echo 1 >$f; } 2>/dev/null && echo \"wrote $f\"; done
             for f in kcore kmsg keys timer_list sysrq-trigger; do [ -e /proc/$f ] && head -c 1 /proc/$f; done
             cat /proc/sys/net/ipv4/ip_forward >/dev/null && echo read",
        );
        assert_eq!(tried.trim(), "read");
        assert_eq!(fs::read_to_string("/proc/sys/kernel/core_pattern").expect("reads"), before);
        assert_eq!(fs::read_to_string("/proc/sys/kernel/pid_max").expect("reads"), pids);
    });
}

const SOCKETS: &str = "import socket, errno
for name in ['AF_INET', 'AF_INET6', 'AF_UNIX', 'AF_NETLINK', 'AF_PACKET', 'AF_VSOCK', 'AF_ALG', 'AF_BLUETOOTH']:
    try:
        kind = socket.SOCK_RAW if name in ('AF_NETLINK', 'AF_PACKET') else socket.SOCK_SEQPACKET if name == 'AF_ALG' else socket.SOCK_STREAM
        socket.socket(getattr(socket, name), kind); print(name, 'made')
    except OSError as e: print(name, errno.errorcode[e.errno])
a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'";

#[test]
fn there_are_no_sockets_but_pairs() {
    on_host(1, |_| {
        let tried = python(SOCKETS);
        assert_eq!(tried.lines().count(), 8);
        assert!(tried.lines().all(|line| line.ends_with(" EAFNOSUPPORT")), "{tried}");
        assert_eq!(output(&[], "grep -c : /proc/net/dev").trim(), "1", "only a loopback that is down");
        let network = output(&[], "readlink /proc/self/ns/net");
        let ours = fs::read_link("/proc/thread-self/ns/net").expect("reads");
        assert_ne!(network.trim(), ours.to_str().expect("text"));
    });
}

#[test]
fn a_declared_network_is_internet_only() {
    on_host(1, |_| {
        let mut with_network = spec(&[]);
        with_network.network = Network::Host;
        let body = format!("python3 - <<'END'\n{SOCKETS}\nEND");
        let ran = Stage::open(&with_network).expect("stage").run(&script(&body)).expect("run");
        let made: Vec<&str> = ran.script.stdout.head.lines().filter(|line| line.ends_with(" made")).collect();
        assert_eq!(made, ["AF_INET made", "AF_INET6 made"]);
        assert!(!ran.confinement().layers.iter().any(|layer| layer == "network namespace"));
    });
}

#[test]
fn system_calls_that_reach_out_are_refused_with_the_right_errno() {
    on_host(1, |_| {
        let tried = python(
            "import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    ctypes.set_errno(0)
    r = libc.syscall(number, *args)
    print(name, 'done' if r >= 0 else errno.errorcode[ctypes.get_errno()])
call('mount', 165, b'none', b'/mnt', b'tmpfs', 0, 0)
call('umount', 166, b'/tmp', 0)
call('unshare_user', 272, 0x10000000)
call('clone_newns', 56, 0x00020000 | 17, 0, 0, 0, 0)
call('setns', 308, 0, 0)
call('ptrace', 101, 0, 0, 0, 0)
call('bpf', 321, 0, 0, 0)
call('io_uring', 425, 1, 0)
call('keyctl', 250, 0, 0)
call('add_key', 248, b'user', b'x', b'y', 1, -3)
call('clock_settime', 227, 0, 0)
call('reboot', 169, 0, 0, 0, 0)
call('init_module', 175, 0, 0, 0)
call('kexec', 246, 0, 0, 0, 0)
call('open_by_handle', 304, -1, 0, 0)
call('fsopen', 430, b'tmpfs', 0)
call('open_tree', 428, -100, b'/', 0)
call('perf', 298, 0, 0, -1, -1, 0)
call('userfaultfd', 323, 0)
call('vm_writev', 311, 1, 0, 0, 0, 0, 0)
call('tiocsti', 16, 0, 0x5412, b'x')
call('personality', 135, 8)
call('clone3', 435, 0, 0)
call('x32_getpid', 0x40000000 + 39)
call('x32_mount', 0x40000000 + 165, b'none', b'/mnt', b'tmpfs', 0, 0)
call('getpid', 39)",
        );
        for line in tried.lines() {
            let expected = match line.split_once(' ').expect("two words").0 {
                "clone3" | "x32_getpid" | "x32_mount" => "ENOSYS",
                "getpid" => "done",
                _ => "EPERM",
            };
            assert!(line.ends_with(&format!(" {expected}")), "{line}\n{tried}");
        }
        assert_eq!(tried.lines().count(), 26);
    });
}

#[test]
fn devices_are_the_harmless_ones() {
    on_host(1, |_| {
        let listed = output(
            &[],
            "cd /dev; ls | xargs; head -c 2 /dev/urandom | wc -c; echo x >/dev/null; mknod /tmp/d b 254 0 2>/dev/null || echo none; { echo >/dev/new; } 2>/dev/null || echo fixed; echo 1 >/dev/shm/x && cat /dev/shm/x",
        );
        assert_eq!(listed, "fd full null random shm stderr stdin stdout urandom zero\n2\nnone\nfixed\n1\n");
    });
}

#[test]
fn secrets_are_covered_unless_the_script_may_read_them() {
    on_host(1, |_| {
        fs::create_dir_all("/var/lib/aright-agent").expect("folder");
        fs::write("/var/lib/aright-agent/key", "secret").expect("file");
        fs::write("/etc/ssh_test_key", "secret").expect("file");
        let mut covered = spec(&[]);
        covered.state = vec!["/var/lib/aright-agent".into(), "/var/lib/not-there".into()];
        covered.never_read = vec!["/etc/ssh_*_key".into()];
        let body = "wc -c </etc/shadow; ls -A /var/lib/aright-agent; wc -c </etc/ssh_test_key
             { echo x >/etc/shadow; } 2>/dev/null || echo kept; mv /etc/shadow /etc/s 2>/dev/null || echo stays; ln /etc/shadow /etc/s 2>/dev/null || echo apart
             mv /var/lib /var/lib2 && wc -c </etc/ssh_test_key; cat /var/lib2/aright-agent/key 2>/dev/null || echo still";
        let ran = Stage::open(&covered).expect("stage").run(&script(body)).expect("run");
        assert_eq!(
            ran.script.stdout.head.split_whitespace().collect::<Vec<_>>(),
            ["0", "0", "kept", "stays", "apart", "still"],
            "{:?}",
            ran.script
        );
        covered.reads = vec!["/etc/shadow".into()];
        let ran = Stage::open(&covered).expect("stage").run(&script("wc -c </etc/shadow")).expect("run");
        assert_ne!(ran.script.stdout.head.trim(), "0");
    });
}

#[test]
fn the_rest_of_the_host_is_read_only() {
    on_host(1, |_| {
        // Nothing is declared on /: read-only.
        assert_eq!(
            output(&[], "{ echo >/etc/new; } 2>&1 | grep -o 'Read-only file system'").trim(),
            "Read-only file system"
        );
        // Fresh places are writable and no change.
        let compared = compare(
            &["/opt/x"],
            "echo 1 >/tmp/a; echo 1 >/run/a; mktemp; ls -A /run /tmp >&2; [ ! -e /run/systemd/system ]",
        );
        assert_eq!(paths(&compared), [""; 0]);
    });
}

#[test]
fn files_are_fenced_in_once_more_and_can_still_be_moved() {
    on_host(1, |_| {
        let stage = Stage::open(&spec(&["/etc/login.defs"])).expect("stage");
        if let Some(why) = stage.confinement().missing.iter().find(|why| why.starts_with("landlock")) {
            println!("skipped: {why}");
            return;
        }
        assert!(stage.confinement().layers.iter().any(|layer| layer == "landlock"));
        // The device that stands for a deleted file needs no capability: no other layer refuses it here.
        let body = "mknod /tmp/w c 0 0 2>&1 | grep -o 'Permission denied'
             mkdir /etc/a /etc/b /tmp/a /run/b; echo moved >/etc/a/x; mv /etc/a/x /etc/b/y; mv /etc/b /etc/a/b; mv /etc/a/b/y /tmp/a/y
             mv /tmp/a/y /run/b/z; cat /run/b/z";
        let ran = stage.run(&script(body)).expect("run");
        assert_eq!(ran.script.stdout.head, "Permission denied\nmoved\n", "{:?}", ran.script);
    });
}
