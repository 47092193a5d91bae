//! What PID 1 gives up before the script starts, in the order that lets each step still be taken.

use std::path::PathBuf;

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::plan::CagePlan;
use super::{InForce, Layer, OrUnavailable, Unavailable, landlock, seccomp, sys};

/// Enough to write, own and mark files as root does; nothing that reaches beyond files and identities.
pub const KEPT: [Capability; 6] = [
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_FOWNER,
    Capability::CAP_FSETID,
    Capability::CAP_SETGID,
    Capability::CAP_SETUID,
];

/// Irrevocable: limits, capabilities, no new privileges, not dumpable, files, system calls.
pub fn give_up(plan: &CagePlan, writable: &[PathBuf], in_force: &mut InForce) -> Result<(), Unavailable> {
    limit(plan)?;
    in_force.layers.push(Layer::Limits);
    keep_six_capabilities()?;
    in_force.layers.push(Layer::Capabilities);
    prctl::set_no_new_privs().at(Layer::NoNewPrivileges, "prctl")?;
    in_force.layers.push(Layer::NoNewPrivileges);
    // Same uid, same capabilities: else the script could write to our memory through /proc/1/mem.
    prctl::set_dumpable(false).at(Layer::Proc, "making PID 1 undumpable")?;
    match landlock::restrict(writable) {
        Ok(missing) => {
            in_force.layers.push(Layer::Landlock);
            in_force.missing.extend(missing.map(|why| (Layer::Landlock, why)));
        }
        Err(why) => in_force.missing.push((Layer::Landlock, why)),
    }
    seccomp::install(plan.network)?;
    in_force.layers.push(Layer::Seccomp);
    Ok(())
}

fn limit(plan: &CagePlan) -> Result<(), Unavailable> {
    let limits = [
        (Resource::RLIMIT_AS, plan.memory),
        (Resource::RLIMIT_NOFILE, plan.open_files),
        (Resource::RLIMIT_FSIZE, plan.file_size),
        // Not 0: where `core_pattern` is a pipe, only 1 keeps the kernel from starting the host's handler.
        (Resource::RLIMIT_CORE, 1),
        // Of these two the kernel counts what a user has on the whole machine: whoever is at the limit shuts
        // the host's services out.
        (Resource::RLIMIT_SIGPENDING, 1024),
        (Resource::RLIMIT_MSGQUEUE, 0),
    ];
    for (resource, wanted) in limits {
        let (_, hard) = getrlimit(resource).at(Layer::Limits, format!("{resource:?}"))?;
        let value = wanted.min(hard);
        setrlimit(resource, value, value).at(Layer::Limits, format!("{resource:?} = {value}"))?;
    }
    Ok(())
}

fn keep_six_capabilities() -> Result<(), Unavailable> {
    let kept = CapsHashSet::from(KEPT);
    // Up to the kernel's last, not the crate's: what a newer kernel invents must go as well.
    let last =
        std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").at(Layer::Capabilities, "cap_last_cap")?;
    let last: u8 = last.trim().parse().at(Layer::Capabilities, "cap_last_cap")?;
    for number in (0..=last).filter(|number| KEPT.iter().all(|cap| cap.index() != *number)) {
        sys::drop_from_bounding_set(number).at(Layer::Capabilities, "bounding set")?;
    }
    caps::clear(None, CapSet::Ambient).at(Layer::Capabilities, "ambient set")?;
    caps::clear(None, CapSet::Inheritable).at(Layer::Capabilities, "inheritable set")?;
    caps::set(None, CapSet::Effective, &kept).at(Layer::Capabilities, "effective set")?;
    caps::set(None, CapSet::Permitted, &kept).at(Layer::Capabilities, "permitted set")
}
