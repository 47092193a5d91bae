//! The stage as a tree of mounts, built by the launcher in its own mount namespace and entered.

use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root};

use super::channel::{By, WritableFolder};
use super::plan::{DEVICES, Folder, MountStep, Plan, StagePlan, TASK_FOLDER, User, View, WORK_FOLDER};
use super::{Layer, OrUnavailable, Unavailable, sys};
use crate::meta::{self, Meta};

mod copy;

pub use copy::COPY_OF;

/// A built stage, seen from its launcher, which is inside.
pub struct Built {
    pub root: OwnedFd,
    pub writable: Vec<(WritableFolder, OwnedFd)>,
    /// Mounts to be made read-only when the script is gone.
    frozen: Vec<(PathBuf, MsFlags)>,
}

/// The launcher's tmpfs, mounted where the host's own view does not matter.
struct Scratch {
    at: PathBuf,
    user: Option<User>,
}

const ON_ITSELF: MsFlags = MsFlags::MS_BIND;

/// Builds the stage and makes it the launcher's root; the old one is gone afterwards.
pub fn build(plan: &Plan) -> Result<Built, Unavailable> {
    let stage = &plan.stage;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .at(Layer::MountNamespace, "making / private; the root must be a mount point")?;
    let scratch = Scratch::new(stage, plan.user)?;
    let mut built = Building { scratch: &scratch, user: plan.user, writable: Vec::new(), frozen: Vec::new() };
    for step in &stage.mounts {
        built.show(step)?;
    }
    let Building { writable, frozen, .. } = built;
    scratch.replace(stage)?;
    scratch.cover(stage)?;
    enter(&scratch.root())?;
    let root = open("/", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
    Ok(Built { root: root.at(Layer::Stage, "opening its root")?, writable, frozen })
}

impl Built {
    pub fn writable_folders(&self) -> Vec<PathBuf> {
        self.writable.iter().map(|(folder, _)| folder.at.clone()).collect()
    }

    /// Nothing on the stage can change any more.
    pub fn freeze(&self) -> Result<(), Unavailable> {
        for (path, flags) in &self.frozen {
            mount(None::<&str>, path, None::<&str>, *flags, None::<&str>)
                .at(Layer::Stage, format!("freezing {}", path.display()))?;
        }
        Ok(())
    }
}

fn enter(root: &Path) -> Result<(), Unavailable> {
    chdir(root).at(Layer::MountNamespace, "chdir")?;
    // Both in one place: no folder for the old root has to be made on the stage.
    pivot_root(".", ".").at(Layer::MountNamespace, "pivot_root; the root must be a mount point")?;
    umount2(".", MntFlags::MNT_DETACH).at(Layer::MountNamespace, "leaving the old root")?;
    chdir("/").at(Layer::MountNamespace, "chdir")
}

impl Scratch {
    fn new(stage: &StagePlan, user: Option<User>) -> Result<Self, Unavailable> {
        let options = format!("mode=0700,size={},nr_inodes={}", stage.size, stage.inodes);
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("aright"), &stage.scratch, Some("tmpfs"), flags, Some(options.as_str()))
            .at(Layer::Stage, format!("a tmpfs on {}", stage.scratch.display()))?;
        let scratch = Self { at: stage.scratch.clone(), user };
        scratch.folder("root", 0o755)?;
        scratch.folder("void", 0o555)?;
        fs::write(scratch.at.join("empty"), "").at(Layer::Stage, "scratch")?;
        for cover in ["void", "empty"] {
            // Bound from here later, a cover is read-only at once.
            let path = scratch.at.join(cover);
            bind(&path, &path, ON_ITSELF)?;
            bind(&path, &path, read_only(&[MsFlags::MS_NOEXEC]))?;
        }
        Ok(scratch)
    }

    fn root(&self) -> PathBuf {
        self.at.join("root")
    }

    /// Where a path of the host lies while the stage is being built. The path has no links.
    fn staged(&self, path: &Path) -> PathBuf {
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    fn folder(&self, name: &str, mode: u32) -> Result<PathBuf, Unavailable> {
        let path = self.at.join(name);
        DirBuilder::new().mode(mode).create(&path).at(Layer::Stage, path.display())?;
        Ok(path)
    }

    /// Fresh `/tmp`, `/run` and `/dev`; `/proc` is mounted by PID 1, `/sys` was bound with the mounts.
    fn replace(&self, stage: &StagePlan) -> Result<(), Unavailable> {
        for place in &stage.replaced {
            let target = self.staged(place);
            match place.file_name().and_then(|name| name.to_str()) {
                Some("tmp") => bind(&self.folder("tmp", 0o1777)?, &target, ON_ITSELF)?,
                Some("run") => bind(&self.run(&stage.run_folders)?, &target, ON_ITSELF)?,
                Some("dev") => self.devices(&target)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn run(&self, folders: &[Folder]) -> Result<PathBuf, Unavailable> {
        let run = self.folder("run", 0o755)?;
        for folder in folders {
            let path = self.folder(&format!("run/{}", folder.name), folder.mode)?;
            // chown would take setgid away, and mkdir does not give it.
            if self.user.is_none() && (folder.mode & 0o6000 != 0 || (folder.uid, folder.gid) != (0, 0)) {
                chown(&path, Some(folder.uid), Some(folder.gid))
                    .and_then(|()| fs::set_permissions(&path, PermissionsExt::from_mode(folder.mode)))
                    .at(Layer::Stage, path.display())?;
            }
        }
        for own in [TASK_FOLDER, WORK_FOLDER] {
            self.folder(own.trim_start_matches('/'), 0o755)?;
        }
        Ok(run)
    }

    /// A tmpfs of its own, since the scratch one holds no devices.
    fn devices(&self, target: &Path) -> Result<(), Unavailable> {
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        let options = Some("mode=0755,size=64k,nr_inodes=32");
        mount(Some("aright"), target, Some("tmpfs"), flags, options).at(Layer::Stage, "a tmpfs on /dev")?;
        for (name, major, minor) in DEVICES {
            let path = target.join(name);
            if self.user.is_some() {
                // Nobody but root makes devices; the host's own serve as well.
                fs::File::create_new(&path).at(Layer::Stage, name)?;
                bind(&Path::new("/dev").join(name), &path, ON_ITSELF)?;
                sys::make_device_read_only(&path).at(Layer::Stage, name)?;
                continue;
            }
            let mode = Mode::from_bits_truncate(0o666);
            mknod(&path, SFlag::S_IFCHR, mode, makedev(major, minor)).at(Layer::Stage, name)?;
        }
        let links = [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")];
        for (name, number) in links {
            std::os::unix::fs::symlink(format!("/proc/self/fd{number}"), target.join(name))
                .at(Layer::Stage, name)?;
        }
        let shm = target.join("shm");
        fs::create_dir(&shm).at(Layer::Stage, "/dev/shm")?;
        bind(&self.folder("shm", 0o1777)?, &shm, ON_ITSELF)?;
        bind(target, target, read_only(&[MsFlags::MS_NOEXEC]) & !MsFlags::MS_NODEV)
    }

    fn cover(&self, stage: &StagePlan) -> Result<(), Unavailable> {
        for cover in &stage.covers {
            let with = self.at.join(if cover.folder { "void" } else { "empty" });
            let over = self.staged(&cover.path);
            // What a user may not reach is not there, or reached by nobody, in a copy that they made.
            if self.user.is_none() || fs::symlink_metadata(&over).is_ok() {
                bind(&with, &over, ON_ITSELF)?;
            }
        }
        Ok(())
    }
}

struct Building<'a> {
    scratch: &'a Scratch,
    user: Option<User>,
    writable: Vec<(WritableFolder, OwnedFd)>,
    frozen: Vec<(PathBuf, MsFlags)>,
}

impl Building<'_> {
    fn show(&mut self, step: &MountStep) -> Result<(), Unavailable> {
        match &step.view {
            View::ReadOnly => self.read_only(step),
            View::Tree { copies } => {
                self.tree(step)?;
                copies.iter().try_for_each(|folder| self.copy(step, folder))
            }
            View::Writable { copies } => match self.overlay(step) {
                Ok(()) => Ok(()),
                // Too deep a stack of overlays, a file system that cannot be a lower one.
                Err(why) => self.copies(step, copies).map_err(|e| Unavailable {
                    why: format!("{} as private copies: {}; as an overlay: {why}", step.at.display(), e.why),
                    ..e
                }),
            },
        }
    }

    /// An overlay too, where that is possible, with nothing to write to: what is opened through it is not the
    /// host's own. A bind mount lets a script write to and read from the host's named pipes, read-only or not,
    /// and take the locks that its services wait for.
    fn read_only(&self, step: &MountStep) -> Result<(), Unavailable> {
        match fs::metadata(&step.at).map(|meta| meta.file_type()) {
            Ok(kind) if kind.is_dir() && !step.at.starts_with("/sys") => {
                self.lower_only(step).or_else(|_| self.bind_read_only(step))
            }
            // A pipe or a socket that was mounted by itself: what lies below is shown.
            Ok(kind) if !kind.is_dir() && !kind.is_file() => Ok(()),
            // Also where nobody but its user may look (FUSE).
            Ok(_) | Err(_) => self.bind_read_only(step),
        }
    }

    fn lower_only(&self, step: &MountStep) -> nix::Result<()> {
        let lower = open(&step.at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        // The kernel wants two.
        let void = self.scratch.at.join("void");
        let layers = format!("lowerdir=/proc/self/fd/{}:{}", lower.as_raw_fd(), void.display());
        let flags = step.flags() | MsFlags::MS_RDONLY;
        mount(Some("aright"), &self.scratch.staged(&step.at), Some("overlay"), flags, Some(layers.as_str()))
    }

    fn bind_read_only(&self, step: &MountStep) -> Result<(), Unavailable> {
        let target = self.scratch.staged(&step.at);
        bind(&step.at, &target, ON_ITSELF)?;
        bind(&target, &target, MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | step.flags())
    }

    fn overlay(&mut self, step: &MountStep) -> Result<(), String> {
        let failed = |what: &'static str| move |e: nix::Error| format!("{what}: {e}");
        let lower = open(&step.at, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(failed("opening"))?;
        let number = self.writable.len();
        let upper = self.scratch.folder(&format!("upper{number}"), 0o755).map_err(|e| e.why)?;
        let work = self.scratch.folder(&format!("work{number}"), 0o755).map_err(|e| e.why)?;
        let upper_fd = open(&upper, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(failed("opening"))?;
        // The merged root has the upper root's owner and mode.
        like(&upper_fd, &lower).map_err(|e| format!("attributes of its root: {e}"))?;
        // By number: a mount point may have commas and colons in its name.
        let layers = format!(
            "lowerdir=/proc/self/fd/{},upperdir={},workdir={}",
            lower.as_raw_fd(),
            upper.display(),
            work.display()
        );
        let target = self.scratch.staged(&step.at);
        let try_with =
            |options: &str| mount(Some("aright"), &target, Some("overlay"), step.flags(), Some(options));
        // Without metacopy a chmod copies the whole file; kernels and policies may forbid it.
        try_with(&format!("{layers},metacopy=on")).or_else(|_| try_with(&layers)).map_err(failed("mount"))?;
        self.frozen.push((step.at.clone(), MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | step.flags()));
        self.writable.push((WritableFolder { at: step.at.clone(), by: By::Overlay }, upper_fd));
        Ok(())
    }

    fn copies(&mut self, step: &MountStep, folders: &[PathBuf]) -> Result<(), Unavailable> {
        self.bind_read_only(step)?;
        folders.iter().try_for_each(|folder| self.copy(step, folder))
    }

    fn tree(&self, step: &MountStep) -> Result<(), Unavailable> {
        let target = self.scratch.staged(&step.at);
        bind(&step.at, &target, MsFlags::MS_BIND | MsFlags::MS_REC)?;
        sys::make_tree_read_only(&target).at(Layer::MountNamespace, "making everything read-only")
    }

    fn copy(&mut self, step: &MountStep, folder: &Path) -> Result<(), Unavailable> {
        if folder == Path::new("/") {
            return Err(Unavailable { layer: Layer::Stage, why: "the whole of / would be copied".into() });
        }
        let copy = self.scratch.folder(&format!("copy{}", self.writable.len()), 0o755)?;
        let what = if self.user.is_some() { copy::What::Readable } else { copy::What::All };
        copy::tree(folder, &copy, what).at(Layer::Stage, format!("copying {}", folder.display()))?;
        let fd = open(&copy, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
            .at(Layer::Stage, copy.display())?;
        bind(&copy, &self.scratch.staged(folder), ON_ITSELF)?;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | step.flags();
        self.frozen.push((folder.to_owned(), flags));
        self.writable.push((WritableFolder { at: folder.to_owned(), by: By::Copy }, fd));
        Ok(())
    }
}

impl MountStep {
    /// As on the host; devices work nowhere but in `/dev`.
    fn flags(&self) -> MsFlags {
        let mut flags = MsFlags::MS_NODEV;
        flags.set(MsFlags::MS_NOSUID, self.nosuid);
        flags.set(MsFlags::MS_NOEXEC, self.noexec);
        flags
    }
}

/// Owner, mode and attributes as `of` has them.
fn like(fd: &OwnedFd, of: &OwnedFd) -> std::io::Result<()> {
    let wanted = Meta::of(of)?;
    let path = meta::proc_path(fd.as_fd());
    chown(&path, Some(wanted.uid), Some(wanted.gid))?;
    fs::set_permissions(&path, PermissionsExt::from_mode(wanted.mode))?;
    meta::set_xattrs(fd, &wanted.xattrs)
}

fn read_only(more: &[MsFlags]) -> MsFlags {
    let base =
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    more.iter().fold(base, |flags, flag| flags | *flag)
}

fn bind(from: &Path, to: &Path, flags: MsFlags) -> Result<(), Unavailable> {
    mount(Some(from), to, None::<&str>, flags, None::<&str>)
        .at(Layer::MountNamespace, format!("binding {} to {}", from.display(), to.display()))
}
