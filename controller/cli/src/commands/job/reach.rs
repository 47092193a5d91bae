//! What a job would do where.

use aright_shared::api::{Reach, ReachHost};
use aright_shared::task::ClockVerdict;
use aright_shared::text::{facts, plain};
use aright_shared::time::Millis;

use super::many;
use crate::output::{Format, one};

pub fn print(format: Format, reach: &Reach) -> anyhow::Result<()> {
    one(format, reach, text)
}

/// The counts, then host by host what runs there, and why not what does not.
fn text(reach: &Reach) -> String {
    let scripts: Vec<_> = reach.scripts.iter().map(|script| script.key.to_string()).collect();
    let next: Vec<_> = reach.next.iter().map(Millis::to_string).collect();
    let mut text = facts(&[
        ("chosen", format!("{}, {}", many(reach.postures, "posture"), many(reach.controls, "control"))),
        ("hosts", reach.assets.to_string()),
        ("clocks", clocks(reach)),
        ("scripts", scripts.join(", ")),
        ("tasks", reach.tasks.to_string()),
        ("next", next.join(", ")),
    ]);
    for host in &reach.hosts {
        text.push_str(&of_host(host));
    }
    if reach.left_off > 0 {
        text.push_str(&format!("\nand {} hosts more\n", reach.left_off));
    }
    text
}

fn clocks(reach: &Reach) -> String {
    match (reach.skewed, reach.clock_unknown) {
        (0, 0) => "all right".to_owned(),
        (skewed, unknown) => format!("{skewed} wrong, {unknown} unknown: nothing would run there now"),
    }
}

fn of_host(host: &ReachHost) -> String {
    let name = plain(&host.hostname);
    if let Some(why) = &host.why_not {
        return format!("\n{name}  not reached: {}\n", plain(why));
    }
    let clock =
        if host.clock == ClockVerdict::Right { String::new() } else { format!("  clock {}", host.clock) };
    let mut text = format!("\n{name}{clock}\n");
    for one in &host.scripts {
        let values: Vec<_> = one.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        text.push_str(&match &one.why_not {
            None => format!("  runs  {}  {}\n", one.script, plain(&values.join(" "))),
            Some(why) => format!("  not   {}  {}\n", one.script, plain(why)),
        });
    }
    text
}
