//! The SCAP Security Guide, judged by OpenSCAP: content and evaluator that nobody here wrote.
//!
//! `oscap` runs inside the host, in all of its namespaces, so that it sees run-time values as they are
//! there. It brings its own libraries along in a folder under `/run`, removed afterwards.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::debian;
use crate::place::Place;
use crate::process::success;

/// Debian 12 offers 0.1.65, which does not know Debian 12.
const SUITE: &str = "sid";
/// Its values are those of our library's policy: 365 days, 45 days and so on.
const PROFILE: &str = "xccdf_org.ssgproject.content_profile_cis_level2_server";
const RULE: &str = "xccdf_org.ssgproject.content_rule_";
const BESIDE: &str = "/run/oscap";

/// Our controls whose subject SSG judges in the same way, with its rules for it: on a stock Debian 12 all
/// of these fail, and after our fixes all pass.
///
/// Not among them, though the subjects are the same: SSH options (SSG for Debian 12 reads only
/// `sshd_config` itself, not the drop-ins; `sshd -T` is the judge there), and TMOUT (SSG wants `typeset
/// -xr` or `declare -xr` on its line).
pub const COUNTERPARTS: &[(u32, &[&str])] = &[
    (10013, &["file_permissions_sshd_config"]),
    (10018, &["accounts_maximum_age_login_defs"]),
    (10021, &["accounts_umask_etc_login_defs"]),
    (10022, &["account_disable_post_pw_expiration"]),
    (10037, &["file_permissions_crontab"]),
    (
        10038,
        &[
            "file_permissions_cron_hourly",
            "file_permissions_cron_daily",
            "file_permissions_cron_weekly",
            "file_permissions_cron_monthly",
            "file_permissions_cron_d",
        ],
    ),
    (10044, &["sysctl_net_ipv4_conf_all_send_redirects", "sysctl_net_ipv4_conf_default_send_redirects"]),
    (10049, &["sysctl_fs_suid_dumpable"]),
    (
        10051,
        &[
            "kernel_module_cramfs_disabled",
            "kernel_module_freevxfs_disabled",
            "kernel_module_hfs_disabled",
            "kernel_module_hfsplus_disabled",
            "kernel_module_jffs2_disabled",
        ],
    ),
    (10052, &["kernel_module_usb-storage_disabled"]),
];

/// What `oscap` says of each rule on a running host: `pass`, `fail`, `notapplicable` and so on.
///
/// # Errors
/// `oscap`'s words; a rule of which it says nothing.
pub fn evaluate(host: &impl Place, rules: &[&str]) -> anyhow::Result<BTreeMap<String, String>> {
    let kit = kit()?;
    let beside = host.path(BESIDE);
    success(Command::new("cp").args(["-r", "--reflink=auto"]).arg(kit).arg(&beside))?;
    let output = oscap(host, rules).arg(format!("{BESIDE}/content.xml")).output()?;
    fs::remove_dir_all(&beside)?;
    let text = String::from_utf8_lossy(&output.stdout);
    // 2: at least one rule does not pass.
    ensure!(
        matches!(output.status.code(), Some(0 | 2)),
        "oscap: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let verdicts = verdicts(&text);
    for rule in rules {
        ensure!(verdicts.contains_key(*rule), "oscap says nothing of {rule}:\n{text}");
    }
    Ok(verdicts)
}

/// `oscap`, ready to evaluate these rules, to remediate those that fail and to evaluate them again. Leaves its
/// program and content on the host.
///
/// # Errors
/// `cp`'s words.
pub fn remediation(host: &impl Place, rules: &[&str]) -> anyhow::Result<Command> {
    success(
        Command::new("cp")
            .args(["-r", "--reflink=auto", "--no-target-directory"])
            .arg(kit()?)
            .arg(host.path(BESIDE)),
    )?;
    let mut command = oscap(host, rules);
    command.arg("--remediate").arg(format!("{BESIDE}/content.xml"));
    Ok(command)
}

fn oscap(host: &impl Place, rules: &[&str]) -> Command {
    let mut command = host.command("env");
    for (name, folder) in [("SCHEMA", "schemas"), ("XSLT", "xsl"), ("CPE", "cpe")] {
        command.arg(format!("OSCAP_{name}_PATH={BESIDE}/share/{folder}"));
    }
    command.arg(format!("{BESIDE}/lib/ld.so")).args(["--library-path", &format!("{BESIDE}/lib")]);
    command.arg(format!("{BESIDE}/oscap")).args(["xccdf", "eval", "--profile", PROFILE]);
    for rule in rules {
        command.args(["--rule", &format!("{RULE}{rule}")]);
    }
    command.stdin(Stdio::null());
    command
}

/// From lines `Rule<tab>id` and `Result<tab>word`, their labels padded with a carriage return.
fn verdicts(text: &str) -> BTreeMap<String, String> {
    let mut verdicts = BTreeMap::new();
    let mut rule = None;
    for (label, value) in text.lines().filter_map(|line| line.split_once('\t')) {
        match label.trim() {
            "Rule" => rule = value.strip_prefix(RULE),
            "Result" => verdicts.extend(rule.take().map(|rule| (rule.to_owned(), value.to_owned()))),
            _ => {}
        }
    }
    verdicts
}

/// The evaluator with its libraries, and the content for Debian 12.
fn kit() -> anyhow::Result<PathBuf> {
    debian::once("oscap", |aside| {
        fs::create_dir_all(aside.join("lib"))?;
        let program = Path::new("/usr/bin/oscap");
        fs::copy(program, aside.join("oscap"))?;
        for library in libraries(program)? {
            let name = library.file_name().context("a library without a name")?;
            let name = if name.as_encoded_bytes().starts_with(b"ld-linux") { "ld.so".as_ref() } else { name };
            fs::copy(&library, aside.join("lib").join(name))?;
        }
        success(Command::new("cp").args(["-rL", "/usr/share/openscap"]).arg(aside.join("share")))?;
        let content = content(&aside.join("package"))?;
        fs::rename(content, aside.join("content.xml"))?;
        fs::remove_dir_all(aside.join("package"))?;
        Ok(())
    })
}

/// As `ldd` lists them, the loader among them.
fn libraries(program: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let output = success(Command::new("ldd").arg(program))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

/// Downloads the package of the other suite, without this system's own package lists taking notice.
fn content(folder: &Path) -> anyhow::Result<PathBuf> {
    let mirror = debian::mirror().context("this machine's apt names no Debian mirror")?;
    for below in ["lists/partial", "cache/archives/partial", "tree"] {
        fs::create_dir_all(folder.join(below))?;
    }
    let list = folder.join("other.list");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(&list, format!("deb [signed-by={keys}] {mirror} {SUITE} main\n"))?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        for (option, value) in [
            ("Dir::Etc::sourcelist", list.as_path()),
            ("Dir::Etc::sourceparts", Path::new("/dev/null")),
            ("Dir::State::lists", &folder.join("lists")),
            ("Dir::Cache", &folder.join("cache")),
            ("APT::Sandbox::User", Path::new("root")),
        ] {
            apt.arg("-o").arg(format!("{option}={}", value.display()));
        }
        apt.current_dir(folder);
        apt
    };
    success(apt().arg("update"))?;
    success(apt().args(["download", "ssg-debian"]))?;
    let package = fs::read_dir(folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt-get downloaded no package")?;
    success(Command::new("dpkg-deb").arg("-x").arg(package).arg(folder.join("tree")))?;
    Ok(folder.join("tree/usr/share/xml/scap/ssg/content/ssg-debian12-ds.xml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_the_result_that_follows_it() {
        let text = format!(
            "Title\r\tA\nRule\r\t{RULE}a\nResult\r\tfail\n\nTitle\r\tB\nRule\r\t{RULE}b\nResult\r\tpass\n"
        );
        let verdicts = verdicts(&text);
        assert_eq!(verdicts.get("a").map(String::as_str), Some("fail"));
        assert_eq!(verdicts.get("b").map(String::as_str), Some("pass"));
    }
}
