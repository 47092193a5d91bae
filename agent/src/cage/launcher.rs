//! The launcher: builds the stage, starts PID 1 in it, and holds it until the agent closes the channel.
//!
//! Nothing but its first descriptor comes from the agent, and no script can see it: it stays outside the PID
//! namespace. When it ends, PID 1 is killed with everything below it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use aright_shared::content::script::Network;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::sys::time::TimeValLike;
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, dup2_stdin, pipe2, setsid};

use super::cgroup::Joining;
use super::channel::{Answer, Channel, Ended, Opened, Request, RunOrder, Word};
use super::init::{self, Cage, Streams};
use super::mounts::{self, Built};
use super::plan::{Plan, SCRIPT_FILE, User};
use super::{InForce, Layer, OrUnavailable, Unavailable, sys};

/// The hidden first argument by which the agent's program becomes its own launcher.
pub const ARGUMENT: &str = "__launch";

/// The whole life of the launcher. Speaks on descriptor 0.
pub fn main() -> ! {
    std::process::exit(match run() {
        Ok(()) => 0,
        Err(_) => 1,
    })
}

fn run() -> io::Result<()> {
    sys::close_all_but_standard()?;
    let agent = Channel::of(io::stdin().as_fd().try_clone_to_owned()?);
    dup2_stdin(File::open("/dev/null")?)?;
    // Signals from the agent's terminal are not for us; that it is gone shows on the channel.
    setsid()?;
    // What it makes has the mode it says; PID 1 sets the script's.
    umask(Mode::empty());
    let Some((Request::Open(plan), networks)) = agent.receive_with()? else { return Ok(()) };
    let mut in_force = InForce::default();
    let group = Joining::open(plan.group.clone());
    let built = match separate(&plan, networks.first(), &mut in_force).and_then(|()| mounts::build(&plan)) {
        Ok(built) => built,
        Err(unavailable) => return agent.send(&Answer::Unavailable(unavailable)),
    };
    in_force.layers.push(Layer::Stage);
    Launched::fork(&plan, agent, built, group, in_force)?.serve()
}

/// A stage with PID 1 waiting in it.
struct Launched {
    agent: Channel,
    built: Built,
    group: Joining,
    init: Pid,
    talk: Channel,
}

impl Launched {
    /// Returns in the launcher only; the child becomes PID 1.
    fn fork(
        plan: &Plan,
        agent: Channel,
        built: Built,
        mut group: Joining,
        mut in_force: InForce,
    ) -> io::Result<Self> {
        let (talk, theirs) = Channel::pair()?;
        let (stdout, stdout_end) = pipe2(OFlag::O_CLOEXEC)?;
        let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC)?;
        match group.fork()? {
            ForkResult::Child => {
                // Only its own ends stay open: that it notices the launcher's death depends on it.
                let cage = Cage { plan: &plan.cage, writable: built.writable_folders() };
                drop((agent, built, talk, stdout, stderr));
                group.enter(&mut in_force);
                let streams = Streams { stdout: stdout_end, stderr: stderr_end };
                init::main(&cage, &theirs, streams, in_force)
            }
            ForkResult::Parent { child } => {
                drop((theirs, stdout_end, stderr_end));
                let launched = Self { agent, built, group, init: child, talk };
                launched.tell(&stdout, &stderr)?;
                Ok(launched)
            }
        }
    }

    /// When PID 1 is ready, so is the stage.
    fn tell(&self, stdout: &OwnedFd, stderr: &OwnedFd) -> io::Result<()> {
        let in_force = match self.talk.receive()? {
            Some(Word::Ready(mut in_force)) => {
                self.group.report(&mut in_force);
                in_force
            }
            Some(Word::Unavailable(unavailable)) => {
                return self.agent.send(&Answer::Unavailable(unavailable));
            }
            Some(Word::Ended(_) | Word::NotStarted(_)) | None => {
                let why = "PID 1 ended at its start".to_owned();
                return self
                    .agent
                    .send(&Answer::Unavailable(Unavailable { layer: Layer::PidNamespace, why }));
            }
        };
        let writable = self.built.writable.iter().map(|(folder, _)| folder.clone()).collect();
        let mut fds = vec![self.built.root.as_fd(), stdout.as_fd(), stderr.as_fd()];
        fds.extend(self.built.writable.iter().map(|(_, fd)| fd.as_fd()));
        self.agent.send_with(&Answer::Opened(Opened { writable, in_force }), &fds)
    }

    /// Until the agent closes the channel, or dies.
    fn serve(self) -> io::Result<()> {
        let mut ended = false;
        loop {
            let [from_agent, from_init] = readable([self.agent.as_fd(), self.talk.as_fd()], !ended)?;
            if from_agent {
                match self.agent.receive()? {
                    Some(Request::Run(order)) => self.run(&order)?,
                    Some(Request::End) if !ended => {
                        kill(self.init, Signal::SIGKILL)?;
                        self.group.kill();
                    }
                    Some(Request::End) => {}
                    Some(Request::Open(_)) | None => return Ok(()),
                }
            } else if from_init {
                let answer = self.end()?;
                self.agent.send(&answer)?;
                ended = true;
            }
        }
    }

    fn run(&self, order: &RunOrder) -> io::Result<()> {
        let script = fs::OpenOptions::new().write(true).create_new(true).mode(0o500).open(SCRIPT_FILE);
        script?.write_all(order.body.as_bytes())?;
        let without_body = RunOrder {
            interpreter: order.interpreter.clone(),
            body: String::new(),
            environment: order.environment.clone(),
        };
        match self.talk.send(&Request::Run(without_body)) {
            // It was ended in between: its silence is noticed next.
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// PID 1 has spoken or is gone: waits until nothing of the tree is left, then freezes the stage.
    fn end(&self) -> io::Result<Answer> {
        let (status, not_started) = match self.talk.receive() {
            Ok(Some(Word::Ended(status))) => (Some(status), None),
            Ok(Some(Word::NotStarted(why))) => (None, Some(why)),
            Ok(Some(Word::Unavailable(why))) => (None, Some(why.to_string())),
            Ok(Some(Word::Ready(_)) | None) | Err(_) => (None, None),
        };
        // The kernel lets PID 1 be waited for only when everything below it is gone.
        while waitpid(self.init, None) == Err(Errno::EINTR) {}
        if let Err(unavailable) = self.built.freeze() {
            return Ok(Answer::Unavailable(unavailable));
        }
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
        let cpu = usage.user_time().num_milliseconds() + usage.system_time().num_milliseconds();
        Ok(Answer::Ended(Ended {
            status,
            not_started,
            cpu_ms: cpu.unsigned_abs(),
            peak_memory_kb: usage.max_rss().unsigned_abs(),
        }))
    }
}

/// One namespace after the other, so that a missing one has a name.
fn separate(plan: &Plan, network: Option<&OwnedFd>, in_force: &mut InForce) -> Result<(), Unavailable> {
    if let Some(user) = plan.user {
        become_root_of_ones_own(user)?;
        in_force.layers.push(Layer::UserNamespace);
    }
    let wanted = [
        (Layer::MountNamespace, CloneFlags::CLONE_NEWNS),
        (Layer::IpcNamespace, CloneFlags::CLONE_NEWIPC),
        (Layer::UtsNamespace, CloneFlags::CLONE_NEWUTS),
        // For children only: the launcher itself stays outside.
        (Layer::PidNamespace, CloneFlags::CLONE_NEWPID),
    ];
    for (layer, flag) in wanted {
        unshare(flag).at(layer, "unshare")?;
        in_force.layers.push(layer);
    }
    if plan.cage.network == Network::None {
        match network {
            Some(nothing) => setns(nothing, CloneFlags::CLONE_NEWNET).at(Layer::NetworkNamespace, "setns")?,
            None => unshare(CloneFlags::CLONE_NEWNET).at(Layer::NetworkNamespace, "unshare")?,
        }
        in_force.layers.push(Layer::NetworkNamespace);
    }
    Ok(())
}

/// One id is mapped, the user's own (user_namespaces(7)); groups cannot be dropped there.
fn become_root_of_ones_own(user: User) -> Result<(), Unavailable> {
    unshare(CloneFlags::CLONE_NEWUSER).at(
        Layer::UserNamespace,
        "this system lets no ordinary user have one (user.max_user_namespaces, AppArmor): ask as root; unshare",
    )?;
    let maps = [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("0 {} 1", user.uid)),
        ("gid_map", format!("0 {} 1", user.gid)),
    ];
    for (name, map) in maps {
        fs::write(format!("/proc/self/{name}"), map).at(Layer::UserNamespace, name)?;
    }
    Ok(())
}

/// Waits until one of two can be read (or is closed); the second only if `both`.
fn readable(fds: [BorrowedFd<'_>; 2], both: bool) -> io::Result<[bool; 2]> {
    let mut wanted: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    if !both {
        wanted.pop();
    }
    while let Err(e) = poll(&mut wanted, PollTimeout::NONE) {
        if e != Errno::EINTR {
            return Err(e.into());
        }
    }
    let ready = |index: usize| wanted.get(index).and_then(PollFd::any).unwrap_or(false);
    Ok([ready(0), ready(1)])
}
