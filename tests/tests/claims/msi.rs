//! The agent's package for Windows: what it installs, what an upgrade keeps, and that a removal leaves nothing.
//! Judged by the registry, the service manager and the disk, under Wine.

mod job;
mod services;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, ensure};
use aright_tests::{Lab, Wine, msi_package, needs, skip};

const DATA: &str = r"C:\ProgramData\Aright";
const PROGRAM: &str = r"C:\Program Files\Aright\aright-agent.exe";
const PROGRAMS: &str = r"HKLM\Software\Microsoft\Windows\CurrentVersion\Uninstall";
const TOLD: &str = r"HKLM\SOFTWARE\Aright\Agent";
const EVENTS: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\aright-agent";

/// Nobody answers there: a controller that is away stops no installation.
const PROPERTIES: [(&str, &str); 4] = [
    ("CONTROLLER_URL", "https://127.0.0.1:9"),
    ("ENROLL_KEY", "a-key-of-nobody"),
    ("CA_FINGERPRINT", "sha256:0000000000000000000000000000000000000000000000000000000000000000"),
    ("TRUST_FINGERPRINT", "sha256:1111111111111111111111111111111111111111111111111111111111111111"),
];

#[test]
fn an_upgrade_keeps_the_data_and_a_removal_leaves_nothing() -> anyhow::Result<()> {
    needs!(skip::LAB, skip::WINDOWS);
    let lab = Lab::new()?;
    let wine = Wine::new(&lab)?;
    let (old, new) = (msi_package(&lab, "0.1.0")?, msi_package(&lab, "0.1.1")?);
    let before = Kept::of(&wine)?;

    wine.install(&old, &PROPERTIES)?;
    is_installed(&wine, "0.1.0")?;
    was_told(&wine)?;
    fs::write(wine.file(&format!(r"{DATA}\witness")), "kept")?;

    wine.install(&new, &[])?;
    is_installed(&wine, "0.1.1")?;
    was_told(&wine)?;
    ensure!(fs::read_to_string(wine.file(&format!(r"{DATA}\witness")))? == "kept");
    let refused = wine.install(&old, &[]);
    ensure!(refused.is_err(), "an older package replaced a newer one");
    is_installed(&wine, "0.1.1")?;

    wine.remove(&new)?;
    let after = Kept::of(&wine)?;
    ensure!(after == before, "before {before:#?}\nafter {after:#?}");
    println!("figure: a package of {} bytes", fs::metadata(&new)?.len());
    Ok(())
}

#[test]
fn a_planted_state_folder_is_not_believed() -> anyhow::Result<()> {
    needs!(skip::LAB, skip::WINDOWS);
    let lab = Lab::new()?;
    let wine = Wine::new(&lab)?;
    wine.install(&msi_package(&lab, "0.1.0")?, &PROPERTIES)?;
    let status = |state: &str| wine.windows(PROGRAM).args(["--state", state, "status"]).output();

    let planted = r"C:\planted";
    fs::create_dir(wine.file(planted))?;
    fs::write(wine.file(r"C:\planted\identity.json"), "{}")?;
    let said = String::from_utf8(status(planted)?.stderr)?;
    ensure!(said.contains(planted) && said.contains("/setowner"), "{said}");

    let empty = r"C:\empty";
    fs::create_dir(wine.file(empty))?;
    let output = status(empty)?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mode = fs::metadata(wine.file(empty))?.permissions().mode() & 0o777;
    ensure!(mode & 0o007 == 0, "an empty one was left open to others: {mode:o}");
    // What it made itself it goes on believing.
    ensure!(status(empty)?.status.success());
    Ok(())
}

fn is_installed(wine: &Wine, version: &str) -> anyhow::Result<()> {
    ensure!(wine.file(PROGRAM).is_file(), "{PROGRAM} is not there");
    let state = wine.service("aright-agent")?;
    ensure!(state.as_deref() == Some("RUNNING"), "the service is {state:?}");
    let programs = wine.registry(PROGRAMS)?.context("no programs at all")?;
    let ours: Vec<&str> = programs.split("\n\n").filter(|one| one.contains("\"Aright agent\"")).collect();
    let [ours] = ours.as_slice() else { anyhow::bail!("{} entries in {programs}", ours.len()) };
    ensure!(ours.contains(&format!("\"DisplayVersion\"=\"{version}\"")), "{ours}");
    let events = wine.registry(EVENTS)?.context("no source of events")?;
    ensure!(events.contains("\"TypesSupported\"=dword:00000007"), "{events}");
    Ok(())
}

/// All that the installer was told waits for the controller.
fn was_told(wine: &Wine) -> anyhow::Result<()> {
    let told = wine.registry(TOLD)?.context("the service was told nothing")?;
    let names = ["ControllerUrl", "EnrollKey", "CaFingerprint", "TrustFingerprint"];
    for (name, (_, value)) in names.iter().zip(PROPERTIES) {
        ensure!(told.contains(&format!("\"{name}\"=\"{value}\"")), "{name} is not {value} in {told}");
    }
    Ok(())
}

/// Whatever a removal could leave.
#[derive(Debug, PartialEq)]
struct Kept {
    service: Option<String>,
    keys: Vec<Option<String>>,
    folders: Vec<Vec<String>>,
}

impl Kept {
    fn of(wine: &Wine) -> anyhow::Result<Self> {
        let names = |folder: &str| -> anyhow::Result<Vec<String>> {
            let entries = fs::read_dir(wine.file(folder))?.collect::<Result<Vec<_>, _>>()?;
            let mut names: Vec<_> =
                entries.iter().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
            names.sort();
            Ok(names)
        };
        Ok(Self {
            service: wine.service("aright-agent")?,
            keys: [
                PROGRAMS,
                EVENTS,
                r"HKLM\SOFTWARE\Aright",
                r"HKLM\SYSTEM\CurrentControlSet\Services\aright-agent",
            ]
            .iter()
            .map(|key| wine.registry(key))
            .collect::<Result<_, _>>()?,
            folders: ["C:\\", r"C:\Program Files", r"C:\ProgramData"]
                .iter()
                .map(|folder| names(folder))
                .collect::<Result<_, _>>()?,
        })
    }
}
