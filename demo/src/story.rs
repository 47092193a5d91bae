//! What the demo shows, in order: before, what is left out and why, progress, each diff, after.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::fleet::{self, Cli, Place};
use crate::witness::Witness;

/// # Errors
/// A program that did not start or refused, or nothing that could be fixed.
pub fn tell(bin: &Path, keep: bool) -> anyhow::Result<()> {
    if nix::unistd::geteuid().is_root() { fix(bin, keep) } else { preview(bin, keep) }
}

/// As an ordinary user: what each fix would change, on private copies of what they may read.
fn preview(bin: &Path, keep: bool) -> anyhow::Result<()> {
    let work = tempfile::Builder::new().prefix("aright-demo-").tempdir().context("a work folder")?;
    say(
        "You are not root, so nothing can be fixed here; what the fixes would change is previewed on private copies.",
    );
    say("Starting a controller on loopback, and an agent …");
    let mut fleet = fleet::start(bin, work.path(), Place::AsItIs)?;
    fleet.wait_for_posture()?;

    heading("This host as it is");
    fleet.cli.show(&["posture", "list"])?;
    let asset = fleet.cli.json(&["asset", "list"])?;
    let asset = asset[0]["id"].as_str().context("no asset")?.to_owned();

    heading("What each fix would change");
    let (mut good, mut others) = (Vec::new(), Vec::new());
    for script in scripts_for_failed(&fleet.cli)? {
        let detail = fleet.cli.json(&["preview", &script, "--asset", &asset])?;
        show_diff(&detail);
        match detail["outcome"].as_str() {
            Some("fixed") => good.push(script),
            outcome => {
                say(&format!("  {}", harmless(&detail["detail"])));
                others.push(format!("{script} ({})", outcome.unwrap_or("no outcome")));
            }
        }
    }
    say(&format!("\n{} fixes would make their controls pass: {}", good.len(), good.join(", ")));
    if !others.is_empty() {
        say(&format!("Not to be told without root: {}", others.join(", ")));
    }
    say(
        "Owners, modes and secrets are for root to see; next: the same command as root (sudo) fixes, in a throwaway view.",
    );
    ensure!(!good.is_empty(), "no fix could be previewed");
    if keep {
        stay(&fleet, bin)?;
    }
    Ok(())
}

/// Keys of the library's scripts for what fails here.
fn scripts_for_failed(cli: &Cli) -> anyhow::Result<BTreeSet<String>> {
    let mut scripts = BTreeSet::new();
    for posture in cli.json(&["posture", "list", "--status", "fail"])?.as_array().into_iter().flatten() {
        let detail = cli.json(&["posture", "show", posture["id"].as_str().unwrap_or_default()])?;
        let keys = detail["scripts"].as_array().into_iter().flatten();
        scripts.extend(keys.filter_map(Value::as_str).map(str::to_owned));
    }
    Ok(scripts)
}

fn fix(bin: &Path, keep: bool) -> anyhow::Result<()> {
    let host = Witness::look();
    let work = tempfile::Builder::new().prefix("aright-demo-").tempdir().context("a work folder")?;
    say("Starting a controller on loopback, and an agent whose / is a throwaway view of this host's …");
    let mut fleet = fleet::start(bin, work.path(), Place::View)?;
    fleet.wait_for_posture()?;

    heading("Before: this host as it is");
    fleet.cli.show(&["posture", "list"])?;
    let before = statuses(&fleet.cli)?;

    let plan = Plan::make(&fleet.cli)?;
    plan.show_left_out();
    ensure!(
        !plan.chosen.is_empty(),
        "nothing fails here that the demo can fix without touching the running system"
    );

    heading(&format!(
        "Remediating, each on a stage first: {}",
        plan.chosen.iter().cloned().collect::<Vec<_>>().join(", ")
    ));
    let job = work.path().join("job.yaml");
    std::fs::write(&job, plan.job().to_string())?;
    let job = fleet.cli.json(&["job", "create", "--file", &job.to_string_lossy()])?;
    let id = job["id"].as_str().context("the job has no id")?;
    fleet.cli.show(&["job", "watch", id])?;

    heading("What each fix changed");
    let run = job["runs"][0]["id"].as_str().context("the job has no run")?;
    for task in fleet.cli.json(&["task", "list", "--run", run])?.as_array().into_iter().flatten() {
        let detail = fleet.cli.json(&["task", "show", task["id"].as_str().unwrap_or_default()])?;
        show_diff(&detail);
    }

    heading("After");
    fleet.cli.show(&["posture", "list"])?;
    let after = statuses(&fleet.cli)?;
    let fixed = fixed(&before, &after);

    let differences = Witness::look().differences(&host);
    say("");
    let s = if fixed.len() == 1 { "" } else { "s" };
    say(&format!("{} control{s} failed before and pass after: {}", fixed.len(), fixed.join(", ")));
    if differences.is_empty() {
        say(&format!("The host itself: {} files below /etc and /boot, all as they were.", host.len()));
    } else {
        say(&format!("Changed on the host meanwhile, by others or by us: {}", differences.join(", ")));
    }
    ensure!(!fixed.is_empty(), "no control was fixed");
    if keep {
        stay(&fleet, bin)?;
    }
    Ok(())
}

/// The failed controls that the view can hold, and those that are left out, each with the reason.
struct Plan {
    chosen: BTreeSet<String>,
    postures: Vec<String>,
    left_out: BTreeMap<String, String>,
}

impl Plan {
    fn make(cli: &Cli) -> anyhow::Result<Self> {
        let mut plan = Self { chosen: BTreeSet::new(), postures: Vec::new(), left_out: BTreeMap::new() };
        let live = reasons_by_control(cli)?;
        for posture in cli.json(&["posture", "list", "--status", "fail"])?.as_array().into_iter().flatten() {
            let control = posture["control"].as_str().unwrap_or_default().to_owned();
            let id = posture["id"].as_str().unwrap_or_default();
            if posture["fix_available"] != true {
                plan.left_out.insert(control, "the library has no script for it".into());
            } else if posture["remediable"] != true {
                plan.left_out.insert(control, "the asset is not eligible; see aright asset show".into());
            } else if let Some(reason) = live.get(&control) {
                plan.left_out.insert(control, reason.clone());
            } else {
                plan.postures.push(id.to_owned());
                plan.chosen.insert(control);
            }
        }
        Ok(plan)
    }

    fn show_left_out(&self) {
        if self.left_out.is_empty() {
            return;
        }
        heading("Left out");
        for (control, reason) in &self.left_out {
            say(&format!("{control}: {reason}"));
        }
    }

    /// JSON, which is YAML too.
    fn job(&self) -> Value {
        json!({ "name": "demo", "postures": self.postures, "hold_s": 1 })
    }
}

/// Controls whose fix acts on what no view can throw away: running services, the machine's kernel.
fn reasons_by_control(cli: &Cli) -> anyhow::Result<BTreeMap<String, String>> {
    let mut reasons = BTreeMap::new();
    for script in cli.json(&["script", "list"])?.as_array().into_iter().flatten() {
        let key = script["key"].as_str().unwrap_or_default();
        let detail = cli.json(&["script", "show", key])?;
        let script: Value = serde_json::from_str(detail["bytes"].as_str().unwrap_or_default())?;
        let Some(reason) = acts_on_the_machine(&script) else { continue };
        for fix in script["fixes"].as_array().into_iter().flatten() {
            reasons.insert(fix["control"].as_str().unwrap_or_default().to_owned(), reason.clone());
        }
    }
    Ok(reasons)
}

fn acts_on_the_machine(script: &Value) -> Option<String> {
    for step in script["activate"].as_array().into_iter().flatten() {
        for (kind, what) in step.as_object().into_iter().flatten() {
            let names: Vec<_> = what.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            match kind.as_str() {
                "sysctl" if names.iter().all(|name| name.starts_with("net.")) => {}
                "sysctl" => return Some(format!("would set {} of the running kernel", names.join(", "))),
                kind => return Some(format!("would {kind} a running service ({})", names.join(" or "))),
            }
        }
    }
    None
}

/// The status of every control: `pass` only where all its instances pass.
fn statuses(cli: &Cli) -> anyhow::Result<BTreeMap<String, bool>> {
    let mut passes = BTreeMap::new();
    for posture in cli.json(&["posture", "list"])?.as_array().into_iter().flatten() {
        let control = posture["control"].as_str().unwrap_or_default().to_owned();
        let all = passes.entry(control).or_insert(true);
        *all &= posture["status"] == "pass";
    }
    Ok(passes)
}

fn fixed(before: &BTreeMap<String, bool>, after: &BTreeMap<String, bool>) -> Vec<String> {
    let now = |control: &String| after.get(control).copied().unwrap_or(false);
    before
        .iter()
        .filter(|(control, passed)| !**passed && now(control))
        .map(|(control, _)| control.clone())
        .collect()
}

fn show_diff(detail: &Value) {
    say(&format!(
        "\n{}: {}",
        detail["title"].as_str().unwrap_or("?"),
        detail["outcome"].as_str().unwrap_or("?")
    ));
    for file in detail["report"]["diff"].as_array().into_iter().flatten() {
        say(&format!("  {} {}", file["change"].as_str().unwrap_or("?"), harmless(&file["path"])));
        for fact in file["facts"].as_array().into_iter().flatten() {
            say(&format!("    {}", harmless(fact)));
        }
        for line in harmless(&file["text"]).lines() {
            say(&format!("    {line}"));
        }
    }
    for step in detail["report"]["activation"].as_array().into_iter().flatten() {
        say(&format!("  {}: {}", harmless(&step["what"]), harmless(&step["result"])));
    }
}

/// Text of a host without control characters.
fn harmless(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default().replace('\t', "    ");
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn stay(fleet: &fleet::Fleet, bin: &Path) -> anyhow::Result<()> {
    heading("Left running until Ctrl-C; look around with");
    say(&format!("  export ARIGHT_CONFIG={} PATH={}:$PATH", fleet.cli.session.display(), bin.display()));
    say("  aright asset list");
    say("  aright posture list --status fail");
    say("  aright job list");
    say("  aright task list");
    let mut signals = nix::sys::signal::SigSet::empty();
    signals.add(nix::sys::signal::Signal::SIGINT);
    signals.add(nix::sys::signal::Signal::SIGTERM);
    signals.thread_block()?;
    signals.wait()?;
    Ok(())
}

fn heading(text: &str) {
    say(&format!("\n== {text} =="));
}

fn say(text: &str) {
    use std::io::Write as _;
    // A reader that went away (`| head`) ends nothing.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
