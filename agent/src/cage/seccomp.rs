//! System calls that a script has no business with. The error numbers matter: `clone3` must say ENOSYS and
//! sockets EAFNOSUPPORT, else Python cannot start threads and useradd and sudo give up.
//!
//! One part of the filter per error number; foreign instruction sets are killed, x32 numbers do not exist.

use std::collections::BTreeMap;

use aright_shared::content::script::Network;
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    sock_filter,
};

use super::{Layer, OrUnavailable, Unavailable};

/// Since Linux 6.15; the same number everywhere.
const OPEN_TREE_ATTR: libc::c_long = 467;

/// Refused with EPERM, whatever the arguments.
const REFUSED: &[libc::c_long] = &[
    // Mounts, in both interfaces, and what leads around them.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_acct,
    OPEN_TREE_ATTR,
    // Watching: the instances of a user are those of the whole host.
    libc::SYS_fanotify_init,
    libc::SYS_inotify_init1,
    // Asynchronous reads: there are only so many for the whole machine.
    libc::SYS_io_setup,
    // Descriptors through a socket: somebody outside could hold the other end.
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    // Namespaces.
    libc::SYS_unshare,
    libc::SYS_setns,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Keyrings are not in any namespace of ours.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The clock.
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_vhangup,
];

#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[libc::c_long] =
    &[libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib, libc::SYS_inotify_init];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[libc::c_long] = &[];

/// Flags of `clone` that make namespaces; `clone3` hides its flags from filters and so does not exist.
const NAMESPACES: [libc::c_int; 7] = [
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Requests of `ioctl` that type into somebody's terminal.
const TYPING: [u64; 2] = [libc::TIOCSTI, libc::TIOCLINUX];

/// The instruction that ends a filter with a verdict.
const RETURN: u16 = 0x06;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Puts the filter in force for this process and all it starts.
pub fn install(network: Network) -> Result<(), Unavailable> {
    let filter = filter(network)?;
    seccompiler::apply_filter(&filter).at(Layer::Seccomp, "loading the filter")
}

fn filter(network: Network) -> Result<BpfProgram, Unavailable> {
    let absent = Rules::from([(libc::SYS_clone3, Vec::new())]);
    let sockets = Rules::from([
        (libc::SYS_socket, undeclared_sockets(network).at(Layer::Seccomp, "building a filter")?),
        (libc::SYS_socketpair, other_than_connected_pairs().at(Layer::Seccomp, "building a filter")?),
    ]);
    Ok(chain([
        without_x32(program(absent, libc::ENOSYS).at(Layer::Seccomp, "building a filter")?),
        program(sockets, libc::EAFNOSUPPORT).at(Layer::Seccomp, "building a filter")?,
        program(refused(network).at(Layer::Seccomp, "building a filter")?, libc::EPERM)
            .at(Layer::Seccomp, "building a filter")?,
    ]))
}

/// One after the other: what the one allows is for the next to judge. The kernel takes as long to load each of several
/// filters as for one.
fn chain<const N: usize>(programs: [BpfProgram; N]) -> BpfProgram {
    const JUMP: u16 = 0x05;
    let mut chain = BpfProgram::new();
    for (number, mut program) in (1..).zip(programs) {
        let after = 0..u32::try_from(program.len()).unwrap_or(u32::MAX);
        for (step, left) in program.iter_mut().zip(after.rev()) {
            if number < N && (step.code, step.k) == (RETURN, libc::SECCOMP_RET_ALLOW) {
                *step = sock_filter { code: JUMP, jt: 0, jf: 0, k: left };
            }
        }
        chain.append(&mut program);
    }
    chain
}

fn program(rules: Rules, errno: libc::c_int) -> Result<BpfProgram, seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let errno = SeccompAction::Errno(errno.unsigned_abs());
    SeccompFilter::new(rules, SeccompAction::Allow, errno, arch)?.try_into()
}

fn refused(network: Network) -> Result<Rules, seccompiler::BackendError> {
    let mut rules: Rules = REFUSED.iter().chain(REFUSED_HERE).map(|number| (*number, Vec::new())).collect();
    if network == Network::None {
        // Descriptors under way hold their files open when nobody is left, and are counted for the whole machine.
        rules.extend([(libc::SYS_sendmsg, Vec::new()), (libc::SYS_sendmmsg, Vec::new())]);
    }
    let flag = |flag: &libc::c_int| {
        let bit = u64::from(flag.unsigned_abs());
        argument(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bit), bit)
    };
    rules.insert(libc::SYS_clone, NAMESPACES.iter().map(flag).collect::<Result<_, _>>()?);
    let typing =
        TYPING.iter().map(|request| argument(1, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, *request));
    rules.insert(libc::SYS_ioctl, typing.collect::<Result<_, _>>()?);
    // Asking for the current one is harmless.
    let asking = 0xffff_ffff;
    let other = condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, asking)?;
    let unusual = condition(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, 0)?;
    rules.insert(libc::SYS_personality, vec![SeccompRule::new(vec![other, unusual])?]);
    Ok(rules)
}

/// Every socket without a network; else all but the usual ones of IPv4 and IPv6. An abstract Unix socket would
/// reach the host, and asking for an unusual protocol (SCTP, DCCP) loads its module.
fn undeclared_sockets(network: Network) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const ANY: libc::c_int = 0;
    match network {
        Network::None => Ok(Vec::new()),
        Network::Host => {
            let usual = [ANY, libc::IPPROTO_TCP, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6];
            let mut rules = other_kinds(&[libc::SOCK_STREAM, libc::SOCK_DGRAM])?;
            rules.push(none_of(0, &[libc::AF_INET, libc::AF_INET6])?);
            rules.push(none_of(2, &usual)?);
            Ok(rules)
        }
    }
}

/// Only Unix pairs that speak to each other and nobody else: a datagram socket can be sent from to any socket
/// of the host that has a path.
fn other_than_connected_pairs() -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    let mut rules = other_kinds(&[libc::SOCK_STREAM, libc::SOCK_SEQPACKET])?;
    rules.push(none_of(0, &[libc::AF_UNIX])?);
    Ok(rules)
}

/// A type of socket that is none of these, whatever its flags.
fn other_kinds(kinds: &[libc::c_int]) -> Result<Vec<SeccompRule>, seccompiler::BackendError> {
    const KIND: i32 = 0xf;
    let masked = || SeccompCmpOp::MaskedEq(u64::from(KIND.unsigned_abs()));
    (0..=KIND)
        .filter(|kind| !kinds.contains(kind))
        .map(|kind| argument(1, SeccompCmpArgLen::Dword, masked(), u64::from(kind.unsigned_abs())))
        .collect()
}

/// An argument that is none of these numbers.
fn none_of(index: u8, numbers: &[libc::c_int]) -> Result<SeccompRule, seccompiler::BackendError> {
    let other = |number: &libc::c_int| {
        condition(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, u64::from(number.unsigned_abs()))
    };
    SeccompRule::new(numbers.iter().map(other).collect::<Result<_, _>>()?)
}

fn argument(
    index: u8,
    width: SeccompCmpArgLen,
    is: SeccompCmpOp,
    value: u64,
) -> Result<SeccompRule, seccompiler::BackendError> {
    SeccompRule::new(vec![condition(index, width, is, value)?])
}

fn condition(
    index: u8,
    width: SeccompCmpArgLen,
    is: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    SeccompCondition::new(index, width, is, value)
}

/// Numbers from 0x40000000 on are the x32 calls of the same kernel, which no rule above names.
fn without_x32(program: BpfProgram) -> BpfProgram {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_GE: u16 = 0x35;
    let gone = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    let guard = [
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_GE, jt: 0, jf: 1, k: 0x4000_0000 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: gone },
    ];
    guard.into_iter().chain(program).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_connected_ones() {
        let pair = u32::try_from(libc::SYS_socketpair).expect("a number");
        let flags = (libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).unsigned_abs().into();
        for (family, kind, expected) in [
            (libc::AF_UNIX, libc::SOCK_STREAM, libc::SECCOMP_RET_ALLOW),
            (libc::AF_UNIX, libc::SOCK_SEQPACKET, libc::SECCOMP_RET_ALLOW),
            (libc::AF_UNIX, libc::SOCK_DGRAM, errno(libc::EAFNOSUPPORT)),
            (libc::AF_UNIX, libc::SOCK_RAW, errno(libc::EAFNOSUPPORT)),
            (libc::AF_TIPC, libc::SOCK_STREAM, errno(libc::EAFNOSUPPORT)),
        ] {
            for upper in [0, 1 << 32, flags] {
                let args = [family.unsigned_abs().into(), u64::from(kind.unsigned_abs()) | upper];
                for network in [Network::None, Network::Host] {
                    assert_eq!(verdict(network, HERE, pair, args), expected, "{family} {kind} {upper:#x}");
                }
            }
        }
    }

    /// What the kernel would say to a call: the filter as it reads it.
    fn verdict<const N: usize>(network: Network, arch: u32, number: u32, args: [u64; N]) -> u32 {
        let arg = |index: u32| args.get(index as usize).copied().unwrap_or(0);
        let field = |offset: u32| match offset {
            0 => number,
            4 => arch,
            16.. if offset.is_multiple_of(8) => arg((offset - 16) / 8) as u32,
            20.. => (arg((offset - 20) / 8) >> 32) as u32,
            _ => 0,
        };
        let filter = filter(network).expect("builds");
        let (mut at, mut value) = (0, 0);
        loop {
            let step = &filter[at];
            let branch = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            at += 1 + match step.code {
                0x20 => (value = field(step.k), 0).1,
                0x54 => (value &= step.k, 0).1,
                0x05 => step.k as usize,
                0x15 => branch(value == step.k),
                0x25 => branch(value > step.k),
                0x35 => branch(value >= step.k),
                0x06 => return step.k,
                other => panic!("instruction {other:#x}"),
            };
        }
    }

    const HERE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };

    fn errno(number: libc::c_int) -> u32 {
        libc::SECCOMP_RET_ERRNO | number.unsigned_abs()
    }

    #[test]
    fn x32_calls_do_not_exist_and_foreign_ones_kill() {
        for number in [0x4000_0000, 0x4000_0000 + 165, 0x4000_0227, 0xffff_ffff] {
            assert_eq!(verdict(Network::None, HERE, number, [0; 2]), errno(libc::ENOSYS), "{number:#x}");
        }
        let i386 = 0x4000_0003;
        assert_eq!(verdict(Network::None, i386, 20, [0; 2]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn threads_and_forks_may_be_made_but_no_namespaces() {
        let clone = u32::try_from(libc::SYS_clone).expect("a number");
        for flags in [17, 0x003d_0f00, 0x4100 | 17] {
            assert_eq!(
                verdict(Network::None, HERE, clone, [flags, 0]),
                libc::SECCOMP_RET_ALLOW,
                "{flags:#x}"
            );
        }
        for flag in NAMESPACES {
            let flags = u64::from(flag.unsigned_abs()) | 17;
            assert_eq!(verdict(Network::None, HERE, clone, [flags, 0]), errno(libc::EPERM), "{flags:#x}");
        }
    }

    #[test]
    fn sockets_are_as_declared_whatever_the_upper_half_says() {
        let socket = u32::try_from(libc::SYS_socket).expect("a number");
        let unix = u64::from(libc::AF_UNIX.unsigned_abs());
        let inet = u64::from(libc::AF_INET.unsigned_abs());
        let [stream, sequenced, raw] = [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_RAW]
            .map(|kind| u64::from(kind.unsigned_abs()));
        let flags = u64::from(libc::SOCK_CLOEXEC.unsigned_abs());
        let [tcp, sctp] = [6, 132];
        assert_eq!(verdict(Network::None, HERE, socket, [inet, stream]), errno(libc::EAFNOSUPPORT));
        for usual in [[inet, stream, 0], [inet, stream | flags, tcp], [inet | 1 << 32, stream, tcp | 1 << 32]]
        {
            assert_eq!(verdict(Network::Host, HERE, socket, usual), libc::SECCOMP_RET_ALLOW, "{usual:x?}");
        }
        for other in [
            [unix, stream, 0],
            [unix | 1 << 32, stream, 0],
            [inet | 1 << 8, stream, 0],
            [inet, sequenced, 0],
            [inet, raw | flags, 0],
            [inet, stream, sctp],
        ] {
            assert_eq!(verdict(Network::Host, HERE, socket, other), errno(libc::EAFNOSUPPORT), "{other:x?}");
        }
    }
}
