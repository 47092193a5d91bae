//! A stock Debian with systemd, made once by debootstrap and copied for each host.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use aright_shared::digest::Digest;

use crate::binaries::workspace;
use crate::process::success;

/// `linux-base` is what every Debian with a kernel has; the SCAP Security Guide asks for it before it
/// applies its rules. The rest is as on any server, with its stock settings.
const PACKAGES: &str =
    "systemd,systemd-sysv,dbus,openssh-server,cron,sudo,kmod,procps,iproute2,netbase,linux-base";

/// Beside the packages: one user who may become root, keys and ids that each host makes anew, and nothing
/// that only costs time to copy.
const FINISH: &str = r"
useradd --create-home --shell /bin/bash --groups sudo ops
install -d -m 0700 -o ops -g ops /home/ops/.ssh
install -m 0600 -o ops -g ops /ops.pub /home/ops/.ssh/authorized_keys
rm /ops.pub /etc/ssh/ssh_host_*
: > /etc/machine-id
echo '# no name servers: /etc/hosts has all names' > /etc/resolv.conf
find /usr/share/doc /usr/share/locale /usr/share/man /usr/share/info /var/cache/apt /var/lib/apt/lists -type f -delete
";

/// Where testbeds are kept between runs: `ARIGHT_TESTBED_CACHE`, else `target/testbeds`.
///
/// # Errors
/// The folder cannot be made.
pub fn cache() -> anyhow::Result<PathBuf> {
    let folder = std::env::var_os("ARIGHT_TESTBED_CACHE")
        .map_or_else(|| workspace().join("target/testbeds"), PathBuf::from);
    fs::create_dir_all(&folder)?;
    Ok(folder.canonicalize()?)
}

/// Debian's releases, of which there are roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    Debian11,
    Debian12,
    Debian13,
}

impl Release {
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Debian11 => 11,
            Self::Debian12 => 12,
            Self::Debian13 => 13,
        }
    }

    fn suite(self) -> &'static str {
        match self {
            Self::Debian11 => "bullseye",
            Self::Debian12 => "bookworm",
            Self::Debian13 => "trixie",
        }
    }
}

/// The root folder from which most hosts are copied. Never run in it.
///
/// # Errors
/// debootstrap's words.
pub fn debian_12() -> anyhow::Result<PathBuf> {
    debian(Release::Debian12)
}

/// The same of another release.
///
/// # Errors
/// debootstrap's words.
pub fn debian(release: Release) -> anyhow::Result<PathBuf> {
    let recipe = Digest::of(format!("{PACKAGES}{FINISH}").as_bytes()).hex();
    once(&format!("debian-{}-{}", release.number(), &recipe[..12]), |aside| {
        let key = ops_key()?.with_extension("pub");
        // In namespaces of its own: no mount stays behind if it is killed.
        let mut debootstrap = Command::new("unshare");
        debootstrap.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc"]);
        debootstrap.args(["debootstrap", "--variant=minbase", &format!("--include={PACKAGES}")]);
        success(debootstrap.arg(release.suite()).arg(aside).args(mirror()))?;
        fs::copy(key, aside.join("ops.pub"))?;
        success(Command::new("chroot").arg(aside).args(["sh", "-euc", FINISH]))?;
        Ok(())
    })
}

/// The same root with further packages of Debian 12, and what `finish` (sh) does in it. Never run in it.
///
/// # Errors
/// The words of apt, dpkg or `finish`.
pub fn debian_12_with(packages: &[&str], finish: &str) -> anyhow::Result<PathBuf> {
    let base = debian_12()?;
    let name = base.file_name().unwrap_or_default().to_string_lossy();
    let recipe = Digest::of(format!("{name}{packages:?}{finish}").as_bytes()).hex();
    once(&format!("debian-12-with-{}", &recipe[..12]), |aside| {
        copy(&base, aside)?;
        let archives = aside.join("archives");
        fs::create_dir_all(archives.join("partial"))?;
        // This machine's apt knows the way to a mirror, the root knows what it lacks.
        let mut fetch = Command::new("apt-get");
        fetch.args([
            "-q",
            "-y",
            "--download-only",
            "--no-install-recommends",
            "-o",
            "APT::Sandbox::User=root",
        ]);
        fetch.args(["-o", &format!("Dir::State::status={}", aside.join("var/lib/dpkg/status").display())]);
        fetch.args(["-o", &format!("Dir::Cache::archives={}", archives.display())]);
        success(fetch.arg("install").args(packages))?;
        let install = "export DEBIAN_FRONTEND=noninteractive\n\
                       apt-get -q -y -o APT::Sandbox::User=root install /archives/*.deb\n\
                       rm -r /archives";
        let mut chroot = Command::new("unshare");
        chroot.args(["--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc", "chroot"]);
        success(chroot.arg(aside).args(["sh", "-euc", &format!("{install}\n{finish}")]))?;
        Ok(())
    })
}

/// A copy of a root for one host, removed by whoever asked for it.
///
/// # Errors
/// `cp`'s words.
pub(crate) fn copy(root: &Path, to: &Path) -> anyhow::Result<()> {
    success(Command::new("cp").args(["-a", "--reflink=auto"]).arg(root).arg(to))?;
    Ok(())
}

/// The private key by which user `ops` is let in on every host.
///
/// # Errors
/// `ssh-keygen`'s words.
pub(crate) fn ops_key() -> anyhow::Result<PathBuf> {
    let folder = once("ssh", |aside| {
        fs::create_dir(aside)?;
        let key = aside.join("ops");
        success(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key)).map(drop)
    })?;
    Ok(folder.join("ops"))
}

/// The Debian mirror that this machine itself uses, where it is a Debian.
pub(crate) fn mirror() -> Option<String> {
    let mut list = Command::new("apt-get");
    list.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]);
    let mut unread = Command::new("apt-get");
    unread.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
    [list, unread].iter_mut().find_map(|command| {
        let output = success(command).ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines()
            .map(|uri| uri.trim_end_matches('/'))
            .find(|uri| uri.ends_with("/debian"))
            .map(str::to_owned)
    })
}

/// A cached folder, made once by whoever comes first; the others wait. It is there whole or not at all.
pub(crate) fn once(name: &str, make: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<PathBuf> {
    let cache = cache()?;
    let done = cache.join(name);
    let lock = File::create(cache.join(format!("{name}.lock")))?;
    lock.lock()?;
    if !done.exists() {
        let aside = cache.join(format!("{name}.new"));
        success(Command::new("rm").args(["-rf", "--one-file-system"]).arg(&aside))?;
        make(&aside)?;
        fs::rename(&aside, &done)?;
    }
    Ok(done)
}
