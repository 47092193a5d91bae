//! A copy-on-write view of the host's files, and what a script changed on it.
//!
//! The phases are types, each made from the one before: a [`Stage`] stands and nothing ran; after [`Stage::run`]
//! every process is gone and nothing can change any more ([`Ran`]); [`Ran::compare`] says what differs from the
//! host ([`Compared`]), whose root the controls are judged on and whose files a commit reads. Dropping any of
//! them takes the stage away; the host was never touched.

mod compare;
mod declared;
pub mod host;
mod refusals;
mod run;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use aright_shared::content::script::{Interpreter, Limits, Network, Touch};
use aright_shared::outcome::Refusal;
use aright_shared::task::{Confinement, Overreach, ScriptResult};

pub use crate::change::{Change, ChangeSet};
pub use declared::{Declared, Unresolved};
pub use refusals::Obstacle;
pub use run::{Cancel, RunError, interpreter};

use crate::cage::cgroup::Group;
use crate::cage::channel::{Answer, By, Channel, Opened, Request, WritableFolder};
use crate::cage::plan::{CagePlan, Plan, StagePlan, User, Wanted};
use crate::cage::{InForce, Unavailable, launcher, network};
use crate::meta::{self, Meta};
use host::Host;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// What a stage follows from: the script's declarations and the agent's own settings.
#[derive(Clone, Debug)]
pub struct StageSpec {
    pub touches: Vec<Touch>,
    /// Never-read paths that the approved script needs.
    pub reads: Vec<String>,
    pub network: Network,
    pub limits: Limits,
    /// Further never-read patterns, beside [`host::NEVER_READ`].
    pub never_read: Vec<String>,
    /// The agent's own files: always covered.
    pub state: Vec<PathBuf>,
    /// The agent's program, which is its launcher too.
    pub launcher: PathBuf,
}

impl StageSpec {
    /// For these files, with everything else as it is by default.
    pub fn new(touches: Vec<Touch>) -> Self {
        Self {
            touches,
            reads: Vec::new(),
            network: Network::None,
            limits: Limits::default(),
            never_read: Vec::new(),
            state: Vec::new(),
            launcher: "/proc/self/exe".into(),
        }
    }
}

/// One script, once.
#[derive(Clone, Debug)]
pub struct ScriptRun {
    pub interpreter: Interpreter,
    /// The verified bytes.
    pub body: String,
    /// What the script finds in its environment, beside a fixed PATH.
    pub params: BTreeMap<String, String>,
    pub timeout: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// Never empty; the first counts.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Obstacles(Vec<Obstacle>),
    #[error(
        "what the script writes may take up to {needed_mb} MB of memory, {free_mb} MB are free; next: free some, or \
         give the script a smaller limits.stage_mb"
    )]
    NoMemory { needed_mb: u64, free_mb: u64 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("the launcher: {doing}")]
    Launcher {
        doing: &'static str,
        #[source]
        source: io::Error,
    },
}

impl StageError {
    /// The reason by which the task is refused.
    pub fn refusal(&self) -> Refusal {
        match self {
            Self::Unresolved(_) => Refusal::ReadOnly,
            Self::Obstacles(all) => all.first().map_or(Refusal::ReadOnly, |obstacle| obstacle.refusal),
            Self::NoMemory { .. } => Refusal::NoSpace,
            Self::Unavailable(_) | Self::Launcher { .. } => Refusal::ConfinementUnavailable,
        }
    }
}

/// What would keep these declared files from being committed; empty when nothing does.
pub fn refusals(touches: &[Touch]) -> Result<Vec<Obstacle>, StageError> {
    obstacles(&read_host()?, &Declared::resolve(touches)?)
}

fn obstacles(host: &Host, declared: &Declared) -> Result<Vec<Obstacle>, StageError> {
    let failed = |source| StageError::Launcher { doing: "looking at the declared files", source };
    refusals::refusals(host, declared).map_err(failed)
}

fn read_host() -> Result<Host, StageError> {
    Host::read().map_err(|source| StageError::Launcher { doing: "reading the mounts of the host", source })
}

/// The launcher's process: gone when dropped, and everything in its namespaces with it.
#[derive(Debug)]
struct Launcher {
    channel: Channel,
    child: Child,
    /// Dropped, and so removed, when the process has been waited for.
    group: Group,
}

/// A view that stands; nothing ran in it yet.
#[derive(Debug)]
pub struct Stage {
    held: Held,
    stdout: OwnedFd,
    stderr: OwnedFd,
    cancel: Cancel,
}

/// What all phases hold.
#[derive(Debug)]
struct Held {
    launcher: Launcher,
    root: OwnedFd,
    writable: Vec<(WritableFolder, OwnedFd)>,
    in_force: InForce,
    declared: Declared,
    /// The declared files that exist, as they were when the stage was opened.
    opened_with: BTreeMap<PathBuf, Meta>,
}

/// Every process is gone and nothing on the stage can change any more.
#[derive(Debug)]
pub struct Ran {
    held: Held,
    pub script: ScriptResult,
    /// By a [`Cancel`], not by its time limit.
    pub cancelled: bool,
}

/// What the script changed is known.
#[derive(Debug)]
pub struct Compared {
    held: Held,
    pub changes: ChangeSet,
    /// What it must not have done; empty when the change may go on.
    pub overreach: Vec<Overreach>,
    /// Changed files that somebody else changed on the host since the stage was opened: what the script made
    /// rests on content that is gone.
    pub conflicts: Vec<PathBuf>,
}

impl Stage {
    /// Builds the stage, with everything ready for the script.
    pub fn open(spec: &StageSpec) -> Result<Self, StageError> {
        let declared = Declared::resolve(&spec.touches)?;
        let host = read_host()?;
        let obstacles = obstacles(&host, &declared)?;
        if !obstacles.is_empty() {
            return Err(StageError::Obstacles(obstacles));
        }
        // It gets ready while the rest is read.
        let mut launcher = Launcher::spawn(&spec.launcher)?;
        let user = User::of_this_process();
        let opened_with = as_they_are(&declared, user)?;
        let mut plan = plan(spec, &host, &declared, user)?;
        has_memory(&plan.stage)?;
        launcher.group = group(&plan);
        plan.group = launcher.group.membership();
        let (mut opened, fds) = launcher.open(plan)?;
        opened.in_force.missing.extend_from_slice(launcher.group.missing());
        let broken =
            || launcher_error("an answer without its descriptors", io::ErrorKind::InvalidData.into());
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(broken);
        let (root, stdout, stderr) = (next()?, next()?, next()?);
        let mut writable = Vec::with_capacity(opened.writable.len());
        for folder in opened.writable {
            writable.push((folder, next()?));
        }
        let held = Held { launcher, root, writable, in_force: opened.in_force, declared, opened_with };
        let cancel = Cancel::new().map_err(|e| launcher_error("making a cancel handle", e))?;
        Ok(Self { held, stdout, stderr, cancel })
    }

    /// Ends the run from another thread, now or as soon as it starts.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    pub fn confinement(&self) -> Confinement {
        self.held.confinement()
    }
}

impl Ran {
    pub fn confinement(&self) -> Confinement {
        self.held.confinement()
    }

    /// Compares what was written with the host as it is now.
    pub fn compare(self) -> io::Result<Compared> {
        let Held { root, writable, declared, opened_with, .. } = &self.held;
        let found = compare::compare(root.as_fd(), writable, declared)?;
        let conflicts = found.changes.changes.iter().filter(|change| declared.names(&change.path));
        let conflicts = conflicts.filter(|change| opened_with.get(&change.path) != change.before.as_ref());
        let mut conflicts: Vec<PathBuf> = conflicts.map(|change| change.path.clone()).collect();
        conflicts.extend(found.conflicts);
        conflicts.sort();
        conflicts.dedup();
        Ok(Compared { held: self.held, changes: found.changes, overreach: found.overreach, conflicts })
    }
}

impl Compared {
    pub fn confinement(&self) -> Confinement {
        self.held.confinement()
    }

    /// The root of the frozen view: controls are judged on it.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.held.root.as_fd()
    }

    /// The content of a changed regular file; neither links nor anything else are opened.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let node = self.node(path)?.ok_or(io::ErrorKind::NotFound)?;
        match nix::sys::stat::fstat(&node)?.st_mode & nix::libc::S_IFMT {
            nix::libc::S_IFREG => meta::reopen(&node),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is no regular file", path.display()),
            )),
        }
    }

    /// From the copy where there is one: a cover may lie over it in the merged view.
    fn node(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        let copies = self.held.writable.iter().filter(|(folder, _)| folder.by == By::Copy);
        let inside = copies.filter_map(|(folder, fd)| Some((fd, path.strip_prefix(&folder.at).ok()?))).next();
        match inside {
            Some((fd, rest)) => compare::beneath(fd.as_fd(), rest),
            None => compare::beneath(self.root(), path),
        }
    }
}

impl Held {
    fn confinement(&self) -> Confinement {
        let copies = self.writable.iter().any(|(folder, _)| folder.by == By::Copy);
        Confinement {
            stage: if copies { "copies" } else { "overlay" }.to_owned(),
            layers: self.in_force.layers.iter().map(ToString::to_string).collect(),
            missing: self.in_force.missing.iter().map(|(layer, why)| format!("{layer}: {why}")).collect(),
        }
    }
}

/// What exists of what is declared, read once before the script may see it.
fn as_they_are(declared: &Declared, user: Option<User>) -> Result<BTreeMap<PathBuf, Meta>, StageError> {
    let failed = |e| launcher_error("reading the declared files", e);
    let mut all = BTreeMap::new();
    for path in declared.existing().map_err(failed)? {
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match open(&path, flags, Mode::empty()).map_err(io::Error::from).and_then(|fd| Meta::of(&fd)) {
            Ok(meta) => drop(all.insert(path, meta)),
            // Not in a user's copy either.
            Err(e) if user.is_some() && e.kind() == io::ErrorKind::PermissionDenied => {}
            Err(e) => {
                let why = format!("cannot be read: {e}");
                return Err(StageError::Obstacles(vec![Obstacle { refusal: Refusal::ReadOnly, path, why }]));
            }
        }
    }
    Ok(all)
}

fn plan(spec: &StageSpec, host: &Host, declared: &Declared, user: Option<User>) -> Result<Plan, StageError> {
    let covers = host::covers(&spec.never_read, &spec.state, &spec.reads)
        .map_err(|e| launcher_error("looking for what must be covered", e))?;
    let places = declared.places().map_err(|e| launcher_error("looking at the declared files", e))?;
    let stage = StagePlan::new(Wanted {
        mounts: &host.mounts,
        replaced: &host.replaced,
        run_folders: host.run_folders.clone(),
        writable: &places,
        covers,
        limits: &spec.limits,
        as_user: user.is_some(),
    });
    Ok(Plan { user, stage, cage: CagePlan::new(spec.network, &spec.limits), group: None })
}

/// The stage is a tmpfs: a full one must not take the memory that the host lives on.
fn has_memory(stage: &StagePlan) -> Result<(), StageError> {
    match host::free_memory() {
        Some(free) if free < stage.size => {
            Err(StageError::NoMemory { needed_mb: stage.size >> 20, free_mb: free >> 20 })
        }
        _ => Ok(()),
    }
}

fn group(plan: &Plan) -> Group {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Group::new(plan.cage.bounds(&plan.stage, processors))
}

fn launcher_error(doing: &'static str, source: io::Error) -> StageError {
    StageError::Launcher { doing, source }
}

impl Launcher {
    /// vfork and exec, at a cost that does not grow with the agent. It inherits one end of the channel only.
    fn spawn(program: &Path) -> Result<Self, StageError> {
        let failed = |e| launcher_error("starting it", e);
        let (ours, theirs) = Channel::pair().map_err(failed)?;
        let child = Command::new(program)
            .arg(launcher::ARGUMENT)
            .env_clear()
            .stdin(Stdio::from(theirs.into_fd()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        Ok(Self { channel: ours, child, group: Group::default() })
    }

    fn open(&self, plan: Plan) -> Result<(Opened, Vec<OwnedFd>), StageError> {
        let failed = |e| launcher_error("building the stage", e);
        // Where there is none to share the launcher makes one, and says what keeps it from that.
        let shared = (plan.cage.network == Network::None && plan.user.is_none()).then(network::nothing);
        let networks: Vec<_> = shared.into_iter().flatten().map(AsFd::as_fd).collect();
        self.channel.send_with(&Request::Open(plan), &networks).map_err(failed)?;
        match self.channel.receive_with::<Answer>().map_err(failed)? {
            Some((Answer::Opened(opened), fds)) => Ok((opened, fds)),
            Some((Answer::Unavailable(unavailable), _)) => Err(unavailable.into()),
            Some((Answer::Ended(_), _)) | None => Err(failed(io::ErrorKind::UnexpectedEof.into())),
        }
    }
}

impl Drop for Launcher {
    fn drop(&mut self) {
        // PID 1 has asked for its own death at the launcher's, and takes everything with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
