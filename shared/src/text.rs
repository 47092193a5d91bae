//! What both command lines print: text of hosts made harmless, and a task as people read it.

use std::fmt::Write as _;

use crate::task::{Exit, FileDiff, Judged, Output, TaskReport};

/// `label  value` lines with the values in one column; empty values are left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let shown: Vec<_> = facts.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in shown {
        // A value of several lines stays under its own label.
        let value = plain(value).replace('\n', &format!("\n{:width$}  ", ""));
        let _ = writeln!(text, "{label:width$}  {value}");
    }
    text
}

/// Text without control characters: no escape sequence of a host reaches the terminal. Line breaks stay.
pub fn plain(text: &str) -> String {
    text.replace('\t', "    ")
        .chars()
        .map(|c| match c {
            '\n' => '\n',
            c if c.is_control() || is_bidi_control(c) => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// As [`plain`], on one line: no name of a file makes a line of its own.
fn line(text: &str) -> String {
    plain(text).replace('\n', "\u{fffd}")
}

/// Marks that reorder text on screen (UAX #9).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// All that a task brought to light, but its name and outcome.
pub fn report(report: &TaskReport) -> String {
    let mut text = String::new();
    if let Some(clock) = report.clock {
        text.push_str(&facts(&[("clock", format!("{:+} ms ± {} ms", clock.offset_ms, clock.bound_ms))]));
    }
    if let Some(confinement) = &report.confinement {
        text.push_str(&facts(&[
            ("stage", confinement.stage.clone()),
            ("layers", confinement.layers.join(", ")),
            ("without", confinement.missing.join("; ")),
        ]));
    }
    for target in &report.targets {
        let after = target.after.as_ref().or(target.staged.as_ref());
        let _ = writeln!(
            text,
            "\n{} {}\n  before {}\n  after  {}",
            target.spot.control,
            plain(&target.spot.instance),
            judged(Some(&target.before)),
            judged(after)
        );
    }
    for over in &report.overreach {
        let _ = writeln!(text, "\nnot declared: {} ({})", line(&over.path), line(&over.what));
    }
    for spot in &report.regressed {
        let _ = writeln!(text, "\nregressed: {} {}", spot.control, plain(&spot.instance));
    }
    for diff in &report.diff {
        text.push_str(&file(diff));
    }
    for done in &report.activation {
        let _ = writeln!(text, "\n{}: {}", line(&done.what), line(&done.result));
    }
    if let Some(script) = &report.script {
        let exit = match script.exit {
            Exit::Code(code) => format!("exit {code}"),
            Exit::Signal(signal) => format!("signal {signal}"),
            Exit::TimedOut => "timed out".into(),
        };
        let _ = writeln!(
            text,
            "\n{exit} after {} ms, {} ms of CPU, {} KiB",
            script.wall_ms, script.cpu_ms, script.peak_memory_kb
        );
        text.push_str(&output("stdout", &script.stdout));
        text.push_str(&output("stderr", &script.stderr));
    }
    text
}

fn judged(judged: Option<&Judged>) -> String {
    judged.map_or_else(
        || "not judged".into(),
        |judged| format!("{} {}", judged.verdict, plain(&judged.reading.to_string())),
    )
}

/// One file of a change set.
pub fn file(diff: &FileDiff) -> String {
    let mut text = format!("\n{} {}\n", diff.change, line(&diff.path));
    for fact in &diff.facts {
        let _ = writeln!(text, "  {}", line(fact));
    }
    if let Some(lines) = &diff.text {
        for line in plain(lines).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text
}

fn output(name: &str, output: &Output) -> String {
    if output.head.is_empty() && output.tail.is_empty() {
        return String::new();
    }
    let mut text = format!("{name}:\n{}", plain(&output.head));
    if output.cut_bytes > 0 {
        let _ = write!(text, "\n… {} bytes cut …\n{}", output.cut_bytes, plain(&output.tail));
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        assert_eq!(facts(&[("what", "a\nwould be ran".into())]), "what  a\n      would be ran\n");
        assert_eq!(line("a\nb"), "a\u{fffd}b");
        assert_eq!(plain("a\u{1b}[31mb\u{202e}c\r\nd"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\nd");
    }
}
