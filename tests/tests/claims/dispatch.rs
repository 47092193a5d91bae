//! Five hundred simulated agents over the real wire: silent, slow, failing, skewed, reconnecting, reporting twice;
//! the real controller killed and started again at random. Judged by the ledger that the agents keep. `ARIGHT_SEED`
//! plays a run again.

pub mod agent;
pub mod fate;
pub mod judge;
pub mod ledger;
mod rollouts;
mod steering;
mod weather;
pub mod words;
pub mod world;

use std::time::Instant;

use anyhow::Context as _;
use aright_shared::api::Share;
use aright_tests::{Lab, SEED, inside, needs, seed, skip};

use self::world::{AGENTS, Ground, World};

#[test]
fn five_hundred_agents_lose_nothing_run_nothing_twice_and_halt_in_time() -> anyhow::Result<()> {
    needs!(skip::LAB);
    let seed = seed()?;
    let lab = Lab::new()?;
    let ground = Ground::lay(&lab, AGENTS)?;
    let mut figures = Vec::new();
    // Agents live on threads in the lab's network.
    let played = inside(&lab, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(play(ground, seed, &mut figures))
    });
    for figure in figures {
        println!("figure: dispatch: seed {seed}, {figure}");
    }
    played.with_context(|| format!("{SEED}={seed}"))
}

async fn play(ground: Ground, seed: u64, figures: &mut Vec<String>) -> anyhow::Result<()> {
    let since = Instant::now();
    let world = World::start(ground, seed, 20).await?;
    figures.push(format!("{AGENTS} agents enrolled in {:.1} s", since.elapsed().as_secs_f64()));
    figures.push(scene("all at once", weather::all_at_once(&world)).await?);
    let (n, k) = (Share::Number(20), Share::Number(8));
    figures.push(scene("halt by number", rollouts::halts(&world, "number", AGENTS, n, k, 1)).await?);
    let (n, k) = (Share::Percent(8), Share::Percent(5));
    figures.push(scene("halt by percentage", rollouts::halts(&world, "percentage", 200, n, k, 0)).await?);
    figures.push(scene("canaries", rollouts::canaries(&world)).await?);
    figures.push(scene("steering", steering::paused_stopped_cancelled(&world)).await?);
    figures.push(scene("expiry", steering::expired(&world)).await?);
    figures.push(scene("two jobs", steering::two_jobs(&world)).await?);
    figures.push(format!("all of it in {:.1} s", since.elapsed().as_secs_f64()));
    Ok(())
}

async fn scene(name: &str, played: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    let since = Instant::now();
    let figure = played.await.with_context(|| name.to_owned())?;
    Ok(format!("{name}: {figure}; {:.1} s", since.elapsed().as_secs_f64()))
}
