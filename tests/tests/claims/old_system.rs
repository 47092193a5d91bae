//! The packaged programs on a system that is older than the one they were built on: Debian 11. Judged by the agent's
//! postures on the controller, and by `objdump`'s list of what the programs ask of the C library.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context as _, ensure};
use aright_tests::packages::{PACKAGES, package, unpack};
use aright_tests::skip::Need;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, Release, debian, needs, skip, success};

/// The newest version of the C library's symbols that any program may ask for.
const NEWEST: (u32, u32) = (2, 17);

#[test]
fn the_packaged_agent_enrols_and_evaluates_on_debian_11() -> anyhow::Result<()> {
    needs!(skip::HOSTS, skip::PACKAGES);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::of(&debian(Release::Debian11)?, &lab)?;
    // The library has no controls for Debian 11: it is asked for those of Debian 12, on the C library of 11.
    let release = chamber.read("/usr/lib/os-release")?;
    ensure!(release.contains("VERSION_ID=\"11\""), "{release}");
    chamber.write("/usr/lib/os-release", &release.replace("VERSION_ID=\"11\"", "VERSION_ID=\"12\""))?;
    let library = chamber.stdout(&["ldd", "--version"])?;
    let unpacked = lab.folder().join("unpacked");
    unpack(&package("aright-agent").context("built")?, &unpacked)?;

    let mut agent =
        Agent::of(&chamber, &unpacked.join("usr/sbin/aright-agent"), lab.folder().join("agent.log"))?;
    agent.enroll(&controller.agents_url(), &cli.enroll_key(1)?)?;
    agent.start()?;

    let asset = cli.reported()?;
    ensure!(asset.postures.error == 0 && asset.postures.pass > 0, "{asset:#?}");
    println!(
        "figure: on {} (Debian 11) the packaged agent enrols and evaluates: {} controls pass, {} fail, none ends in an \
         error",
        library.lines().next().unwrap_or_default(),
        asset.postures.pass,
        asset.postures.fail
    );
    Ok(())
}

#[test]
fn no_program_asks_for_a_newer_c_library() -> anyhow::Result<()> {
    needs!(skip::PACKAGES, &[Need::Program("objdump")]);
    let folder = tempfile::tempdir()?;
    for name in PACKAGES {
        let unpacked = folder.path().join(name);
        unpack(&package(name).context("built")?, &unpacked)?;
        let program = ["usr/sbin", "usr/bin"].map(|bin| unpacked.join(bin).join(name));
        let program = program.iter().find(|path| path.exists()).context("no program")?;
        let versions = asked(&success(Command::new("objdump").arg("-T").arg(program))?.stdout);
        let newest = versions.last().context("it asks for nothing")?;
        ensure!(*newest <= NEWEST, "{name} asks for GLIBC_{}.{}", newest.0, newest.1);
        println!("figure: {name} asks for nothing newer than GLIBC_{}.{}", newest.0, newest.1);
    }
    Ok(())
}

/// By `GLIBC_2.17` and the like.
fn asked(listing: &[u8]) -> BTreeSet<(u32, u32)> {
    let text = String::from_utf8_lossy(listing);
    let named = text.split("GLIBC_").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
        let mut numbers = rest[..end].split('.').map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    named.collect()
}
