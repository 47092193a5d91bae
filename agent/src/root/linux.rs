//! A tree that is looked at: the live host, a stage, or a prepared folder.
//!
//! All paths are resolved beneath the root by the kernel (openat2(2), `RESOLVE_IN_ROOT`): absolute links
//! stay inside, magic links lead nowhere, and nothing is opened that could block.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

/// Largest file that is read whole, in bytes.
pub const MAX_FILE: u64 = 8 * 1024 * 1024;
/// Most names of one folder that are looked at.
const MAX_NAMES: usize = 20_000;

#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

/// Why something was not read.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("{path}: not there")]
    Absent { path: String },
    #[error("{path}: access denied")]
    Denied { path: String },
    #[error("{path}: larger than {MAX_FILE} bytes, or more than {MAX_NAMES} names")]
    TooLarge { path: String },
    #[error("{path}: not a regular file")]
    NotRegular { path: String },
    #[error("{path}: {source}")]
    Io { path: String, source: io::Error },
}

impl LookError {
    fn of(path: &str, error: Errno) -> Self {
        let path = path.to_owned();
        match error {
            Errno::ENOENT | Errno::ENOTDIR => Self::Absent { path },
            Errno::EACCES | Errno::EPERM => Self::Denied { path },
            other => Self::Io { path, source: other.into() },
        }
    }
}

impl Root {
    /// The host as this process sees it.
    ///
    /// # Errors
    /// `/` cannot be opened.
    pub fn live() -> io::Result<Self> {
        Self::folder(Path::new("/"))
    }

    /// A prepared tree.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn folder(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self::at(nix::fcntl::open(path, flags, Mode::empty())?))
    }

    /// A tree by the descriptor of its topmost folder.
    pub fn at(dir: OwnedFd) -> Self {
        Self { dir }
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Opens beneath the root; links are followed, inside.
    fn open(&self, path: &str, flags: OFlag) -> Result<OwnedFd, LookError> {
        // openat2(2) refuses flags that mean nothing together with O_PATH.
        let careful =
            if flags.contains(OFlag::O_PATH) { OFlag::empty() } else { OFlag::O_NOCTTY | OFlag::O_NONBLOCK };
        let how = OpenHow::new()
            .flags(flags | careful | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        // The kernel may ask to try again when something is renamed meanwhile.
        for _ in 0..16 {
            match openat2(&self.dir, path, how) {
                Err(Errno::EAGAIN) => {}
                other => return other.map_err(|error| LookError::of(path, error)),
            }
        }
        Err(LookError::of(path, Errno::EAGAIN))
    }

    /// The whole of a regular file, up to [`MAX_FILE`].
    ///
    /// # Errors
    /// See [`LookError`].
    pub fn read(&self, path: &str) -> Result<Vec<u8>, LookError> {
        // What it is is known before it is opened for reading: opening a device can have effects.
        let meta = self.meta(path, true)?;
        if SFlag::from_bits_truncate(meta.st_mode) & SFlag::S_IFMT != SFlag::S_IFREG {
            return Err(LookError::NotRegular { path: path.to_owned() });
        }
        let mut file = File::from(self.open(path, OFlag::O_RDONLY)?).take(MAX_FILE + 1);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|source| LookError::Io { path: path.to_owned(), source })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(LookError::TooLarge { path: path.to_owned() });
        }
        Ok(bytes)
    }

    /// What a path is; `follow` decides for a link at its end.
    ///
    /// # Errors
    /// See [`LookError`].
    pub fn meta(&self, path: &str, follow: bool) -> Result<FileStat, LookError> {
        let flags = if follow { OFlag::O_PATH } else { OFlag::O_PATH | OFlag::O_NOFOLLOW };
        let fd = self.open(path, flags)?;
        fstat(&fd).map_err(|error| LookError::of(path, error))
    }

    /// Where a symbolic link points, as it is written.
    ///
    /// # Errors
    /// See [`LookError`]; not a link is `NotRegular`.
    pub fn link(&self, path: &str) -> Result<String, LookError> {
        let fd = self.open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
        match readlinkat(&fd, "") {
            Ok(target) => Ok(target.to_string_lossy().into_owned()),
            Err(Errno::ENOENT | Errno::EINVAL) => Err(LookError::NotRegular { path: path.to_owned() }),
            Err(error) => Err(LookError::of(path, error)),
        }
    }

    /// The names in a folder, sorted; names that are not UTF-8 are left out.
    ///
    /// # Errors
    /// See [`LookError`].
    pub fn list(&self, folder: &str) -> Result<Vec<String>, LookError> {
        let fd = self.open(folder, OFlag::O_RDONLY | OFlag::O_DIRECTORY)?;
        let mut dir = nix::dir::Dir::from_fd(fd).map_err(|error| LookError::of(folder, error))?;
        let mut names = Vec::new();
        for entry in dir.iter() {
            let entry = entry.map_err(|error| LookError::of(folder, error))?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            if names.len() == MAX_NAMES {
                return Err(LookError::TooLarge { path: folder.to_owned() });
            }
            names.push(name.to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// The paths that match, sorted; `*` and `?` never cross `/`. A path without wildcards is itself,
    /// whether it is there or not.
    ///
    /// # Errors
    /// A folder that cannot be listed (one that is not there matches nothing), a pattern that is none.
    pub fn glob(&self, pattern: &str) -> Result<Vec<String>, LookError> {
        let mut found = vec![String::new()];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            if !part.contains(['*', '?', '[', '{']) {
                next = found.into_iter().map(|folder| format!("{folder}/{part}")).collect();
            } else {
                let matcher =
                    globset::GlobBuilder::new(part).literal_separator(true).build().map_err(|error| {
                        LookError::Io {
                            path: pattern.to_owned(),
                            source: io::Error::new(io::ErrorKind::InvalidInput, error),
                        }
                    })?;
                let matcher = matcher.compile_matcher();
                for folder in found {
                    let names = match self.list(if folder.is_empty() { "/" } else { &folder }) {
                        Ok(names) => names,
                        Err(LookError::Absent { .. }) => continue,
                        Err(error) => return Err(error),
                    };
                    // As a shell does: a hidden file is matched only by a pattern that begins with a dot.
                    let wanted = |name: &String| {
                        matcher.is_match(name) && (part.starts_with('.') || !name.starts_with('.'))
                    };
                    next.extend(names.into_iter().filter(wanted).map(|name| format!("{folder}/{name}")));
                }
            }
            found = next;
        }
        if found.len() > MAX_NAMES {
            return Err(LookError::TooLarge { path: pattern.to_owned() });
        }
        Ok(found)
    }

    /// Whether anything is at a path.
    pub fn exists(&self, path: &str) -> bool {
        self.meta(path, true).is_ok()
    }
}

/// What lies at a path of the live host, without following it.
///
/// # Errors
/// As fstatat(2).
pub fn lstat(path: &Path) -> nix::Result<FileStat> {
    fstatat(nix::fcntl::AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().expect("folder");
        for folder in ["etc/ssh", "etc/conf.d"] {
            std::fs::create_dir_all(dir.path().join(folder)).expect("folder");
        }
        for (file, text) in [
            ("etc/ssh/sshd_config", "x\n"),
            ("etc/conf.d/b.conf", "b"),
            ("etc/conf.d/a.conf", "a"),
            ("etc/conf.d/.h.conf", "h"),
        ] {
            std::fs::write(dir.path().join(file), text).expect("file");
        }
        let root = Root::folder(dir.path()).expect("opens");
        (dir, root)
    }

    #[test]
    fn links_stay_inside_the_root() {
        let (dir, root) = tree();
        symlink("/etc/ssh/sshd_config", dir.path().join("etc/absolute")).expect("link");
        symlink("../../../../../etc/hostname", dir.path().join("etc/out")).expect("link");
        assert_eq!(root.read("/etc/absolute").expect("the root's own file"), b"x\n");
        assert!(matches!(root.read("/etc/out"), Err(LookError::Absent { .. })));
        assert!(matches!(root.read("/../../etc/hostname"), Err(LookError::Absent { .. })));
        assert_eq!(root.link("/etc/absolute").expect("a link"), "/etc/ssh/sshd_config");
    }

    #[test]
    fn nothing_that_blocks_is_opened() {
        let (dir, root) = tree();
        nix::unistd::mkfifo(&dir.path().join("etc/fifo"), Mode::S_IRWXU).expect("fifo");
        assert!(matches!(root.read("/etc/fifo"), Err(LookError::NotRegular { .. })));
        assert!(matches!(root.read("/etc/ssh"), Err(LookError::NotRegular { .. })));
    }

    #[test]
    fn a_large_file_is_not_read() {
        let (dir, root) = tree();
        std::fs::File::create(dir.path().join("etc/large"))
            .expect("file")
            .set_len(MAX_FILE + 1)
            .expect("size");
        assert!(matches!(root.read("/etc/large"), Err(LookError::TooLarge { .. })));
    }

    #[test]
    fn a_glob_is_sorted_and_stays_in_its_folder() {
        let (_dir, root) = tree();
        assert_eq!(
            root.glob("/etc/conf.d/*.conf").expect("lists"),
            ["/etc/conf.d/a.conf", "/etc/conf.d/b.conf"]
        );
        assert_eq!(root.glob("/etc/*").expect("lists"), ["/etc/conf.d", "/etc/ssh"]);
        assert_eq!(root.glob("/etc/none/*").expect("lists"), Vec::<String>::new());
        assert_eq!(root.glob("/etc/none").expect("itself"), ["/etc/none"]);
    }
}
