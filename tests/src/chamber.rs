//! A root entered by chroot: no service manager, the lab's network, throwaway files.
//!
//! For what wants a root folder to work on but no booted host. Run-time kernel parameters other than
//! `net.*` are read-only there: they are this machine's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::debian;
use crate::lab::Lab;
use crate::place::Place;
use crate::process::success;

/// Run in the lab, so that no mount is seen outside. The root is mounted on itself, since `pivot_root`
/// needs a mount point.
const MOUNTS: &str = r#"
root=$1
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount --bind /proc/sys/net "$root/proc/sys/net"
if [ -e /proc/sysrq-trigger ]; then
    mount --bind /dev/null "$root/proc/sysrq-trigger"
fi
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=0755 dev "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs shm "$root/dev/shm"
"#;

pub struct Chamber {
    disk: TempDir,
    lab: Lab,
}

impl Chamber {
    /// A chamber with a stock Debian 12.
    ///
    /// # Errors
    /// `cp`'s or `mount`'s words.
    pub fn new(lab: &Lab) -> anyhow::Result<Self> {
        Self::of(&debian::debian_12()?, lab)
    }

    /// With a copy of another root.
    ///
    /// # Errors
    /// `cp`'s or `mount`'s words.
    pub fn of(root: &Path, lab: &Lab) -> anyhow::Result<Self> {
        let disk = tempfile::Builder::new().prefix("chamber-").tempdir_in(lab.folder())?;
        let chamber = Self { disk, lab: lab.clone() };
        debian::copy(root, &chamber.disk())?;
        success(lab.command("sh").args(["-euc", MOUNTS, "sh"]).arg(chamber.disk()))?;
        Ok(chamber)
    }

    fn disk(&self) -> PathBuf {
        self.disk.path().join("root")
    }
}

impl Place for Chamber {
    fn command(&self, program: &str) -> Command {
        let mut command = self.lab.command("chroot");
        command.arg(self.disk()).arg(program);
        command
    }

    fn root(&self) -> PathBuf {
        let disk = self.disk();
        self.lab.root().join(disk.strip_prefix("/").unwrap_or(&disk))
    }
}

impl Drop for Chamber {
    fn drop(&mut self) {
        let _ = success(self.lab.command("umount").args(["--recursive", "--lazy"]).arg(self.disk()));
    }
}
