//! One run of a script: its output drained, its time watched, its whole tree ended.

use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aright_shared::content::script::Interpreter;
use aright_shared::task::{Exit, ScriptResult};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Ran, ScriptRun, Stage};
use crate::cage::channel::{Answer, Ended, Request, RunOrder, Status};
use crate::output::Collected;

/// How long the kernel may take to end a tree before we give up on it.
const END_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("interpreter \"{0}\" is not one of this system's: sh, bash or python3")]
    Interpreter(Interpreter),
    #[error("the script could not be started: {0}")]
    NotStarted(String),
    #[error("the stage could not be made read-only: {0}")]
    NotFrozen(#[from] crate::cage::Unavailable),
    #[error("the process tree did not end within {} s", END_WITHIN.as_secs())]
    Undead,
    #[error("the launcher ended before the script did")]
    LauncherGone,
    #[error("talking to the launcher")]
    Io(#[from] io::Error),
}

/// Ends a run from elsewhere. Clones end the same run.
#[derive(Clone, Debug)]
pub struct Cancel(Arc<(UnixStream, UnixStream)>);

impl Cancel {
    pub(super) fn new() -> io::Result<Self> {
        let pair = UnixStream::pair()?;
        pair.0.set_nonblocking(true)?;
        Ok(Self(Arc::new(pair)))
    }

    /// At once, or as soon as it starts; later it does nothing.
    pub fn cancel(&self) {
        // A full buffer means that it was said before.
        let _ = io::Write::write(&mut &self.0.0, b"x");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Not,
    TimedOut,
    Cancelled,
}

impl Stage {
    /// Runs the script to its end, or to the end of its time. Afterwards no process of it is left.
    pub fn run(self, run: &ScriptRun) -> Result<Ran, RunError> {
        let interpreter = interpreter(&run.interpreter)?;
        let order = RunOrder { interpreter, body: run.body.clone(), environment: run.params.clone() };
        self.held.launcher.channel.send(&Request::Run(order))?;
        let started = Instant::now();
        let mut watch = Watch::new(&self, started + run.timeout)?;
        let ended = watch.until_end()?;
        let wall = started.elapsed();
        let together = self.held.launcher.group.usage();
        let exit = match (watch.asked, ended.status) {
            // It may have ended by itself just before it was asked to.
            (_, Some(Status::Code(code))) => Exit::Code(code),
            (Asked::TimedOut, _) => Exit::TimedOut,
            (_, Some(Status::Signal(signal))) => Exit::Signal(signal),
            (Asked::Not | Asked::Cancelled, None) => match ended.not_started {
                Some(why) => return Err(RunError::NotStarted(why)),
                None => Exit::Signal(nix::libc::SIGKILL),
            },
        };
        let cancelled = watch.asked == Asked::Cancelled;
        let Watch { stdout, stderr, .. } = watch;
        let script = ScriptResult {
            exit,
            stdout: stdout.collected.finish(),
            stderr: stderr.collected.finish(),
            wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
            cpu_ms: together.cpu_ms.unwrap_or(ended.cpu_ms),
            peak_memory_kb: together.peak_memory_kb.unwrap_or(ended.peak_memory_kb),
            oom_kills: together.oom_kills,
        };
        Ok(Ran { held: self.held, script, cancelled })
    }
}

/// Where it is on this system.
pub fn interpreter(named: &Interpreter) -> Result<PathBuf, RunError> {
    match named {
        Interpreter::Sh => Ok("/bin/sh".into()),
        Interpreter::Bash => Ok("/bin/bash".into()),
        Interpreter::Python3 => Ok("/usr/bin/python3".into()),
        Interpreter::Program(path) => Ok(path.into()),
        Interpreter::Cmd | Interpreter::Powershell => Err(RunError::Interpreter(named.clone())),
    }
}

struct Stream {
    from: Option<std::fs::File>,
    collected: Collected,
}

/// Everything that can happen during a run, waited for in one place.
struct Watch<'a> {
    stage: &'a Stage,
    stdout: Stream,
    stderr: Stream,
    asked: Asked,
    /// When to end the run; once it was asked to end, when to give up.
    deadline: Instant,
}

impl<'a> Watch<'a> {
    fn new(stage: &'a Stage, deadline: Instant) -> io::Result<Self> {
        let (stdout, stderr) = (Stream::of(&stage.stdout)?, Stream::of(&stage.stderr)?);
        Ok(Self { stage, stdout, stderr, asked: Asked::Not, deadline })
    }

    fn until_end(&mut self) -> Result<Ended, RunError> {
        loop {
            let [launcher, cancel] = self.wait()?;
            self.stdout.drain()?;
            self.stderr.drain()?;
            if launcher {
                return self.end();
            }
            if cancel && self.asked == Asked::Not {
                self.ask(Asked::Cancelled)?;
            } else if Instant::now() >= self.deadline {
                match self.asked {
                    Asked::Not => self.ask(Asked::TimedOut)?,
                    Asked::TimedOut | Asked::Cancelled => return Err(RunError::Undead),
                }
            }
        }
    }

    fn ask(&mut self, why: Asked) -> io::Result<()> {
        self.asked = why;
        self.deadline = Instant::now() + END_WITHIN;
        self.stage.held.launcher.channel.send(&Request::End)
    }

    /// Every writer is gone by now: what is still in the pipes is the rest.
    fn end(&mut self) -> Result<Ended, RunError> {
        let ended = match self.stage.held.launcher.channel.receive()? {
            Some(Answer::Ended(ended)) => ended,
            Some(Answer::Unavailable(unavailable)) => return Err(unavailable.into()),
            Some(Answer::Opened(_)) | None => return Err(RunError::LauncherGone),
        };
        while self.stdout.drain()? || self.stderr.drain()? {}
        Ok(ended)
    }

    /// Until something can be read or the deadline is there: whether launcher and cancel have spoken.
    fn wait(&self) -> io::Result<[bool; 2]> {
        let channel = self.stage.held.launcher.channel.as_fd();
        // Once it was asked to end, its cause no longer matters.
        let cancel = (self.asked == Asked::Not).then(|| self.stage.cancel.0.1.as_fd());
        let streams = [&self.stdout, &self.stderr].into_iter().filter_map(|stream| stream.from.as_ref());
        let fds = std::iter::once(channel).chain(cancel).chain(streams.map(AsFd::as_fd));
        let mut fds: Vec<PollFd<'_>> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let left = self.deadline.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok([false; 2]),
            Err(e) => return Err(e.into()),
        }
        let ready = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
        Ok([ready(0), cancel.is_some() && ready(1)])
    }
}

impl Stream {
    fn of(fd: &OwnedFd) -> io::Result<Self> {
        let from = std::fs::File::from(fd.try_clone()?);
        let flags = OFlag::from_bits_truncate(fcntl(&from, FcntlArg::F_GETFL)?);
        fcntl(&from, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self { from: Some(from), collected: Collected::default() })
    }

    /// Takes one block, so that endless output on one stream starves nothing; whether there was any.
    fn drain(&mut self) -> io::Result<bool> {
        let Some(from) = &mut self.from else { return Ok(false) };
        let mut block = [0; 64 << 10];
        match from.read(&mut block) {
            Ok(0) => {
                self.from = None;
                Ok(false)
            }
            Ok(n) => {
                self.collected.push(&block[..n]);
                Ok(true)
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(false),
            Err(e) => Err(e),
        }
    }
}
