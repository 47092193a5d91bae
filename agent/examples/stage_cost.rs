//! What an empty script costs, staged and caged: `cargo run --release -p aright-agent --example stage_cost`
//! (as root, after `cargo build --release -p aright-agent`).

use std::process::Command;
use std::time::{Duration, Instant};

use aright_agent::stage::{ScriptRun, Stage, StageSpec};
use aright_shared::content::script::Interpreter;

const ROUNDS: usize = 300;

fn main() -> anyhow::Result<()> {
    let program = std::env::current_exe()?.with_file_name("../aright-agent");
    let declared = vec!["/etc/login.defs".parse().map_err(anyhow::Error::msg)?];
    let spec = StageSpec { launcher: program, ..StageSpec::new(declared) };
    let script = ScriptRun {
        interpreter: Interpreter::Sh,
        body: String::new(),
        params: Default::default(),
        timeout: Duration::from_secs(10),
    };
    let floor = median(|| Ok(Command::new("/bin/sh").args(["-c", ""]).status()?))?;
    let open = median(|| Ok(Stage::open(&spec)?))?;
    let whole = median(|| Ok(Stage::open(&spec)?.run(&script)?.compare()?))?;
    eprintln!(
        "figure: an empty sh script, staged, caged and compared: {whole:.2} ms (stage opened and dropped {open:.2}, \
         fork and exec alone {floor:.2}), median of {ROUNDS}"
    );
    Ok(())
}

/// Dropping what was made counts too.
fn median<T>(mut of: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        drop(of()?);
        times.push(start.elapsed());
    }
    times.sort();
    Ok(times[ROUNDS / 2].as_secs_f64() * 1e3)
}
