//! A preview is the run, stopped: it shows the diff that the run then makes, and changes nothing. Judged by a
//! listing of the whole root, and by the files themselves after the run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context as _, ensure};
use aright_shared::api::{NewJob, PostureFilter, TaskDetail};
use aright_shared::content::script::Script;
use aright_shared::content::technology::Platform;
use aright_shared::id::Key;
use aright_shared::library::Library;
use aright_shared::outcome::{HostChange, Outcome};
use aright_shared::task::{FileDiff, TaskReport};
use aright_tests::tree::Listing;
use aright_tests::{Agent, Chamber, Cli, Controller, Lab, Place as _, binary, needs, skip};

#[test]
fn a_preview_shows_what_the_run_then_does() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let controller = Controller::start(&lab)?;
    let cli = Cli::log_in(&controller)?;
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::joined(&chamber, &controller, &cli)?;
    let asset = cli.reported()?;
    let listing = || Listing::of_root(&chamber.root(), &agent.state());

    let stock = listing()?;
    let (mut files, mut ran) = (0, Vec::new());
    for script in scripts() {
        let before = listing()?;
        let preview = report(&agent.output(&["preview", script.key.as_str(), "--json"])?)?;
        ensure!((preview.outcome, preview.change) == (Outcome::Fixed, HostChange::None), "{preview:#?}");
        let key = script.key.as_str();
        let asked: TaskDetail =
            serde_json::from_value(cli.json(&["preview", key, "--asset", asset.id.as_str()])?)?;
        let asked = asked.report.context("no report")?;
        ensure!(
            (asked.outcome, &asked.diff) == (preview.outcome, &preview.diff),
            "{asked:#?}\nbut {preview:#?}"
        );
        let changed = before.diff(&listing()?);
        ensure!(changed.is_empty(), "the previews of {} changed {changed:?}", script.key);

        let control: Key = script.fixes.first().context("a control")?.control.clone();
        let job = cli.create_job(&NewJob {
            name: script.key.to_string(),
            filter: Some(PostureFilter { control: vec![control], ..PostureFilter::default() }),
            include_assets: vec![asset.id.clone()],
            ..NewJob::default()
        })?;
        let tasks = cli.watch(&job)?;
        let [task] = tasks.as_slice() else { anyhow::bail!("{}: {tasks:#?}", script.key) };
        let run = cli.task(&task.id)?.report.context("no report")?;
        ensure!((run.outcome, run.change) == (Outcome::Fixed, HostChange::Kept), "{run:#?}");
        ensure!(preview.diff == run.diff, "{}: {:#?}\nbut {:#?}", script.key, preview.diff, run.diff);
        let shown: BTreeSet<PathBuf> = run.diff.iter().map(|one| chamber.path(&one.path)).collect();
        let changed = before.changed(&listing()?);
        ensure!(changed == shown, "{} shows {shown:?} and changed {changed:?}", script.key);
        files += run.diff.len();
        ran.push(task.id.clone());
    }
    println!(
        "figure: {} library scripts: {files} diffs as previewed on the host and by the API, the root as it was after each",
        ran.len()
    );
    for task in ran.iter().rev() {
        cli.text(&["task", "undo", task.as_str()])?;
    }
    let left = stock.changed(&listing()?);
    ensure!(left.is_empty(), "undone, and yet {left:?}");
    let tasks = cli.json(&["task", "list"])?;
    let undone = tasks.as_array().into_iter().flatten().filter(|task| task["kind"] == "run");
    ensure!(
        undone.clone().count() == ran.len() && undone.clone().all(|task| task["change"] == "undone"),
        "{tasks:#}"
    );
    println!("figure: {} of them undone by command, the root as before", ran.len());
    Ok(())
}

#[test]
fn a_preview_says_that_a_script_overreaches() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    let chamber = Chamber::new(&lab)?;
    let agent = Agent::install(&chamber, lab.folder().join("agent.log"))?;
    chamber.write(
        "/root/greedy.yaml",
        "aright: 1\nkind: script\nkey: greedy\norigin: custom\ntitle: Greedy\nrisk: safe\ninterpreter: sh\n\
         touches: [/etc/motd]\nbody: |\n  echo a >/etc/motd\n  echo b >/etc/issue\n",
    )?;
    let before = Listing::of_root(&chamber.root(), &agent.state())?;
    let output = agent.output(&["preview", "/root/greedy.yaml"])?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.code() == Some(3), "{output:?}");
    ensure!(text.contains("overreach") && text.contains("not declared: /etc/issue"), "{text}");
    let changed = before.diff(&Listing::of_root(&chamber.root(), &agent.state())?);
    ensure!(changed.is_empty(), "{changed:?}");
    Ok(())
}

/// On this very machine, since a user's namespace wants a whole `/proc`: nothing of it is changed.
#[test]
fn an_ordinary_user_previews_the_same_content() -> anyhow::Result<()> {
    needs!(skip::HOSTS);
    let lab = Lab::new()?;
    lab.install(&binary("aright-agent")?, "/run/aright-agent")?;
    let preview = |key: &Key, user: &str| {
        lab.output(&["runuser", "-u", user, "--", "/run/aright-agent", "preview", key.as_str(), "--json"])
    };
    let (mut compared, mut not_here) = (0, 0);
    for script in scripts() {
        let by_root = preview(&script.key, "root")?;
        if by_root.stdout.is_empty() {
            let why = String::from_utf8_lossy(&by_root.stderr).into_owned();
            ensure!(why.contains("does not concern this host"), "{why}");
            not_here += 1;
            continue;
        }
        let (by_root, by_user) = (report(&by_root)?, report(&preview(&script.key, "nobody")?)?);
        ensure!(texts(&by_root.diff) == texts(&by_user.diff), "{:#?}\n{:#?}", by_root.diff, by_user);
        ensure!(by_user.detail.contains("only root"), "{}", by_user.detail);
        ensure!(by_user.outcome == by_root.outcome, "{by_user:#?}");
        compared += 1;
    }
    ensure!(compared > 0, "no library script is for this machine");
    println!(
        "figure: an ordinary user's preview has root's content diff for {compared} scripts; {not_here} not for this machine"
    );
    Ok(())
}

/// The library's, for this system.
fn scripts() -> impl Iterator<Item = &'static Script> {
    Library::builtin().scripts().filter(|script| script.interpreter.platform() == Platform::Linux)
}

fn report(output: &Output) -> anyhow::Result<TaskReport> {
    serde_json::from_slice(&output.stdout)
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn texts(diff: &[FileDiff]) -> Vec<(&str, Option<&str>)> {
    diff.iter().filter(|one| one.text.is_some()).map(|one| (one.path.as_str(), one.text.as_deref())).collect()
}
