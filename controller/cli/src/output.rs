//! Results on stdout: tables for people, JSON and CSV for machines. Hosts, scripts and people name
//! things, so all text is hostile to a terminal and is made harmless before it is shown.

use std::io::{self, Write as _};

use aright_shared::text::plain;
use aright_shared::time::Millis;
use clap::ValueEnum;
use comfy_table::presets::NOTHING;
use comfy_table::{ColumnConstraint, ContentArrangement, Table};
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
            for (column, name) in table.column_iter_mut().zip(head) {
                column.set_padding((0, 2));
                // An id in two lines cannot be copied.
                if ["id", "job", "task"].contains(&name) {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                }
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
    fn no_cell_is_a_formula() {
        assert_eq!(spreadsheet_safe("=HYPERLINK(1)".into()), "'=HYPERLINK(1)");
        assert_eq!(spreadsheet_safe("web1".into()), "web1");
    }
}
