//! A Windows of a test's own: Wine in the Debian sid root that `packaging/msi/toolchain` makes.
//!
//! In the lab's namespaces and its network. The root and a prefix that has booted once are kept between runs
//! and lie below; what the test changes goes with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, ensure};
use aright_shared::digest::Digest;
use tempfile::TempDir;

use crate::binaries::workspace;
use crate::cli::{Cli, EnrollKey};
use crate::controller::Controller;
use crate::debian;
use crate::lab::Lab;
use crate::place::Place;
use crate::process::success;

/// In namespaces that hold the mounts: `$1` the layers below, `$2` a folder for what changes.
const MOUNTS: &str = r#"
mkdir "$2/upper" "$2/work" "$2/root"
mount -t overlay wine -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
mount -t proc proc "$2/root/proc"
mount --rbind /dev "$2/root/dev"
"#;

/// The server writes the registry when it ends.
const BOOT: &str = "wineboot --init && wineserver --wait";

const ENVIRONMENT: [&str; 6] = [
    "HOME=/root",
    // Debian keeps the server apart.
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/x86_64-linux-gnu/wine",
    "LC_ALL=C.UTF-8",
    "WINEPREFIX=/wine",
    "WINEDEBUG=-all",
    // No offers to install what is not there.
    "WINEDLLOVERRIDES=mscoree,mshtml=",
];

/// Ends with its lab at the latest.
pub struct Wine {
    disk: TempDir,
    lab: Lab,
}

impl Wine {
    /// A fresh one, as after the first boot.
    ///
    /// # Errors
    /// The words of the toolchain, of Wine or `mount`.
    pub fn new(lab: &Lab) -> anyhow::Result<Self> {
        let (root, booted) = (sid()?, booted()?);
        let disk = tempfile::Builder::new().prefix("wine-").tempdir_in(lab.folder())?;
        let layers = format!("{}:{}", booted.display(), root.display());
        success(lab.command("sh").args(["-euc", MOUNTS, "sh", &layers]).arg(disk.path()))?;
        let wine = Self { disk, lab: lab.clone() };
        wine.switch_on()?;
        Ok(wine)
    }

    /// What runs from then on holds nobody's output, so that a program's end is not waited for in vain.
    fn switch_on(&self) -> anyhow::Result<()> {
        let mut server = self.command("wineserver");
        server.arg("--persistent");
        for mut first in [server, self.windows("wineboot")] {
            let status = first.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            ensure!(status.success(), "{first:?}: {status}");
        }
        Ok(())
    }

    /// A Windows program, by name or path.
    #[must_use]
    pub fn windows(&self, program: &str) -> Command {
        let mut command = self.command("wine");
        command.arg(program);
        command
    }

    /// What a Windows program prints that succeeds.
    ///
    /// # Errors
    /// It fails; with its words.
    pub fn says(&self, words: &[&str]) -> anyhow::Result<String> {
        let (program, args) = words.split_first().context("no program")?;
        Ok(text(&success(self.windows(program).args(args))?))
    }

    /// Where `C:\…` lies for the test.
    #[must_use]
    pub fn file(&self, path: &str) -> PathBuf {
        self.path(&format!("/wine/drive_c/{}", path.trim_start_matches("C:\\").replace('\\', "/")))
    }

    /// Installs a package silently, over an older one too; returns the installer's verbose log.
    ///
    /// # Errors
    /// It is not installed; with the log.
    pub fn install(&self, package: &Path, properties: &[(&str, &str)]) -> anyhow::Result<String> {
        let there = self.bring(package)?;
        let given: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.msiexec("/i", &there, &given)
    }

    /// Installs the agent's package, which enrols with a controller by the four properties; returns the key that it used.
    ///
    /// # Errors
    /// It is not installed; with the log.
    pub fn join(&self, package: &Path, controller: &Controller, cli: &Cli) -> anyhow::Result<EnrollKey> {
        let key = cli.enroll_key(1)?;
        let url = controller.agents_url();
        let told = [
            ("CONTROLLER_URL", url.as_str()),
            ("ENROLL_KEY", &key.secret),
            ("CA_FINGERPRINT", &key.authority),
            ("TRUST_FINGERPRINT", &key.trust),
        ];
        self.install(package, &told)?;
        Ok(key)
    }

    /// Removes what a package installed; returns the installer's verbose log.
    ///
    /// # Errors
    /// It is not removed; with the log.
    pub fn remove(&self, package: &Path) -> anyhow::Result<String> {
        let there = self.bring(package)?;
        self.msiexec("/x", &there, &[])
    }

    fn bring(&self, package: &Path) -> anyhow::Result<String> {
        let name = package.file_name().and_then(|name| name.to_str()).context("a package has a name")?;
        let there = format!("C:\\{name}");
        fs::copy(package, self.file(&there)).with_context(|| package.display().to_string())?;
        Ok(there)
    }

    fn msiexec(&self, what: &str, package: &str, properties: &[String]) -> anyhow::Result<String> {
        let log = "C:\\msiexec.log";
        let args = [what, package, "/qn", "/l*v", log];
        let output = self.windows("msiexec").args(args).args(properties).output()?;
        let log = self.file(log);
        let said = decoded(&fs::read(&log).unwrap_or_default());
        let _ = fs::remove_file(log).and_then(|()| fs::remove_file(self.file(package)));
        ensure!(output.status.success(), "msiexec {what} {package}: {}\n{said}", output.status);
        Ok(said)
    }

    /// A key of the registry with all below it, as `reg export` writes it; none if it is not there.
    ///
    /// # Errors
    /// `reg` cannot be started.
    pub fn registry(&self, key: &str) -> anyhow::Result<Option<String>> {
        let exported = "C:\\exported.reg";
        let output = self.windows("reg").args(["export", key, exported, "/y"]).output()?;
        let text = fs::read(self.file(exported)).ok();
        let _ = fs::remove_file(self.file(exported));
        Ok(text.filter(|_| output.status.success()).map(|bytes| decoded(&bytes)))
    }

    /// The state that the service manager tells, as `RUNNING`; none for a service that is not there.
    ///
    /// # Errors
    /// `sc` cannot be started.
    pub fn service(&self, name: &str) -> anyhow::Result<Option<String>> {
        let output = self.windows("sc").args(["query", name]).output()?;
        let said = text(&output);
        let state = said.lines().find(|line| line.trim_start().starts_with("STATE"));
        Ok(state.and_then(|line| line.split_whitespace().last()).map(str::to_owned))
    }
}

impl Place for Wine {
    fn command(&self, program: &str) -> Command {
        let mut command = self.lab.command("chroot");
        command
            .arg(self.disk.path().join("root"))
            .args(["/usr/bin/env", "-i"])
            .args(ENVIRONMENT)
            .arg(program);
        command
    }

    fn root(&self) -> PathBuf {
        let root = self.disk.path().join("root");
        self.lab.root().join(root.strip_prefix("/").unwrap_or(&root))
    }
}

impl Drop for Wine {
    fn drop(&mut self) {
        let _ = self.command("wineserver").args(["--kill", "--wait"]).output();
        let root = self.disk.path().join("root");
        let _ = success(self.lab.command("umount").args(["--recursive", "--lazy"]).arg(root));
    }
}

/// The agent's package, in the lab's folder; of `ARIGHT_WINDOWS_AGENT`, a program that is already built, or of
/// one that is built now.
///
/// # Errors
/// The words of cargo or `packaging/msi/build`.
pub fn package(lab: &Lab, version: &str) -> anyhow::Result<PathBuf> {
    let mut build = tool("build")?;
    build.args(["--version", version, "--out"]).arg(lab.folder());
    if let Some(exe) = std::env::var_os("ARIGHT_WINDOWS_AGENT") {
        build.arg("--exe").arg(exe);
    }
    success(&mut build)?;
    Ok(lab.folder().join(format!("aright-agent-{version}-x64.msi")))
}

/// What lies above [`sid`] after the first boot.
fn booted() -> anyhow::Result<PathBuf> {
    let root = sid()?;
    let recipe = [&fs::read(root.join("var/lib/dpkg/status"))?, MOUNTS.as_bytes(), BOOT.as_bytes()].concat();
    let folder = debian::once(&format!("wine-{}", &Digest::of(&recipe).hex()[..12]), |aside| {
        fs::create_dir(aside)?;
        let script = format!(
            "{MOUNTS}\nchroot \"$2/root\" /usr/bin/env -i {} sh -euc '{BOOT}'",
            ENVIRONMENT.join(" ")
        );
        let mut boot = Command::new("unshare");
        boot.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "sh",
            "-euc",
            &script,
            "sh",
        ]);
        success(boot.arg(&root).arg(aside))?;
        Ok(())
    })?;
    Ok(folder.join("upper"))
}

/// The root that Wine lies in. Never run in it.
fn sid() -> anyhow::Result<PathBuf> {
    let output = success(tool("toolchain")?.arg("root"))?;
    Ok(PathBuf::from(text(&output).trim_end()))
}

fn tool(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(workspace().join("packaging/msi").join(name));
    command.env("ARIGHT_TESTBED_CACHE", debian::cache()?);
    Ok(command)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n")
}

/// UTF-16 as Windows writes it, or UTF-8.
fn decoded(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(rest) => {
            let units: Vec<u16> =
                rest.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
            String::from_utf16_lossy(&units).replace("\r\n", "\n")
        }
        None => String::from_utf8_lossy(bytes).replace("\r\n", "\n"),
    }
}
