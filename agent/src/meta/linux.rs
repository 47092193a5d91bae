//! What a thing in the file system is, apart from its times: kind, content, mode, owner, extended
//! attributes. Two equal [`Meta`] mean that nothing which counts was changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

use aright_shared::digest::Digest;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use serde::{Deserialize, Serialize};

/// Larger files are not looked into: nothing that hardens a host writes them.
pub const MAX_FILE: u64 = 1 << 30;

/// Extended attributes by name, `trusted.*` left out: those belong to file systems (overlay, xfs).
pub type Xattrs = BTreeMap<String, Bytes>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    #[serde(flatten)]
    pub kind: Kind,
    /// The permission bits with setuid, setgid and sticky: 0 to 0o7777. Always 0o777 for links.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xattrs: Xattrs,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Kind {
    File {
        size: u64,
        digest: Digest,
    },
    Link {
        target: Bytes,
    },
    Folder,
    /// FIFO, socket or device: by its type bits.
    Special {
        format: u32,
    },
}

/// Bytes that are mostly text: in JSON a string, `\xNN` for what is not UTF-8 and `\\` for `\`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub Vec<u8>);

impl Meta {
    /// Of a folder that is made because a declared file needs it.
    pub fn of_made_folder() -> Self {
        Self { kind: Kind::Folder, mode: 0o755, uid: 0, gid: 0, xattrs: Xattrs::new() }
    }

    /// Of what `name` in `dir` is; a link is not followed. `None` when there is nothing.
    ///
    /// # Errors
    /// It cannot be read, is a mount point of its own, or is a file above [`MAX_FILE`].
    pub fn at(dir: impl AsFd, name: &std::ffi::OsStr) -> io::Result<Option<Self>> {
        match open_path(dir, name) {
            Ok(fd) => Self::of(&fd).map(Some),
            Err(nix::Error::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Of an open thing, which may be a bare path descriptor (`O_PATH`).
    ///
    /// # Errors
    /// As [`Meta::at`].
    pub fn of(fd: &OwnedFd) -> io::Result<Self> {
        let stat = fstat(fd)?;
        let kind = kind(fd, &stat)?;
        Ok(Self {
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            xattrs: xattrs(fd)?,
        })
    }

    /// Whether content (or target) is the same, so that only mode, owner and attributes differ.
    pub fn same_content(&self, other: &Self) -> bool {
        self.kind == other.kind
    }

    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }
}

/// A bare path descriptor of one name: opens nothing, follows nothing, crosses no mount.
///
/// # Errors
/// Those of openat2(2): `EXDEV` for a mount point.
pub fn open_path(dir: impl AsFd, name: &std::ffi::OsStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV);
    openat2(dir, name, how)
}

/// The same thing, opened for reading; only ever called on what is known to be a regular file or folder.
///
/// # Errors
/// Those of open(2).
pub fn reopen(fd: &OwnedFd) -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    Ok(File::from(nix::fcntl::open(&proc_path(fd.as_fd()), flags, Mode::empty())?))
}

/// A path that names exactly this descriptor, links included: for calls that have no `fd` form for `O_PATH`.
pub fn proc_path(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn kind(fd: &OwnedFd, stat: &FileStat) -> io::Result<Kind> {
    let format = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    Ok(match format {
        SFlag::S_IFREG => {
            let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
            if size > MAX_FILE {
                return Err(io::Error::other(format!("{size} bytes, above the limit of {MAX_FILE}")));
            }
            Kind::File { size, digest: Digest::of_reader(reopen(fd)?)? }
        }
        SFlag::S_IFLNK => Kind::Link { target: Bytes(nix::fcntl::readlinkat(fd, "")?.as_bytes().to_owned()) },
        SFlag::S_IFDIR => Kind::Folder,
        other => Kind::Special { format: other.bits() },
    })
}

/// Reads every attribute but `trusted.*`; none where the file system knows none.
pub fn xattrs(fd: &OwnedFd) -> io::Result<Xattrs> {
    let path = proc_path(fd.as_fd());
    let names = match read_all(|buffer| rustix::fs::listxattr(&path, buffer)) {
        Ok(names) => names,
        Err(rustix::io::Errno::NOTSUP) => return Ok(Xattrs::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = Xattrs::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name.starts_with(b"trusted.") {
            continue;
        }
        match read_all(|buffer| rustix::fs::getxattr(&path, name, buffer)) {
            Ok(value) => {
                all.insert(String::from_utf8_lossy(name).into_owned(), Bytes(value));
            }
            // Gone in between, or listed without being readable.
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::NOTSUP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

/// Largest list of names, and largest value, that Linux allows (xattr(7)).
const XATTR_BYTES: usize = 64 * 1024;

fn read_all(call: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(len) => return Ok(small[..len].to_vec()),
        Err(rustix::io::Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut large = vec![0; XATTR_BYTES];
    let len = call(&mut large)?;
    large.truncate(len);
    Ok(large)
}

/// Makes the attributes of `fd` exactly `wanted`: what is there and not wanted goes (a folder's default
/// ACL is inherited, a label is given by policy).
///
/// # Errors
/// Those of setxattr(2) and removexattr(2).
pub fn set_xattrs(fd: &OwnedFd, wanted: &Xattrs) -> io::Result<()> {
    let path = proc_path(fd.as_fd());
    let present = xattrs(fd)?;
    for name in present.keys().filter(|name| !wanted.contains_key(*name)) {
        match rustix::fs::removexattr(&path, name.as_str()) {
            // A label cannot be taken away, only changed.
            Err(_) if name == "security.selinux" => {}
            other => other?,
        }
    }
    for (name, value) in wanted.iter().filter(|(name, value)| present.get(*name) != Some(*value)) {
        rustix::fs::setxattr(&path, name.as_str(), &value.0, rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(&chunk.valid().replace('\\', "\\\\"))?;
            chunk.invalid().iter().try_for_each(|byte| write!(f, "\\x{byte:02x}"))?;
        }
        Ok(())
    }
}

impl std::str::FromStr for Bytes {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        loop {
            rest = match rest {
                [] => return Ok(Self(bytes)),
                [b'\\', b'\\', rest @ ..] => {
                    bytes.push(b'\\');
                    rest
                }
                [b'\\', b'x', high, low, rest @ ..] => {
                    bytes.extend(hex::decode([*high, *low]).map_err(|e| format!("{text:?}: {e}"))?);
                    rest
                }
                [b'\\', ..] => {
                    return Err(format!("{text:?}: \"\\\" is followed by neither \"\\\" nor \"xNN\""));
                }
                [byte, rest @ ..] => {
                    bytes.push(*byte);
                    rest
                }
            };
        }
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The same with what else can be seen of it.
pub fn told(meta: Option<&Meta>) -> String {
    let Some(meta) = meta else { return "nothing".into() };
    let digest = match &meta.kind {
        Kind::File { digest, .. } => format!(", {}", &digest.to_string()[..19]),
        Kind::Link { .. } | Kind::Folder | Kind::Special { .. } => String::new(),
    };
    format!("{}{digest}, mode {:04o}, owner {}:{}", what(meta), meta.mode, meta.uid, meta.gid)
}

/// What it is, in a few words.
pub fn what(meta: &Meta) -> String {
    match &meta.kind {
        Kind::File { size, .. } => format!("a file of {size} bytes"),
        Kind::Link { target } => format!("a link to {target}"),
        Kind::Folder => "a folder".into(),
        Kind::Special { .. } => "a special file".into(),
    }
}

/// In what the one that was found is another one, part by part.
pub fn differences(expected: &Meta, found: &Meta) -> Vec<String> {
    let mut parts = Vec::new();
    if let (Kind::File { size: now, .. }, Kind::File { size: then, .. }) = (&found.kind, &expected.kind)
        && !found.same_content(expected)
    {
        parts.push(format!("other content ({now} bytes, {then} were expected)"));
    } else if !found.same_content(expected) {
        parts.push(format!("it is {} instead of {}", what(found), what(expected)));
    }
    if found.mode != expected.mode {
        parts.push(format!("mode {:04o} instead of {:04o}", found.mode, expected.mode));
    }
    if (found.uid, found.gid) != (expected.uid, expected.gid) {
        let owners = (found.uid, found.gid, expected.uid, expected.gid);
        parts.push(format!("owner {}:{} instead of {}:{}", owners.0, owners.1, owners.2, owners.3));
    }
    if found.xattrs != expected.xattrs {
        parts.push("other extended attributes".into());
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn meta(dir: &std::path::Path, name: &str) -> Option<Meta> {
        Meta::at(File::open(dir).expect("folder"), name.as_ref()).expect("readable")
    }

    #[test]
    fn bytes_come_back_from_their_text() {
        for bytes in [&b"plain"[..], b"a\\b", b"\\x41", b"new\nline", b"\xff\x00\xc3\xa9"] {
            let text = Bytes(bytes.to_owned()).to_string();
            assert_eq!(text.parse::<Bytes>().expect("its own text").0, bytes, "{text}");
        }
        assert!("a\\q".parse::<Bytes>().is_err() && "\\xg0".parse::<Bytes>().is_err());
    }

    #[test]
    fn what_counts_is_seen_and_times_are_not() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("a");
        std::fs::write(&path, "one").expect("write");
        let first = meta(dir.path(), "a").expect("there");
        std::fs::write(&path, "one").expect("write");
        assert_eq!(meta(dir.path(), "a"), Some(first.clone()));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o4711)).expect("chmod");
        assert_eq!(meta(dir.path(), "a").expect("there").mode, 0o4711);
        std::fs::write(&path, "two").expect("write");
        assert!(!meta(dir.path(), "a").expect("there").same_content(&first));
        assert_eq!(meta(dir.path(), "b"), None);
    }

    #[test]
    fn a_link_is_itself_and_attributes_are_set_exactly() {
        let dir = tempfile::tempdir().expect("folder");
        symlink("/etc/shadow", dir.path().join("l")).expect("link");
        let link = meta(dir.path(), "l").expect("there");
        assert_eq!(link.kind, Kind::Link { target: Bytes(b"/etc/shadow".to_vec()) });

        std::fs::write(dir.path().join("f"), "x").expect("write");
        let fd = open_path(File::open(dir.path()).expect("folder"), "f".as_ref()).expect("opens");
        let one = Xattrs::from([("user.one".to_owned(), Bytes(b"1".to_vec()))]);
        set_xattrs(&fd, &one).expect("sets");
        let two = Xattrs::from([("user.two".to_owned(), Bytes(vec![0; 2000]))]);
        set_xattrs(&fd, &two).expect("sets");
        assert_eq!(meta(dir.path(), "f").expect("there").xattrs, two);
    }
}
