//! What the benchmarks share: the lines they work on, the way they measure,
//! and the rows they leave for the table.
//!
//! `make bench` runs everything. The Criterion benchmarks in `benches/` leave
//! their rows in `target/bench/rows`; the program `canopy-bench` then measures
//! `canopy run` as a whole, prints all rows as one table and writes them to
//! `target/bench/summary.json`.
//!
//! - [`data`] makes lines and batches;
//! - [`paired`] measures two things in turns;
//! - [`Row`] is what is left of a measurement.

pub mod data;
pub mod paired;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// How many records the benchmarks of a stage work on at a time.
pub const BATCH_RECORDS: usize = 10_000;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// Median nanoseconds for a record.
    pub ns_per_record: f64,
    /// How many records were worked on at a time.
    pub records: u64,
    /// The time as a multiple of that of `ratio_to` in the same run: the
    /// median over pairs of measurements.
    pub ratio: f64,
    /// What it is compared with.
    pub ratio_to: String,
}

/// Returns the repository's folder.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Returns the folder that benchmarks leave things in: `target/bench`.
pub fn output() -> PathBuf {
    root().join("target/bench")
}

/// Keeps a row, and what else the table says of it, for the table.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn keep(row: &Row, note: &str) -> Result<()> {
    let folder = output().join("rows");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("{}.json", row.name));
    std::fs::write(&file, serde_json::to_vec_pretty(&(row, note))?)
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Takes the rows called `names` that benchmarks have kept, with their notes.
///
/// # Errors
///
/// Where one is missing, and says how to get it.
pub fn kept(names: &[&str]) -> Result<Vec<(Row, String)>> {
    names
        .iter()
        .map(|name| {
            let file = output().join("rows").join(format!("{name}.json"));
            let json = std::fs::read(&file).with_context(|| {
                format!(
                    "cannot read {}: run `cargo bench -p canopy-bench` first",
                    file.display()
                )
            })?;
            Ok(serde_json::from_slice(&json)?)
        })
        .collect()
}
