//! So many at a time, a halt after so many failures, canaries first.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aright_shared::api::{NewJob, Rollout, Run, RunState, Share};
use aright_shared::id::AssetId;
use aright_shared::outcome::Outcome;
use aright_shared::time::Millis;
use aright_tests::Dice;

use super::fate::{Coming, Fate, Scene};
use super::judge::{Judge, most_assets_at_once};
use super::world::{AGENTS, World};

/// Never more hosts at work, and nothing begins when the failures are known.
pub async fn halts(
    world: &World,
    name: &'static str,
    hosts: usize,
    at_once: Share,
    halt_after: Share,
    restarts: u32,
) -> anyhow::Result<String> {
    world.play(Scene::new(name, world.seed, Box::new(mixed)).hostile());
    let rollout = Rollout { at_once: Some(at_once), halt_after: Some(halt_after), canary: None };
    let run = world.create(&NewJob { rollout, ..world.job(name, hosts) }).await?;
    let mut dice = Dice::named(world.seed, name);
    for _ in 0..restarts {
        world.begun(&run, 10 + usize::try_from(dice.below(25))?).await?;
        world.kill_and_start(Duration::from_millis(dice.below(300))).await?;
    }
    let mut judge = Judge::new(&world.stage.ledger, vec![world.ended(&run).await?]).whole(hosts)?;
    let (n, k) = (at_once.of(u32::try_from(hosts)?) as usize, halt_after.of(u32::try_from(hosts)?) as usize);
    let most = judge.most_at_once(n);
    let ended = judge.runs[0].clone();
    judge.check(ended.state == RunState::Halted, || format!("the run is {}: {}", ended.state, ended.detail));
    let (earliest, latest) = judge.failures();
    let earliest = *earliest.get(k - 1).with_context(|| format!("too few failures: {ended:?}"))?;
    if let Some(latest) = latest.get(k - 1) {
        judge.nothing_delivered("after the halt", *latest, Millis(i64::MAX));
    }
    let early: Vec<_> = judge
        .tasks
        .iter()
        .filter(|task| task.outcome == Some(Outcome::Cancelled) && task.ended < Some(earliest))
        .map(|task| task.id.clone())
        .collect();
    judge.check(early.is_empty(), || format!("cancelled before the {k}th failure was known: {early:?}"));
    judge.verdict()?;
    Ok(format!(
        "{hosts} hosts, {at_once} at once (at most {most} of {n} at work), restarts: {restarts}, halted \
         at failure {k} (ended with {}), {} cancelled, 0 delivered after",
        ended.assets.failed,
        ended.outcomes.get(&Outcome::Cancelled).unwrap_or(&0)
    ))
}

impl Judge {
    /// Never more hosts than that, by either account.
    fn most_at_once(&mut self, limit: usize) -> usize {
        let sets = [("ledger", self.at_work()), ("controller", self.turns())];
        let most = sets.map(|(whose, spans)| {
            let most = most_assets_at_once(&spans);
            self.check(most <= limit, || format!("{most} hosts at once by the {whose}, {limit} allowed"));
            most
        });
        most[1]
    }
}

fn mixed(coming: &Coming, dice: &mut Dice) -> Fate {
    match dice.below(100) {
        0..9 => Fate::fails(dice, coming.custom),
        9..12 => Fate::falls_silent(coming.custom),
        12..16 => Fate::refuses(coming.custom),
        16..20 => Fate { lets_lie: 1, ..Fate::well(coming.custom) },
        _ => Fate::slow(dice, coming.custom, 300),
    }
}

const CANARIES: usize = 4;

/// One that refuses is replaced, one that fails halts all; else the others follow.
pub async fn canaries(world: &World) -> anyhow::Result<String> {
    let refusing = |place: usize| place == 0 || place == 3;
    let well: fn(&Coming, &mut Dice) -> Fate = |coming, dice| match coming.place {
        0 | 3 => Fate::refuses(coming.custom),
        // They are all at work when the controller dies.
        ..6 => Fate { takes: Duration::from_millis(2500), ..Fate::well(coming.custom) },
        _ => Fate::slow(dice, coming.custom, 600),
    };
    let (ended, mut judge) = canary(world, "canaries well", Some(CANARIES), well).await?;
    let failed: Vec<_> =
        judge.tasks.iter().filter(|task| task.outcome.is_some_and(Outcome::is_failure)).collect();
    let told = format!("the run is {}: {}: {failed:?}", ended.state, ended.detail);
    judge.check(ended.state == RunState::Completed, || told);
    let mut good: Vec<_> = judge
        .tasks
        .iter()
        .filter(|task| task.outcome.is_some_and(Outcome::is_good))
        .filter_map(|task| task.ended)
        .collect();
    good.sort();
    let proven = *good.get(CANARIES - 1).context("too few canaries")?;
    let before: BTreeSet<AssetId> = judge
        .tasks
        .iter()
        .filter(|task| task.delivered.is_some_and(|at| at < proven))
        .map(|task| task.asset.clone())
        .collect();
    let refused = (0..CANARIES + 2).filter(|place| refusing(*place)).count();
    judge.check(before.len() == CANARIES + refused, || format!("{} hosts went first", before.len()));
    let spans: Vec<_> = judge.turns().into_iter().filter(|(asset, _)| before.contains(asset)).collect();
    let most = most_assets_at_once(&spans);
    judge.check(most <= CANARIES, || format!("{most} canaries at once"));
    let all = judge.verdict()?.stories.len();
    let failing: fn(&Coming, &mut Dice) -> Fate = |coming, dice| match coming.place {
        2 => Fate::fails(dice, coming.custom),
        _ => Fate::slow(dice, coming.custom, 600),
    };
    let (ended, mut judge) = canary(world, "canary fails", None, failing).await?;
    judge.check(ended.state == RunState::Halted, || format!("the run is {}: {}", ended.state, ended.detail));
    let got = judge.stories.len();
    judge.check((3..=CANARIES).contains(&got), || format!("{got} hosts got something"));
    judge.verdict()?;
    Ok(format!(
        "{CANARIES} canaries of {AGENTS} hosts: {refused} refused and were replaced, then the \
         others ({all} in all); with a failing one {got} hosts got something; 1 restart"
    ))
}

async fn canary(
    world: &World,
    name: &'static str,
    killed_at: Option<usize>,
    fates: fn(&Coming, &mut Dice) -> Fate,
) -> anyhow::Result<(Run, Judge)> {
    world.play(Scene::new(name, world.seed, Box::new(fates)));
    let rollout = Rollout { canary: Some(Share::Number(u32::try_from(CANARIES)?)), ..Rollout::default() };
    let run = world.create(&NewJob { rollout, ..world.job(name, AGENTS) }).await?;
    if let Some(scripts) = killed_at {
        world.begun(&run, scripts).await?;
        world.kill_and_start(Duration::ZERO).await?;
    }
    let ended = world.ended(&run).await?;
    ensure!(ended.0.assets.all as usize == AGENTS, "{:?}", ended.0.assets);
    Ok((ended.0.clone(), Judge::new(&world.stage.ledger, vec![ended]).whole(AGENTS)?))
}
