//! Kernel parameters, mounts and modules: what is in force, beside what is written in files.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

/// `a.b.c`, or `a/b.c` where a part has dots of its own (sysctl(8)), as a path below `/proc/sys`.
///
/// # Errors
/// A name that is none.
pub fn parameter_path(name: &str) -> Result<PathBuf, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@".contains(c);
    if name.is_empty() || name.len() > 256 || !name.chars().all(plain) {
        return Err(format!("kernel parameter {name:?}: letters, digits, \"_-./\" only"));
    }
    let slashes = name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'/');
    let turned: String = match slashes {
        true => name.to_owned(),
        false => name
            .chars()
            .map(|c| match c {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect(),
    };
    if turned.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(format!("kernel parameter {name:?}: an empty part"));
    }
    Ok(turned.into())
}

/// The folder of run-time kernel parameters.
#[derive(Clone, Debug)]
pub struct Parameters {
    dir: PathBuf,
}

impl Parameters {
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// What is in force, white space made single; `None` where this kernel has no such parameter.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn get(&self, name: &str) -> Result<Option<String>, String> {
        let mut text = String::new();
        let read =
            self.open(name, OFlag::O_RDONLY).and_then(|file| file.take(4096).read_to_string(&mut text));
        match read {
            Ok(_) => Ok(Some(words(&text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {name}: {error}")),
        }
    }

    /// Writes a value and sees that it took.
    ///
    /// # Errors
    /// It cannot be written, or is another afterwards.
    pub fn set(&self, name: &str, value: &str) -> Result<(), String> {
        let written = self.open(name, OFlag::O_WRONLY).and_then(|mut file| file.write_all(value.as_bytes()));
        written.map_err(|error| format!("cannot set {name} to {value}: {error}"))?;
        match self.get(name)? {
            Some(now) if now == words(value) => Ok(()),
            now => Err(format!("{name} is {} after it was set to {value}", now.unwrap_or_default())),
        }
    }

    fn open(&self, name: &str, how: OFlag) -> io::Result<File> {
        let path = parameter_path(name).map_err(io::Error::other)?;
        let dir = File::open(&self.dir)?;
        let resolve = ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_SYMLINKS;
        let how = OpenHow::new().flags(how | OFlag::O_CLOEXEC).resolve(resolve);
        Ok(File::from(openat2(&dir, &path, how)?))
    }
}

pub fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The options in force of what is mounted last on `path`, of the mount and of its file system.
///
/// # Errors
/// The table cannot be read.
pub fn mount_options(mountinfo: &Path, path: &str) -> Result<Option<Vec<String>>, String> {
    let table =
        fs::read_to_string(mountinfo).map_err(|error| format!("cannot read the mount table: {error}"))?;
    let options = |line: &str| -> Option<Vec<String>> {
        let (own, rest) = line.split_once(" - ")?;
        let own: Vec<_> = own.split(' ').collect();
        if unescape(own.get(4)?) != path {
            return None;
        }
        let of_system = rest.split(' ').nth(2).unwrap_or_default();
        Some(own.get(5)?.split(',').chain(of_system.split(',')).map(str::to_owned).collect())
    };
    Ok(table.lines().rev().find_map(options))
}

/// The options that fstab(5) has for `path`.
///
/// # Errors
/// It cannot be read.
pub fn fstab_options(fstab: &Path, path: &str) -> Result<Option<Vec<String>>, String> {
    let table =
        fs::read_to_string(fstab).map_err(|error| format!("cannot read {}: {error}", fstab.display()))?;
    let fields = |line: &str| -> Option<Vec<String>> {
        let mut fields = line.split_whitespace();
        let (_, target, _, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let meant = !line.trim_start().starts_with('#') && unescape(target) == path;
        meant.then(|| options.split(',').map(str::to_owned).collect())
    };
    Ok(table.lines().find_map(fields))
}

/// `\040` and the like, as both tables write blanks.
fn unescape(text: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Whether a module is loaded (built in counts as not: it cannot be unloaded).
pub fn module_loaded(sys_module: &Path, name: &str) -> bool {
    sys_module.join(name.replace('-', "_")).join("initstate").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_and_cannot_leave() {
        let path = |name| parameter_path(name).map(|path| path.display().to_string());
        assert_eq!(path("net.ipv4.conf.all.rp_filter").expect("a name"), "net/ipv4/conf/all/rp_filter");
        assert_eq!(
            path("net.ipv4.conf.eth0/100.rp_filter").expect("a name"),
            "net/ipv4/conf/eth0.100/rp_filter"
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.100/rp_filter").expect("a name"),
            "net/ipv4/conf/eth0.100/rp_filter"
        );
        for bad in ["", "a..b", "/../x", ".a", "a b", "a.b\n", "../../etc/passwd", "a/../b"] {
            assert!(path(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_parameter_is_set_and_seen_to_take() {
        let dir = tempfile::tempdir().expect("folder");
        fs::create_dir(dir.path().join("net")).expect("folder");
        fs::write(dir.path().join("net/range"), "1\t2\n").expect("write");
        let parameters = Parameters::at(dir.path());
        assert_eq!(parameters.get("net.range"), Ok(Some("1 2".into())));
        assert_eq!(parameters.get("net.none"), Ok(None));
        parameters.set("net.range", "3 4").expect("sets");
        assert_eq!(parameters.get("net.range"), Ok(Some("3 4".into())));
        std::os::unix::fs::symlink("/etc/hostname", dir.path().join("net/link")).expect("link");
        assert!(parameters.get("net.link").is_err());
    }

    #[test]
    fn options_of_both_tables() {
        let dir = tempfile::tempdir().expect("folder");
        let table = dir.path().join("t");
        fs::write(&table, "1 2 0:1 / /a\\040b rw,nosuid shared:1 - tmpfs tmpfs rw,size=1k\n2 1 0:2 / /a\\040b ro - tmpfs t rw\n").expect("write");
        assert_eq!(mount_options(&table, "/a b").expect("reads").expect("there"), ["ro", "rw"]);
        fs::write(&table, "#x /a ext4 no 0 0\nUUID=1 /a ext4 rw,nodev 0 0\n").expect("write");
        assert_eq!(fstab_options(&table, "/a").expect("reads").expect("there"), ["rw", "nodev"]);
    }
}
