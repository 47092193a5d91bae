//! Debian's own judge of packages.

use std::process::Command;

use anyhow::{Context as _, ensure};
use aright_tests::packages::{PACKAGES, package};
use aright_tests::skip::Need;
use aright_tests::{needs, skip};

#[test]
fn lintian_finds_no_error() -> anyhow::Result<()> {
    needs!(skip::PACKAGES, &[Need::Program("lintian")]);
    let mut warnings = 0;
    for name in PACKAGES {
        let package = package(name).context("built")?;
        let judged = Command::new("lintian")
            .args(["--allow-root", "--no-cfg", "--fail-on", "error", "--tag-display-limit", "0"])
            .arg(&package)
            .output()?;
        let said = String::from_utf8_lossy(&judged.stdout).into_owned();
        ensure!(judged.status.success(), "{name}: {said}{}", String::from_utf8_lossy(&judged.stderr));
        warnings += said.lines().filter(|line| line.starts_with("W:")).count();
    }
    println!("figure: lintian: no errors and {warnings} warnings in {} packages", PACKAGES.len());
    Ok(())
}
