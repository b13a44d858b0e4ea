//! The lines that benchmarks work on: generated from a fixed seed, so that
//! every machine measures the same bytes.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use arrow_array::cast::AsArray;
use bytes::Bytes;
use canopy_batch::Batch;
use canopy_batch::formats::{Format, Layout, Parser};
use canopy_traffic::{Generator, Pace, Settings};

/// Which traffic.
const SEED: u64 = 20_261_125;

/// 2026-11-24T00:00:00Z.
const START_MS: u64 = 1_795_478_400_000;

/// The traffic spans this time: an hour of a site with some hundred requests
/// a second.
const WINDOW: Duration = Duration::from_secs(3_600);

/// Which fields a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// CloudFront's first 45 in its order.
    First45,
    /// All 71.
    All,
}

impl Fields {
    fn traffic(self) -> canopy_traffic::Layout {
        match self {
            Fields::First45 => canopy_traffic::Layout::first(45),
            Fields::All => canopy_traffic::Layout::all(),
        }
    }

    /// Returns the format of such lines.
    pub fn format(self) -> Format {
        let names = self.traffic();
        let layout = Layout::from_names(names.names())
            .expect("the generator's fields are those of CloudFront");
        Format::RealTime(layout)
    }

    fn generator(self, lines: u64) -> Generator {
        let mut settings = Settings::new(SEED, START_MS);
        settings.format = canopy_traffic::Format::RealTime(self.traffic());
        settings.pace = Pace::Spread {
            lines,
            window: WINDOW,
        };
        Generator::new(settings)
    }
}

/// Returns this many lines.
pub fn lines(fields: Fields, count: usize) -> Bytes {
    let mut out = Vec::new();
    fields.generator(count as u64).fill(&mut out, count as u64);
    out.into()
}

/// Writes this many lines with all fields to a file.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn write_lines(file: &Path, count: u64) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(file)?);
        let mut generator = Fields::All.generator(count);
        let mut block = Vec::new();
        let mut left = count;
        while left > 0 {
            let now = left.min(1_000);
            generator.fill(&mut block, now);
            out.write_all(&block)?;
            block.clear();
            left -= now;
        }
        out.flush()
    };
    write().with_context(|| format!("cannot write {}", file.display()))
}

/// Parses lines, all of which are good.
pub fn parse(fields: Fields, lines: Bytes) -> Batch {
    let parsed = Parser::new(fields.format(), 100.0).parse_lines(lines, 1);
    assert!(parsed.rejected.is_empty(), "generated lines are good");
    parsed.batch
}

/// Returns a batch of `count` rows that differ from each other in the text
/// columns called `columns`, taken from as much traffic as it takes; nothing
/// where 100 times as many lines are not enough.
pub fn distinct(columns: &[&str], count: usize) -> Option<Batch> {
    let batch = parse(Fields::All, lines(Fields::All, 40 * count));
    let texts: Vec<_> = columns
        .iter()
        .map(|name| batch.column(name).expect("a column of the batch"))
        .map(|column| column.as_string::<i32>())
        .collect();
    let mut seen = HashSet::new();
    let rows: Vec<u32> = (0..batch.row_count())
        .filter(|&row| {
            let values: Vec<&str> = texts.iter().map(|text| text.value(row)).collect();
            seen.insert(values)
        })
        .map(|row| row as u32)
        .take(count)
        .collect();
    (rows.len() == count).then(|| batch.select(&rows))
}
