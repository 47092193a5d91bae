//! The README's first command on a root that is not this machine's: values planted by chance are seen before, six
//! controls and more are fixed, and nothing of the root or of the machine's run-time parameters changes.
//! `.ci/run` runs `./try` itself besides, which builds first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use aright_tests::tree::{Listing, kernel_parameters};
use aright_tests::{Chamber, Lab, Place as _, binary, needs, skip};

const FOLDERS: [&str; 3] = ["/etc", "/usr/lib", "/boot"];
const LEAST_FIXED: usize = 6;

type Parameters = BTreeMap<PathBuf, Vec<u8>>;

#[test]
fn the_demo_fixes_a_view_and_leaves_the_host_alone() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let chamber = Chamber::new(&lab)?;
    for program in ["aright-demo", "aright-controller", "aright-agent", "aright"] {
        chamber.install(&binary(program)?, &format!("/opt/aright/{program}"))?;
    }
    let planted = plant(&chamber)?;
    let folders = FOLDERS.map(|folder| chamber.path(folder));
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    // Between the two idle readings files are read and a program is started, as by any process: what counts such
    // things is told from what is set.
    let first = kernel_parameters()?;
    let before = Listing::of(&folders)?;
    let machine = Listing::of(&[Path::new("/etc"), Path::new("/boot")])?;
    chamber.stdout(&["true"])?;
    let (parameters, restless) = settled(&first, kernel_parameters()?);

    let output = chamber.output(&["/opt/aright/aright-demo"])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{}\n{told}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );

    let changed = before.diff(&Listing::of(&folders)?);
    ensure!(changed.is_empty(), "the root changed: {changed:?}");
    let changed = machine.diff(&Listing::of(&[Path::new("/etc"), Path::new("/boot")])?);
    ensure!(changed.is_empty(), "this machine changed: {changed:?}");
    let after = kernel_parameters()?;
    // Counters that nobody can set may move at any time, also between two readings that happened to agree.
    let moved =
        parameters.iter().filter(|(path, value)| after.get(*path) != Some(value)).map(|(path, _)| path);
    let (moved, counters): (Vec<_>, Vec<_>) = moved.partition(|path| can_be_set(path));
    ensure!(moved.is_empty(), "kernel parameters changed: {moved:?}");
    let restless =
        restless.into_iter().chain(counters.into_iter().map(|path| name(path))).collect::<Vec<_>>();

    let shown = section(&told, "Before")?;
    for (control, value) in &planted {
        let row = shown
            .lines()
            .find(|line| line.contains(control))
            .with_context(|| format!("{control} in\n{shown}"))?;
        ensure!(row.starts_with("fail") && row.contains(value.as_str()), "{control}: {value} not in {row:?}");
    }
    let fixed = fixed(section(&told, "Before")?, section(&told, "After")?);
    ensure!(fixed.len() >= LEAST_FIXED, "fixed: {fixed:?}\n{told}");
    ensure!(planted.iter().all(|(control, _)| fixed.contains(control)), "fixed: {fixed:?}");
    println!(
        "figure: {} controls failed before and pass after, the planted {:?} among them; {} files of the root and \
         {} kernel parameters as before ({} left out, restless by themselves: {})",
        fixed.len(),
        planted.iter().map(|(_, value)| value).collect::<Vec<_>>(),
        before.len(),
        parameters.len(),
        restless.len(),
        restless.join(" ")
    );
    Ok(())
}

/// Failing values that nobody can know beforehand, by control.
fn plant(chamber: &Chamber) -> anyhow::Result<Vec<(String, String)>> {
    let pick = |most: u32| getrandom::u32().map(|number| number % most).unwrap_or(0);
    let days = (400 + pick(90_000)).to_string();
    let umask = ["000", "002", "022", "012"][pick(4) as usize].to_owned();
    let timeout = (1_000 + pick(8_000)).to_string();
    let defs = chamber.read("/etc/login.defs")?;
    let replaced = |line: &str| match line.split_whitespace().next() {
        Some("PASS_MAX_DAYS") => format!("PASS_MAX_DAYS\t{days}"),
        Some("UMASK") => format!("UMASK\t\t{umask}"),
        _ => line.to_owned(),
    };
    let defs: Vec<_> = defs.lines().map(replaced).collect();
    chamber.write("/etc/login.defs", &(defs.join("\n") + "\n"))?;
    chamber.write("/etc/profile.d/corporate.sh", &format!("# set by hand\nexport TMOUT={timeout}\n"))?;
    let named = |control: &str, value| (control.to_owned(), value);
    Ok(vec![
        named("login-defs-pass-max-days", days),
        named("login-defs-umask", umask),
        named("shell-idle-timeout", timeout),
    ])
}

/// The parameters that two idle readings agree on, and the names of the others.
fn settled(first: &Parameters, mut second: Parameters) -> (Parameters, Vec<String>) {
    let restless = first.iter().filter(|(path, value)| second.get(*path) != Some(value));
    let restless: Vec<_> = restless.map(|(path, _)| path.clone()).collect();
    second.retain(|path, _| first.contains_key(path) && !restless.contains(path));
    (second, restless.iter().map(|path| name(path)).collect())
}

fn can_be_set(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|meta| std::os::unix::fs::PermissionsExt::mode(&meta.permissions()) & 0o222 != 0)
}

fn name(path: &Path) -> String {
    path.display().to_string().replace("/proc/sys/", "")
}

/// What stands under a heading.
fn section<'t>(told: &'t str, heading: &str) -> anyhow::Result<&'t str> {
    let start = told.find(&format!("== {heading}")).with_context(|| format!("no {heading:?} in\n{told}"))?;
    let rest = &told[start..];
    let body = rest.split_once('\n').map_or("", |(_, body)| body);
    Ok(body.split("\n== ").next().unwrap_or(body))
}

/// Controls with a failing row before and only passing ones after.
fn fixed(before: &str, after: &str) -> Vec<String> {
    let rows = |text: &str, status: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with(status));
        rows.filter_map(|line| line.split_whitespace().nth(2).map(str::to_owned)).collect()
    };
    let (mut failed, still) = (rows(before, "fail"), rows(after, "fail"));
    let passing = rows(after, "pass");
    failed.sort();
    failed.dedup();
    failed.retain(|control| passing.contains(control) && !still.contains(control));
    failed
}

/// On this machine, since a user's namespace wants a whole `/proc`.
#[test]
fn without_root_the_demo_previews() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    // The lab's own /run, so that whoever it is may start them.
    for program in ["aright-demo", "aright-controller", "aright-agent", "aright"] {
        lab.install(&binary(program)?, &format!("/run/aright/{program}"))?;
    }
    let folders = [Path::new("/etc"), Path::new("/boot")];
    let before = Listing::of(&folders)?;
    let output = lab.output(&["runuser", "-u", "nobody", "--", "/run/aright/aright-demo"])?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    ensure!(told.contains("+UMASK"), "{told}");
    ensure!(told.contains("login-defs-umask-fix") && told.contains("the same command as root"), "{told}");
    let changed = before.diff(&Listing::of(&folders)?);
    ensure!(changed.is_empty(), "this machine changed: {changed:?}");
    let last = told.lines().find(|line| line.contains("would make their controls pass")).context("no sum")?;
    println!("figure: without root: {}", last.trim());
    Ok(())
}
