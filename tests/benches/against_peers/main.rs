//! The same ten fixes on one host, from failed to verified, by Aright and by others:
//! `cargo build --release --workspace --bins && cargo bench -p aright-tests --bench against_peers [-- ROUNDS]`, as root.
//!
//! Each contender has a booted Debian 12 of its own, copied from the same root. Before each turn `/etc` is brought
//! back to its start and found failing, after it all ten controls pass, by the agent's evaluator and by the programs
//! whose settings they are, which are the same for all. CPU is that of the commands and of the host's services; what
//! the controller and its command line use is not in it.

mod bare;
mod contenders;
mod fixes;
mod inside;
mod job;
mod judge;

use std::io::Write as _;
use std::time::Duration;

use anyhow::Context as _;
use aright_tests::{Lab, skip};

use contenders::{ALL, Contender, Turn};
use job::Site;

const ROUNDS: usize = 5;
/// The most that ours may be of the plain script.
const AIM: f64 = 3.0;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == inside::ARGUMENT) {
        return inside::fix();
    }
    if skip::lacking(&[skip::HOSTS, skip::SSG]) {
        return Ok(());
    }
    let rounds = args.iter().find_map(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    let mut turns: Vec<Vec<Turn>> = ALL.iter().map(|_| Vec::new()).collect();
    let lab = Lab::new()?;
    let site = Site::start(&lab)?;
    let hosts = ALL.iter().map(|contender| contender.host(&lab)).collect::<anyhow::Result<Vec<_>>>()?;
    // The first round warms everybody's caches.
    for round in 0..=rounds {
        for ((contender, host), turns) in ALL.iter().zip(&hosts).zip(&mut turns) {
            let turn = contender.turn(host, &site).with_context(|| contender.name())?;
            if round > 0 {
                turns.push(turn);
            }
        }
    }
    let medians: Vec<Turn> = turns.iter().map(|turns| Turn::median(turns)).collect();
    table(rounds, &medians)
}

fn table(rounds: usize, medians: &[Turn]) -> anyhow::Result<()> {
    let plain = ALL.iter().position(|one| *one == Contender::Plain).and_then(|at| medians.get(at));
    let plain = plain.context("no plain script")?;
    let times = |one: Duration, of: Duration| one.as_secs_f64() / of.as_secs_f64();
    say(&format!("medians of {rounds} rounds, each contender in turn; ratios to the plain script\n"))?;
    say(&format!(
        "{:34} {:>8} {:>8} {:>8} {:>7} {:>7}  fixed",
        "", "wall ms", "CPU ms", "peak MB", "wall", "CPU"
    ))?;
    for (contender, turn) in ALL.iter().zip(medians) {
        let peak = turn.peak_memory.map_or("-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6));
        say(&format!(
            "{:34} {:8.0} {:8.0} {peak:>8} {:7.2} {:7.2}  {}",
            contender.name(),
            turn.wall.as_secs_f64() * 1e3,
            turn.cpu.as_secs_f64() * 1e3,
            times(turn.wall, plain.wall),
            times(turn.cpu, plain.cpu),
            contender.numbers().len(),
        ))?;
    }
    say("")?;
    for (contender, turn) in ALL.iter().zip(medians).filter(|(contender, _)| contender.is_ours()) {
        say(&format!(
            "figure: {}: wall {:.1}, CPU {:.1} times the plain script (aim: at most {AIM})",
            contender.name(),
            times(turn.wall, plain.wall),
            times(turn.cpu, plain.cpu),
        ))?;
    }
    Ok(())
}

fn say(line: &str) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
