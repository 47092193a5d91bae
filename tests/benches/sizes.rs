//! What the agent costs a host in bytes: on disk, as a package, and in memory while it waits for work.
//! `packaging/deb && cargo build --workspace --bins && cargo bench --profile dev -p aright-tests --bench sizes`, as root:
//! what is measured are the packages, so the profile of the bench does not matter.
//!
//! Memory is read from a booted Debian 12 on which the package was installed, by the kernel's own count of the service's
//! process, once it has enrolled, evaluated and reported.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use aright_tests::packages::{PACKAGES, install, package, unpack};
use aright_tests::{Cli, Controller, Host, Lab, Place as _, Wine, msi_package, skip};

const MB: f64 = 1e6;
/// After the first report, so that nothing of it is still under way.
const REST: Duration = Duration::from_secs(20);

const BINARY_MB: f64 = 5.0;
const DEB_MB: f64 = 2.5;
const RSS_MB: f64 = 6.0;
const MSI_MB: f64 = 3.5;
/// On Windows itself.
const PRIVATE_MB: f64 = 8.0;

fn main() -> anyhow::Result<()> {
    if skip::lacking(&[skip::HOSTS, skip::PACKAGES]) {
        return Ok(());
    }
    let lab = Lab::new()?;
    let agent = package("aright-agent").context("built")?;
    let unpacked = lab.folder().join("unpacked");
    unpack(&agent, &unpacked)?;
    against("agent, program (Linux)", size(&unpacked.join("usr/sbin/aright-agent"))?, BINARY_MB)?;
    against("agent, deb", size(&agent)?, DEB_MB)?;
    for name in PACKAGES.iter().filter(|name| **name != "aright-agent") {
        say(&format!("figure: {name}, deb: {:.2} MB", size(&package(name).context("built")?)?))?;
    }
    let memory = idle(&lab, &agent)?;
    against("agent, idle RSS (Linux)", memory.rss, RSS_MB)?;
    say(&format!(
        "figure: agent, idle PSS (Linux): {:.2} MB, of it its own {:.2} MB",
        memory.pss, memory.private
    ))?;
    if skip::lacking(&[skip::WINDOWS]) {
        return Ok(());
    }
    windows(&Lab::new()?)
}

/// Under Wine, whose own libraries lie in the same process: an upper bound of what Windows would count.
fn windows(lab: &Lab) -> anyhow::Result<()> {
    let msi = msi_package(lab, "0.1.0")?;
    let controller = Controller::start(lab)?;
    let cli = Cli::log_in(&controller)?;
    let wine = Wine::new(lab)?;
    wine.join(&msi, &controller, &cli)?;
    cli.reported()?;
    std::thread::sleep(REST);
    against(
        "agent, program (Windows)",
        size(&wine.file(r"C:\Program Files\Aright\aright-agent.exe"))?,
        BINARY_MB,
    )?;
    against("agent, MSI", size(&msi)?, MSI_MB)?;
    let service = |entry: fs::DirEntry| {
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (line.contains("aright-agent.exe") && line.trim_end().ends_with("run")).then(|| entry.path())
    };
    let process = fs::read_dir("/proc")?.flatten().find_map(service).context("no service under Wine")?;
    let memory = Memory::of(&fs::read_to_string(process.join("smaps_rollup"))?)?;
    against("agent, idle private with Wine's own (Windows)", memory.private, PRIVATE_MB)
}

struct Memory {
    rss: f64,
    pss: f64,
    /// What no other process shares: without the program's own pages that were only read.
    private: f64,
}

fn idle(lab: &Lab, agent: &Path) -> anyhow::Result<Memory> {
    let controller = Controller::start(lab)?;
    let cli = Cli::log_in(&controller)?;
    let host = Host::boot(lab, "web1")?;
    let key = cli.enroll_key(1)?;
    let invitation = [
        format!("ARIGHT_CONTROLLER_URL={}", controller.agents_url()),
        format!("ARIGHT_ENROLL_KEY={}", key.secret),
        format!("ARIGHT_CA_FINGERPRINT={}", key.authority),
        format!("ARIGHT_TRUST_FINGERPRINT={}", key.trust),
    ];
    install(&host, agent, &invitation)?;
    cli.reported()?;
    std::thread::sleep(REST);
    let pid = host.stdout(&["systemctl", "show", "--value", "-p", "MainPID", "aright-agent"])?;
    let rollup = host.read(&format!("/proc/{pid}/smaps_rollup"))?;
    say(&rollup)?;
    Memory::of(&rollup)
}

impl Memory {
    /// Of proc_pid_smaps_rollup(5).
    fn of(rollup: &str) -> anyhow::Result<Self> {
        let kb = |what: &str| -> anyhow::Result<f64> {
            let line = rollup.lines().find_map(|line| line.strip_prefix(what)).context("no such count")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? * 1024.0 / MB)
        };
        let private = kb("Private_Clean:")? + kb("Private_Dirty:")?;
        Ok(Self { rss: kb("Rss:")?, pss: kb("Pss:")?, private })
    }
}

fn size(file: &Path) -> anyhow::Result<f64> {
    Ok(fs::metadata(file)?.len() as f64 / MB)
}

fn against(what: &str, megabytes: f64, aim: f64) -> anyhow::Result<()> {
    say(&format!("figure: {what}: {megabytes:.2} MB, {:.2} of the aim of {aim:.1} MB", megabytes / aim))
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
