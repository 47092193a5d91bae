//! The Debian packages, as `packaging/deb` built them, and what hosts do with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, ensure};

use crate::binaries::workspace;
use crate::place::Place;
use crate::process::success;

/// All that there are.
pub const PACKAGES: [&str; 3] = ["aright-agent", "aright-controller", "aright"];

/// What was built last by this name; `None` where nobody has.
#[must_use]
pub fn package(name: &str) -> Option<PathBuf> {
    let built = fs::read_dir(workspace().join("target/packages")).ok()?.flatten();
    let named = built.map(|entry| entry.path()).filter(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{name}_")) && file.ends_with(".deb")
    });
    named.max_by_key(|path| fs::metadata(path).and_then(|meta| meta.modified()).ok())
}

/// The files of a package, in a folder.
///
/// # Errors
/// dpkg-deb's words.
pub fn unpack(package: &Path, to: &Path) -> anyhow::Result<()> {
    success(Command::new("dpkg-deb").arg("-x").arg(package).arg(to)).map(drop)
}

/// The same package by a higher version: the same programs, another control file.
///
/// # Errors
/// dpkg-deb's words.
pub fn with_version(package: &Path, version: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let open = folder.join(format!("package-{version}"));
    success(Command::new("dpkg-deb").arg("-R").arg(package).arg(&open))?;
    let control = open.join("DEBIAN/control");
    let text = fs::read_to_string(&control)?;
    let own = format!("Version: {version}");
    let lines = text.lines().map(|line| if line.starts_with("Version: ") { own.as_str() } else { line });
    fs::write(&control, lines.collect::<Vec<_>>().join("\n") + "\n")?;
    let built = folder.join(format!("{version}.deb"));
    // Quick to build: nobody measures this one.
    success(Command::new("dpkg-deb").args(["-Zgzip", "-z1", "-b"]).arg(&open).arg(&built))?;
    fs::remove_dir_all(open)?;
    Ok(built)
}

/// apt-get installs a package of this machine, as a person would who was given one; with these variables set.
///
/// # Errors
/// Its words.
pub fn install(place: &impl Place, package: &Path, environment: &[String]) -> anyhow::Result<Output> {
    let name = package.file_name().context("no file")?.to_string_lossy();
    let inside = format!("/opt/{name}");
    place.install(package, &inside)?;
    let mut words: Vec<&str> = environment.iter().map(String::as_str).collect();
    words.extend(["apt-get", "-q", "-y", "-o", "APT::Sandbox::User=root", "install", &inside]);
    let output = apt(place, &words)?;
    fs::remove_file(place.path(&inside))?;
    Ok(output)
}

/// `apt-get` with its words, asked nothing.
///
/// # Errors
/// Its words.
pub fn apt(place: &impl Place, words: &[&str]) -> anyhow::Result<Output> {
    let output = place.output(&[&["env", "DEBIAN_FRONTEND=noninteractive"], words].concat())?;
    ensure!(
        output.status.success(),
        "{words:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output)
}
