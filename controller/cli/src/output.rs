//! Results on stdout: tables for people, JSON and CSV for machines. Hosts, scripts and people name
//! things, so all text is hostile to a terminal and is made harmless before it is shown.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use aright_shared::time::Millis;
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// Prints rows: `value` as JSON, `cells` as table or CSV.
pub fn rows<T: Serialize, const N: usize>(
    format: Format,
    value: &[T],
    head: [&str; N],
    cells: impl Fn(&T) -> [String; N],
) -> anyhow::Result<()> {
    match format {
        Format::Json => json(&value),
        Format::Csv => {
            let mut csv = csv::Writer::from_writer(io::stdout().lock());
            csv.write_record(head)?;
            for row in value {
                csv.write_record(cells(row).map(|cell| spreadsheet_safe(plain(&cell))))?;
            }
            Ok(csv.flush()?)
        }
        Format::Table => {
            let mut table = Table::new();
            table.load_preset(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
            table.set_header(head.map(str::to_uppercase));
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
            for row in value {
                table.add_row(cells(row).map(|cell| plain(&cell)));
            }
            let mut out = io::stdout().lock();
            if value.is_empty() {
                writeln!(out, "nothing found")?;
            } else {
                writeln!(out, "{table}")?;
            }
            Ok(())
        }
    }
}

/// One thing: `value` as JSON, else `text`.
pub fn one<T: Serialize>(format: Format, value: &T, text: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    match format {
        Format::Json => json(value),
        Format::Table | Format::Csv => {
            io::stdout().lock().write_all(text(value).as_bytes())?;
            Ok(())
        }
    }
}

pub fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// `label  value` lines with the values in one column; empty values are left out.
pub fn facts(facts: &[(&str, String)]) -> String {
    let shown: Vec<_> = facts.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = shown.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (label, value) in shown {
        let _ = writeln!(text, "{label:width$}  {}", plain(value));
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

/// Marks that reorder text on screen (UAX #9).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{061c}')
}

/// A spreadsheet takes a cell that begins so for a formula.
fn spreadsheet_safe(cell: String) -> String {
    if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell }
}

pub fn time(at: Option<Millis>) -> String {
    at.map_or_else(String::new, |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        assert_eq!(plain("a\u{1b}[31mb\u{202e}c\r\nd"), "a\u{fffd}[31mb\u{fffd}c\u{fffd}\nd");
    }

    #[test]
    fn no_cell_is_a_formula() {
        assert_eq!(spreadsheet_safe("=HYPERLINK(1)".into()), "'=HYPERLINK(1)");
        assert_eq!(spreadsheet_safe("web1".into()), "web1");
    }
}
