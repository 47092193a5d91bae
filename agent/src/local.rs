//! What the agent does on its own host without a controller: evaluate, explain, status, undo, switch off.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use std::sync::Arc;

use anyhow::Context as _;
use aright_shared::id::{Key, TaskId};
use aright_shared::library::Library;
use aright_shared::outcome::HostChange;
use aright_shared::posture::{Observation, Verdict, judge};
use aright_shared::text::{self, plain};
use aright_shared::time::{Clock as _, Millis, WallClock};
use serde_json::json;

use crate::commit::place::shown;
use crate::config::Config;
use crate::controllers::in_order;
use crate::enroll::Invitation;
use crate::evaluate::{Evaluation, Evaluator};
use crate::identity::{NewKey, StateDir};
use crate::leave::Left;
use crate::probe::View;
use crate::root::Root;
use crate::task::host::Host as _;
use crate::task::spool::Spool;
use crate::{cut_off, preview, service, sight, undo};

/// A control fails, or a preview: for scripts that ask by exit code.
const FAILS: u8 = 3;

/// Writes to stdout; a reader that went away ends nothing.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

pub fn enroll(config: &Config, invitation: &Invitation) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let asset = runtime.block_on(crate::enroll::enroll(config, invitation, &NewKey::make()?))?;
    say(&format!("enrolled as asset {asset}; next: start the service: {}", service::START));
    Ok(())
}

/// Whether `run` has anybody to run for. What is damaged is its to say.
pub fn can_run(config: &Config) -> anyhow::Result<ExitCode> {
    let enrolled = config.state.join("identity.json").try_exists().unwrap_or(true);
    if enrolled || config.enroll_key_file.is_some() {
        return Ok(ExitCode::SUCCESS);
    }
    say("this host is not enrolled; next: aright-agent enroll --help");
    Ok(ExitCode::FAILURE)
}

pub fn recover(config: &Config) -> anyhow::Result<()> {
    for report in cut_off::finish(config)? {
        say(&plain(&format!(
            "task {}: {}, {}: {}",
            report.task, report.outcome, report.change, report.detail
        )));
    }
    Ok(())
}

pub fn leave(config: &Config) -> anyhow::Result<()> {
    // The controller is told all the same.
    let whole = recover(config).inspect_err(|error| eprintln!("aright-agent: {error:#}")).is_ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let left = runtime.block_on(crate::leave::leave(config));
    // A name look-up that hangs is not waited for.
    runtime.shutdown_background();
    match left? {
        Left::NeverEnrolled => say(&format!(
            "this host is not enrolled (nothing in {}): there is nobody to tell",
            config.state.display()
        )),
        Left::Revoked(asset) => say(&format!("the controller has revoked this host, asset {asset}")),
        Left::Before(asset) => say(&format!("the controller had revoked this host before, asset {asset}")),
    }
    anyhow::ensure!(whole, "this host is left half-done, as said above");
    Ok(())
}

pub fn enable(config: &Config) -> anyhow::Result<()> {
    match StateDir::open(&config.state)?.remove("disabled.json")? {
        true => say("this host can be remediated again"),
        false => say("this host was not disabled"),
    }
    Ok(())
}

pub fn disable(config: &Config, reason: &str) -> anyhow::Result<()> {
    StateDir::open(&config.state)?.write("disabled.json", &reason)?;
    say("this host runs nothing from now on; next: aright-agent enable");
    Ok(())
}

pub fn check_config(path: &Path, config: &Config) -> anyhow::Result<()> {
    say(&format!("# {} is valid; in force is", path.display()));
    say(&toml::to_string(config)?);
    Ok(())
}

pub fn reset_time(config: &Config) -> anyhow::Result<()> {
    let state = StateDir::open(&config.state)?;
    let was: Option<Millis> = state.read("controller-time.json").unwrap_or_default();
    match state.remove("controller-time.json")? {
        true => say(&format!(
            "forgotten: {}; next: restart the service",
            was.map_or("unreadable".into(), |was| was.to_string())
        )),
        false => say("no controller time was known"),
    }
    Ok(())
}

fn look(keys: &[Key]) -> anyhow::Result<Evaluation> {
    let library = Library::builtin();
    if let Some(unknown) = keys.iter().find(|key| library.control(key).is_none()) {
        anyhow::bail!(
            "control {unknown} is not in this agent's library; next: aright-agent evaluate lists them"
        );
    }
    let root = Root::live().context("the root folder cannot be opened")?;
    let evaluator = Evaluator::new(library, &root, &View::Live, WallClock.now());
    Ok(if keys.is_empty() { evaluator.all() } else { evaluator.controls(keys) })
}

/// What the library's own expected value says of an observation.
fn verdict(observation: &Observation) -> Option<Verdict> {
    let on = Library::builtin().control(&observation.spot.control)?.on(&observation.spot.technology)?;
    Some(judge(&observation.reading, &on.expect))
}

pub fn evaluate(keys: &[Key], as_json: bool) -> anyhow::Result<ExitCode> {
    let seen = look(keys)?;
    let judged: Vec<_> = seen.observations.iter().filter_map(|one| Some((verdict(one)?, one))).collect();
    if as_json {
        let rows: Vec<_> =
            judged.iter().map(|(verdict, one)| json!({ "verdict": verdict, "observation": one })).collect();
        let whole = json!({
            "technologies": seen.technologies,
            "observations": rows,
            "not_applicable": seen.not_applicable,
        });
        say(&serde_json::to_string_pretty(&whole)?);
    } else {
        if seen.technologies.is_empty() {
            say("no technology of the library was found on this host");
        }
        for (verdict, one) in &judged {
            let number = Library::builtin().control(&one.spot.control).map_or(0, |control| control.number);
            let instance = if one.spot.instance == "default" { "" } else { &one.spot.instance };
            say(&plain(&format!(
                "{:5}  {number}  {} {instance}  {}",
                verdict.as_str(),
                one.spot.control,
                one.reading
            )));
        }
        for one in &seen.not_applicable {
            say(&plain(&format!("-      {}: does not apply: {}", one.control, one.reason)));
        }
    }
    let fails = judged.iter().any(|(verdict, _)| *verdict != Verdict::Pass);
    Ok(if fails { ExitCode::from(FAILS) } else { ExitCode::SUCCESS })
}

pub fn explain(key: &Key) -> anyhow::Result<()> {
    let library = Library::builtin();
    let seen = look(std::slice::from_ref(key))?;
    let control = library.control(key).context("the control is gone")?;
    say(&format!("{} {}: {}", control.number, control.key, control.statement));
    say(&format!("\n{}", control.rationale.trim()));
    for one in &seen.not_applicable {
        say(&plain(&format!("\ndoes not apply on {}: {}", one.technology, one.reason)));
    }
    for one in &seen.observations {
        let Some(on) = control.on(&one.spot.technology) else { continue };
        let verdict = judge(&one.reading, &on.expect);
        say(&plain(&format!("\n{verdict} on {} ({})", one.spot.technology, one.spot.instance)));
        say(&plain(&format!("  expected  {}", on.expect)));
        say(&plain(&format!("  seen      {}", one.reading)));
        for managed in &one.managed {
            say(&plain(&format!("  beware    {managed}")));
        }
        for evidence in &one.evidence {
            let place = evidence.place.as_deref().map_or_else(String::new, |place| format!(", {place}"));
            say(&plain(&format!("  in        {}{place}: {}", evidence.source, evidence.text.trim_end())));
        }
        for script in library.fixes(key, &one.spot.technology) {
            let touches: Vec<_> = script.touches.iter().map(ToString::to_string).collect();
            say(&format!("  fix       {}: may change {}", script.key, touches.join(", ")));
            if let Some(set) = on.set() {
                say(&plain(&format!("            writes {}", set.plain())));
            }
            for step in &script.activate {
                say(&format!("            then {}", serde_json::to_string(step)?));
            }
        }
    }
    Ok(())
}

/// Tries a script on a stage of this host and tells what it would come to.
pub fn preview(
    config: &Config,
    named: &str,
    given: BTreeMap<String, String>,
    as_json: bool,
) -> anyhow::Result<ExitCode> {
    let script = preview::find(named)?;
    let report = preview::preview(config, &script, &given)?;
    if as_json {
        say(&serde_json::to_string_pretty(&report)?);
    } else {
        let reason = report.refusal.map_or_else(String::new, |reason| format!(": {reason}"));
        say(text::facts(&[
            ("script", format!("{} ({})", script.title, script.key)),
            ("would be", format!("{}{reason}", report.outcome)),
            ("what", report.detail.clone()),
        ])
        .trim_end());
        say(text::report(&report).trim_end());
        for step in &script.activate {
            say(&format!("\nthen {}", serde_json::to_string(step)?));
        }
    }
    Ok(if report.outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::from(FAILS) })
}

fn spool(state: &StateDir) -> anyhow::Result<Spool> {
    Ok(Spool::open(&state.file("tasks"), Arc::new(WallClock))?)
}

pub fn status(config: &Config, as_json: bool) -> anyhow::Result<()> {
    let state = StateDir::open(&config.state)?;
    let identity = state.identity()?;
    let controllers = identity.as_ref().map(|identity| in_order(config, identity));
    let known: Option<Millis> = state.read("controller-time.json")?;
    let disabled: Option<String> = state.read("disabled.json")?;
    let spool = spool(&state)?;
    let (waiting, undoable) = (spool.waiting()?, spool.undoable()?);
    let trust = identity.as_ref().and_then(|_| state.trust().ok());
    if as_json {
        let whole = json!({
            "version": crate::facts::AGENT_VERSION,
            "asset": identity.as_ref().map(|one| &one.asset),
            "revoked": state.is_revoked(),
            "controllers": controllers,
            "proxy": config.proxy,
            "trust": trust,
            "controller_time": known,
            "mode": config.mode,
            "disabled": disabled,
            "results_waiting": waiting.iter().map(|one| &one.task).collect::<Vec<_>>(),
            "undoable": undoable.iter().map(|one| &one.task).collect::<Vec<_>>(),
        });
        say(&serde_json::to_string_pretty(&whole)?);
        return Ok(());
    }
    say(&format!("version          {}", crate::facts::AGENT_VERSION));
    match &identity {
        None => say("enrolled         no; next: aright-agent enroll --help"),
        Some(identity) => {
            say(&format!("enrolled         as asset {}", identity.asset));
            if state.is_revoked() {
                say(
                    "                 revoked: nothing is run, evaluated or told; next: aright-agent enroll --again",
                );
            }
            say(&format!("controllers      {}", controllers.unwrap_or_default().join(", ")));
            say(&format!("by               {}", config.proxy.as_deref().unwrap_or("no proxy")));
            say(&format!("ca fingerprint   {}", identity.ca_fingerprint));
        }
    }
    if let Some(trust) = trust {
        let names: Vec<_> = trust.approvers.iter().map(|one| one.name.as_str()).collect();
        say(&format!(
            "trust document   version {}, expires {}, approvers {}",
            trust.version,
            trust.expires,
            names.join(", ")
        ));
    }
    say(&format!(
        "controller time  {}",
        known.map_or("never seen".into(), |known| format!("at least {known}"))
    ));
    say(&format!(
        "remediation      {}",
        disabled.map_or("allowed".into(), |why| format!("disabled: {}", plain(&why)))
    ));
    say(&format!("results waiting  {}", waiting.len()));
    say(&format!("can be undone    {} tasks", undoable.len()));
    for one in &undoable {
        let paths: Vec<_> = one.paths.iter().map(|path| path.display().to_string()).collect();
        say(&plain(&format!(
            "  {} kept {}: {}",
            one.task,
            one.kept.map_or_else(String::new, |at| at.to_string()),
            paths.join(", ")
        )));
    }
    Ok(())
}

/// Undoes a kept task here and now, with no controller asked; the last one unless named.
pub fn undo(config: &Config, task: Option<TaskId>) -> anyhow::Result<ExitCode> {
    let state = StateDir::open(&config.state)?;
    let spool = spool(&state)?;
    let task = match task {
        Some(task) => task,
        None => undo::last(&spool)?,
    };
    let here = sight::this_host(config, state.path(), Library::builtin(), None)?;
    let (journal, reversal) = undo::kept(&spool, &task, here.tree(), here.live())?;
    for path in &reversal.files.restored {
        say(&format!("restored {}", shown(path)));
    }
    let both = undo::conflict_diffs(&journal, here.tree(), &reversal.files, &|path| here.is_secret(path));
    for conflict in &reversal.files.conflicts {
        let path = shown(&conflict.path);
        match both.iter().find(|diff| diff.path == path) {
            Some(diff) => say(text::file(diff).trim_end()),
            None => say(&plain(&format!("left_alone {}", conflict.error))),
        }
    }
    for done in &reversal.activations {
        say(&plain(&format!("{}: {}", done.what, done.result)));
    }
    if reversal.change() == HostChange::Undone {
        say(&format!("task {task} is undone"));
        return Ok(ExitCode::SUCCESS);
    }
    let left = match reversal.conflicts().len() {
        1 => "one thing was".to_owned(),
        more => format!("{more} things were"),
    };
    anyhow::bail!(
        "task {task} is undone, but {left} left alone; next: mend that by hand with what is shown above, and \
         reload what reads it"
    )
}
