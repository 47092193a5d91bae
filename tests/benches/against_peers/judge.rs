//! The judge of every contender: the agent's evaluator, and the programs whose settings they are.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use aright_tests::{Host, Place as _};

use crate::fixes::{FIXES, Fix};

/// # Errors
/// One of these does not pass, or some other of the ten does; which, and by whom.
pub fn exactly(host: &Host, fixed: &[u32]) -> anyhow::Result<()> {
    let verdicts = verdicts(host)?;
    for Fix { number, control, judge: (command, expected), .. } in &FIXES {
        let due = fixed.contains(number);
        let passes = *verdicts.get(*control).with_context(|| format!("{control} does not apply"))?;
        ensure!(passes == due, "{control}: the evaluator says pass: {passes}");
        let said = host.stdout(&["sh", "-c", command])?;
        ensure!((said == *expected) == due, "{control}: {command}: {said:?}");
    }
    Ok(())
}

/// By control: whether it passes in all its instances.
fn verdicts(host: &Host) -> anyhow::Result<BTreeMap<String, bool>> {
    let mut words = vec!["aright-agent", "evaluate", "--json"];
    words.extend(FIXES.iter().flat_map(|fix| ["--control", fix.control]));
    let seen: serde_json::Value = serde_json::from_slice(&host.output(&words)?.stdout)?;
    let mut verdicts = BTreeMap::new();
    for row in seen["observations"].as_array().context("no observations")? {
        let control = row["observation"]["control"].as_str().context("an observation of nothing")?;
        *verdicts.entry(control.to_owned()).or_insert(true) &= row["verdict"] == "pass";
    }
    Ok(verdicts)
}
