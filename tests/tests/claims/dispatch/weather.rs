//! All at once, in hostile weather, the controller killed in the midst of it.

use std::time::Duration;

use aright_shared::api::RunState;
use aright_shared::outcome::Outcome;
use aright_tests::Dice;
use tokio::time::sleep;

use super::fate::{Coming, Fate, Scene, Start, Word};
use super::judge::Judge;
use super::words::CONTROLS;
use super::world::{AGENTS, World};

pub async fn all_at_once(world: &World) -> anyhow::Result<String> {
    world.play(Scene::new("weather", world.seed, Box::new(weather)).hostile());
    let job = world.with_controls(world.job("weather", AGENTS), &CONTROLS[..1])?;
    let run = world.create(&job).await?;
    let tasks = 2 * AGENTS;
    let mut dice = Dice::named(world.seed, "kills");
    let restarts = 3 + dice.below(3);
    for nth in 0..restarts {
        // Somewhere in each part of it.
        let part = tasks as u64 * 4 / 5 / restarts;
        let scripts = nth * part + dice.below(part);
        world.begun(&run, usize::try_from(scripts)?).await?;
        sleep(Duration::from_millis(dice.below(150))).await;
        world.kill_and_start(Duration::from_millis(dice.below(800))).await?;
    }
    let judge = Judge::new(&world.stage.ledger, vec![world.ended(&run).await?]);
    let mut judge = judge.whole(tasks)?;
    let ended = judge.runs[0].clone();
    judge.check(ended.state == RunState::Completed, || format!("the run is {}", ended.state));
    let judge = judge.verdict()?;
    let told: usize = judge.stories.values().map(|story| story.told.len()).sum();
    let again: usize = judge.stories.values().map(|story| story.delivered.len().saturating_sub(1)).sum();
    let scripts = judge.stories.values().filter(|story| !story.began.is_empty()).count();
    let good = judge.tasks.iter().filter(|task| task.outcome.is_some_and(Outcome::is_good)).count();
    Ok(format!(
        "{AGENTS} agents, {tasks} tasks all at once, {restarts} restarts, {scripts} scripts run, \
         {again} orders delivered again, {told} results told: {good} good, {} interrupted, 0 lost, 0 twice",
        ended.outcomes.get(&Outcome::Interrupted).unwrap_or(&0)
    ))
}

/// Only the simulated script is given up soon: agents fall silent with that one.
fn weather(coming: &Coming, dice: &mut Dice) -> Fate {
    let custom = coming.custom;
    let well = Fate::well(custom);
    let within = Duration::from_millis(dice.below(25));
    // Skewed hosts are so with every task.
    if coming.agent % 20 == 7 {
        return Fate::refuses(custom);
    }
    match dice.below(100) {
        0..30 => well,
        30..42 => Fate::slow(dice, custom, 2000),
        42..56 => Fate::fails(dice, custom),
        56..64 => Fate { lets_lie: 1 + u32::from(dice.percent(30)), ..well },
        64..70 if custom => Fate::falls_silent(custom),
        70..76 if custom => {
            let after = Duration::from_millis(8500 + dice.below(2000));
            Fate { word: Word::Late(after), ..Fate::fails(dice, custom) }
        }
        76..82 => Fate { start: Start::AsksAgain(within), ..well },
        82..86 if custom => Fate { start: Start::Forgets(within), ..well },
        82..86 => Fate { start: Start::IsSetBack, ..Fate::slow(dice, custom, 300) },
        86..90 => Fate { word: Word::Contradicts, ..Fate::slow(dice, custom, 300) },
        _ => Fate { word: Word::Again(2 + u32::from(dice.percent(50))), ..Fate::slow(dice, custom, 500) },
    }
}
