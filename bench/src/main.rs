//! The table of all benchmarks, and the benchmark of the whole.
//!
//! `cargo run --release -p canopy-bench`, after `cargo bench -p canopy-bench`;
//! `make bench` does both. `CANOPY_BENCH_LINES` says how many lines `canopy
//! run` is given, by default 1,000,000; `CANOPY_BENCH_ROUNDS` how often, by
//! default 3.

mod pipeline;

use anyhow::{Context, Result};
use canopy_bench::{Row, kept, output};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

/// The rows of the Criterion benchmarks, in the table's order.
const STAGES: [&str; 12] = [
    "normalize-path",
    "normalize-path as it comes",
    "geo-tag",
    "geo-tag as it comes",
    "edge-location",
    "edge-location as it comes",
    "redact",
    "redact as it comes",
    "parse",
    "parse 45 fields",
    "encode",
    "encode and LZ4",
];

/// A rule below the header and nothing else.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

fn main() -> Result<()> {
    let lines = number("CANOPY_BENCH_LINES", 1_000_000)?;
    let rounds = number("CANOPY_BENCH_ROUNDS", 3)?;
    let mut rows = kept(&STAGES)?;
    rows.extend(pipeline::measure(lines, rounds)?);

    let mut table = Table::new();
    table
        .load_style(STYLE)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["", "ns/record", "records", "ratio", "to", ""]);
    for (row, note) in &rows {
        table.add_row([
            row.name.clone(),
            format!("{:.1}", row.ns_per_record),
            row.records.to_string(),
            format!("{:.2}", row.ratio),
            row.ratio_to.clone(),
            note.clone(),
        ]);
    }
    for column in 1..=3 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    println!("{}", table.trim_fmt());

    let rows: Vec<&Row> = rows.iter().map(|(row, _)| row).collect();
    let file = output().join("summary.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&rows)?)
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("{}", file.display());
    Ok(())
}

/// Reads a number from the environment.
fn number(name: &str, default: u64) -> Result<u64> {
    match std::env::var(name) {
        Ok(text) => match text.parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => anyhow::bail!("{name} is `{text}`, which is not a number over 0"),
        },
        Err(_) => Ok(default),
    }
}
