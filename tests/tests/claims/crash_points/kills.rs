//! By `kill -9`.

use std::fs;

use anyhow::{Context as _, ensure};
use aright_agent::task::journal::Step;
use aright_shared::id::TaskId;
use aright_tests::{Place as _, needs, skip};

use super::files::{self, HOST, Last};
use super::judge::{judge_found, judge_recovery};
use super::part::Act;
use super::world::{End, World};

/// Parts of a life, one after the other, each with the point at which it ends, if not by itself.
type Round = Vec<(Act, Option<String>)>;

#[test]
fn the_agent_is_killed_at_every_step() -> anyhow::Result<()> {
    needs!(skip::LAB);
    let world = World::new(Last::Mode)?;
    let rounds = rounds();
    let (mut kills, mut kept) = (0, 0);
    for round in &rounds {
        kept += usize::from(play(&world, round).with_context(|| format!("{round:?}"))?);
        kills += round.iter().filter(|(_, point)| point.is_some()).count();
    }
    println!(
        "figure: crash_points: {kills} kills in {} lives, {kept} of them kept their change; 0 torn, 0 twice",
        rounds.len()
    );
    Ok(())
}

/// Whether the change was kept in the end, before it was undone.
fn play(world: &World, round: &Round) -> anyhow::Result<bool> {
    fresh(world)?;
    let task = TaskId::new();
    for (act, point) in round {
        let end = world.live(*act, &task, point.as_deref())?;
        ensure!(matches!(end, End::Died) == point.is_some(), "{end:?}");
        judge_found(world, &world.found(&task)?)?;
    }
    let found = world.found(&task)?;
    let kept = judge_recovery(world, &task, &found)
        .with_context(|| format!("{:?}, undo {:?}", found.steps, found.undo))?;
    let starts = world.starts(&task);
    ensure!(starts == 1 || starts == 0 && !kept, "started {starts} times");
    ensure!(world.parameter()? == "1", "the activation was not undone");
    Ok(kept)
}

/// The host as it was, and an agent that knows of no task.
fn fresh(world: &World) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(world.state.join("tasks"));
    let mount = format!("umount {HOST} || true; mount -t tmpfs -o mode=0755 host {HOST}");
    world.lab.stdout(&["sh", "-euc", &mount])?;
    files::plant(&files::old(), &world.lab.path(HOST))?;
    world.reset_parameter()
}

/// Before and after each step, by whoever takes it; a new step must be given its place here. Then the moments within
/// the two that change files.
fn rounds() -> Vec<Round> {
    let mut rounds = vec![killed(&[], Act::Run, "after:spooled")];
    for step in Step::ALL {
        for side in ["before", "after"] {
            rounds.extend(killed_at(*step, side));
        }
    }
    for (name, times) in
        [("written", 2), ("built", 2), ("exchanged", 3), ("created", 4), ("taken", 1), ("entry", 11)]
    {
        for nth in 1..=times {
            rounds.push(killed(&[], Act::Run, &format!("commit:{name}#{nth}")));
            if name == "entry" {
                rounds.push(killed(&[Act::Run], Act::Undo, &format!("undo:{name}#{nth}")));
            }
        }
    }
    // Between the owner and the mode of a thing that is given both in place.
    rounds.push(killed(&[], Act::Run, "dress:owned#2"));
    rounds.push(killed(&[Act::Run], Act::Undo, "dress:owned#5"));
    rounds
}

fn killed_at(step: Step, side: &str) -> Vec<Round> {
    let point = format!("{side}:{step}");
    match step {
        Step::Accepted | Step::Running | Step::Ended => {
            vec![killed(&[], Act::Run, &point), killed(&[Act::Run], Act::Undo, &point)]
        }
        Step::Before
        | Step::Staging
        | Step::Scripted
        | Step::Compared
        | Step::Judged
        | Step::Committing
        | Step::Committed
        | Step::Activating
        | Step::Activated
        | Step::Evaluated
        | Step::Confirming
        | Step::Kept
        | Step::Acknowledged => vec![killed(&[], Act::Run, &point)],
        // By a start that finds a task half done; by an order, in its own journal and in the task's.
        Step::Undoing | Step::Undone => {
            let mut again = killed(&[], Act::Run, "after:committed");
            again.push((Act::Recover, Some(point.clone())));
            let by_order = [1, 2].map(|nth| killed(&[Act::Run], Act::Undo, &format!("{point}#{nth}")));
            std::iter::once(again).chain(by_order).collect()
        }
    }
}

fn killed(before: &[Act], last: Act, point: &str) -> Round {
    before.iter().map(|act| (*act, None)).chain([(last, Some(point.to_owned()))]).collect()
}
