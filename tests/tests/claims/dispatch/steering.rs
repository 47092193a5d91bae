//! An operator's hand on runs under way: paused and resumed, all stopped and released, cancelled; hosts that never
//! come; two jobs at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::ensure;
use aright_shared::api::{NewJob, RunState, Task};
use aright_shared::id::RunId;
use aright_shared::outcome::Outcome;
use aright_tests::Dice;

use super::fate::{Coming, Fate, Scene};
use super::judge::Judge;
use super::ledger::now;
use super::words::CONTROLS;
use super::world::{AGENTS, World};

/// One run of three scripts a host: paused in the first, resumed; all stopped in the second, released; cancelled soon.
pub async fn paused_stopped_cancelled(world: &World) -> anyhow::Result<String> {
    world.play(Scene::new("steering", world.seed, Box::new(slow)).hostile());
    let tasks = 3 * AGENTS;
    let run = world.create(&world.with_controls(world.job("steering", AGENTS), &CONTROLS[..2])?).await?;
    let killed_in_pause = Dice::named(world.seed, "steering").percent(50);
    // In one of the two it does.
    let dies = async |does: bool| -> anyhow::Result<()> {
        world.at_rest().await?;
        if does {
            world.kill_and_start(Duration::ZERO).await?;
            world.at_rest().await?;
        }
        Ok(())
    };
    world.begun(&run, AGENTS / 4).await?;
    world.steer(&run, "pause").await?;
    let paused = now();
    dies(killed_in_pause).await?;
    let state = world.run(&run).await?.state;
    ensure!(state == RunState::Paused, "the run is {state}");
    let resumed = now();
    world.steer(&run, "resume").await?;
    world.begun(&run, AGENTS + AGENTS / 4).await?;
    world.stop_all().await?;
    let stopped = now();
    dies(!killed_in_pause).await?;
    let released = now();
    world.release().await?;
    world.begun(&run, world.stage.ledger.begun(&run) + AGENTS / 8).await?;
    world.steer(&run, "cancel").await?;
    let cancelled = now();
    let ended = world.ended(&run).await?;
    let mut judge = Judge::new(&world.stage.ledger, vec![ended]).whole(tasks)?;
    for (what, from, to) in [
        ("while paused", paused, resumed),
        ("while all was stopped", stopped, released),
        ("after the cancel", cancelled, now()),
    ] {
        judge.nothing_delivered(what, from, to);
    }
    let started: Vec<_> = judge
        .stories
        .values()
        .filter_map(|story| Some((*story.asked.last()?, *story.began.first()?)))
        .collect();
    for (what, from, to) in [("stopped", stopped, released), ("cancelled", cancelled, now())] {
        let begun = started.iter().filter(|(asked, began)| *asked > from && *began < to).count();
        judge.check(begun == 0, || format!("{begun} begun while {what}"));
    }
    let state = judge.runs[0].state;
    judge.check(state == RunState::Cancelled, || format!("the run is {state}"));
    let judge = judge.verdict()?;
    let count = |outcome| judge.runs[0].outcomes.get(&outcome).copied().unwrap_or(0);
    Ok(format!(
        "{AGENTS} agents, {tasks} tasks, paused, resumed, stopped, released, cancelled, 1 \
         restart: {} well, {} cancelled, 0 delivered in between, 0 lost, 0 twice",
        count(Outcome::Ran) + count(Outcome::Fixed),
        count(Outcome::Cancelled)
    ))
}

/// Of a hundred hosts thirty never come.
pub async fn expired(world: &World) -> anyhow::Result<String> {
    const HOSTS: usize = 100;
    let away = (0..HOSTS).filter(|number| number % 10 < 3).collect();
    world.play(Scene::new("expired", world.seed, Box::new(slow)).without(away));
    let run = world.create(&NewJob { expiry_s: Some(4), ..world.job("expired", HOSTS) }).await?;
    let ended = world.ended(&run).await?;
    let mut judge = Judge::new(&world.stage.ledger, vec![ended]).whole(HOSTS)?;
    let state = judge.runs[0].state;
    judge.check(state == RunState::Expired, || format!("the run is {state}"));
    let expires = judge.runs[0].expires;
    let undelivered: Vec<Task> =
        judge.tasks.iter().filter(|task| task.outcome == Some(Outcome::Undelivered)).cloned().collect();
    judge.check(undelivered.len() >= 30, || format!("{} undelivered", undelivered.len()));
    judge
        .check(undelivered.iter().all(|task| task.ended >= Some(expires)), || "ended before its time".into());
    judge.nothing_delivered("after the expiry", expires, now());
    judge.verdict()?;
    Ok(format!("{HOSTS} hosts, 30 away: {} undelivered when the run expired, 0 before", undelivered.len()))
}

/// Three scripts each on the same hosts: at each turn the run that had least.
pub async fn two_jobs(world: &World) -> anyhow::Result<String> {
    const HOSTS: usize = 150;
    world.play(Scene::new("two jobs", world.seed, Box::new(slow)));
    // Both begin when the switch is released.
    world.stop_all().await?;
    let mut runs: Vec<RunId> = Vec::new();
    for (name, controls) in [("first", &CONTROLS[..3]), ("second", &CONTROLS[3..])] {
        let job = world.with_controls(world.job(name, HOSTS), controls)?;
        let job = NewJob { include_assets: Vec::new(), custom_scripts: Vec::new(), ..job };
        runs.push(world.create(&job).await?);
    }
    world.release().await?;
    let ended = vec![world.ended(&runs[0]).await?, world.ended(&runs[1]).await?];
    let mut judge = Judge::new(&world.stage.ledger, ended).whole(6 * HOSTS)?;
    let both = judge.runs.iter().filter_map(|run| run.started).max();
    let mut by_asset: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for task in judge.tasks.clone() {
        by_asset.entry(task.asset.clone()).or_default().push((task.delivered, task.run));
    }
    let mut turns = 0;
    for (asset, mut order) in by_asset {
        order.sort();
        let mut had: BTreeMap<_, usize> = runs.iter().map(|run| (Some(run.clone()), 0)).collect();
        for (at, run) in order {
            let mine = had[&run];
            let other =
                had.iter().filter(|(other, _)| **other != run).map(|(_, had)| *had).next().unwrap_or(0);
            judge.check(at <= both || mine <= other || other == 3, || {
                format!("{asset}: run {run:?} had {mine} and goes before the one that had {other}")
            });
            *had.entry(run).or_default() += 1;
            turns += 1;
        }
    }
    judge.verdict()?;
    Ok(format!("2 jobs of 3 scripts on {HOSTS} hosts: {turns} turns, each of the run that had least"))
}

fn slow(coming: &Coming, dice: &mut Dice) -> Fate {
    Fate::slow(dice, coming.custom, 300)
}
