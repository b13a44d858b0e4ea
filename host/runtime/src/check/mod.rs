//! What the host never trusts: every column a guest returns is checked here,
//! and becomes an Arrow array without another copy where it holds.
//!
//! Two kinds of fault. One of the answer's shape (lengths, offsets, row
//! numbers) makes the whole answer unusable: an [`OutputError`] is returned. One
//! of a single value (text that is not UTF-8, a number too large for the column
//! it replaces) makes that row fail and leaves the others.

mod column;
mod problem;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray};
use canopy_batch::Column;

pub use problem::{OutputError, Problem};

use crate::contract::v0_1::Output;
use crate::descriptor::{Purity, shorten};
use crate::limits::Limits;
use column::check_column;

/// A column the plugin makes, as the batch at hand will hold it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The column as it will be: of the type of the column it replaces.
    pub(crate) column: Column,
    /// Whether rows may be null: declared so, and so is the column replaced.
    pub(crate) may_be_null: bool,
}

/// What an output is held against.
pub(crate) struct Expected<'a> {
    pub(crate) plugin: &'a Arc<str>,
    pub(crate) targets: &'a [Target],
    pub(crate) limits: &'a Limits,
    pub(crate) purity: Purity,
    /// Rows of the call.
    pub(crate) rows: u32,
    /// Says which row of the batch a row of the call is, for messages.
    pub(crate) batch_row: &'a dyn Fn(u32) -> u32,
}

/// An output that holds.
#[derive(Debug)]
pub(crate) struct Checked {
    /// One array a target, of its type and of `out_rows` rows.
    pub(crate) columns: Vec<ArrayRef>,
    /// See `output.source-rows` of the contract.
    pub(crate) source_rows: Option<Vec<u32>>,
    /// Rows of the call that failed, each once, with the reason. Their places
    /// in the columns, if any, have unspecified values.
    pub(crate) rejected: Vec<(u32, String)>,
    /// Bytes of text in the columns.
    pub(crate) text_bytes: usize,
}

/// Checks what `transform` returned.
///
/// # Errors
///
/// An [`OutputError`] where the answer as a whole cannot be used.
pub(crate) fn check(raw: Output, expected: &Expected<'_>) -> Result<Checked, OutputError> {
    let error = |problem| expected.error(None, None, problem);
    if raw.columns.len() != expected.targets.len() {
        return Err(error(Problem::ColumnCount {
            declared: expected.targets.len(),
            found: raw.columns.len(),
        }));
    }
    let mut failures = Failures::new(expected, raw.source_rows);
    failures.check_source_rows()?;
    failures.check_rejected(raw.rejected.into_iter().map(|row| (row.row, row.reason)))?;

    let mut columns = Vec::with_capacity(raw.columns.len());
    let mut text_bytes = 0;
    for (column, target) in raw.columns.into_iter().zip(expected.targets) {
        let array = check_column(column, target, &mut failures)?;
        if let Some(text) = array.as_any().downcast_ref::<StringArray>() {
            text_bytes += text.value_data().len();
        }
        columns.push(array);
    }
    if text_bytes > expected.limits.output_bytes_per_row as usize {
        check_row_sizes(&columns, &mut failures);
    }
    Ok(Checked {
        columns,
        source_rows: failures.source_rows,
        rejected: failures.rejected,
        text_bytes,
    })
}

impl Expected<'_> {
    fn error(&self, column: Option<&Column>, row: Option<u32>, problem: Problem) -> OutputError {
        OutputError {
            plugin: Arc::clone(self.plugin),
            column: column.map(|column| column.name.to_string()),
            row: row.map(self.batch_row),
            problem,
        }
    }
}

/// Collects the rows that fail, each once.
struct Failures<'a> {
    expected: &'a Expected<'a>,
    source_rows: Option<Vec<u32>>,
    rejected: Vec<(u32, String)>,
    /// For each row of the call, whether it is in `rejected`; empty while none
    /// is.
    is_rejected: Vec<bool>,
}

impl<'a> Failures<'a> {
    fn new(expected: &'a Expected<'a>, source_rows: Option<Vec<u32>>) -> Self {
        Failures {
            expected,
            source_rows,
            rejected: Vec::new(),
            is_rejected: Vec::new(),
        }
    }

    fn out_rows(&self) -> usize {
        match &self.source_rows {
            Some(source_rows) => source_rows.len(),
            None => self.expected.rows as usize,
        }
    }

    fn check_source_rows(&self) -> Result<(), OutputError> {
        let expected = self.expected;
        let Some(source_rows) = &self.source_rows else {
            return Ok(());
        };
        let error = |problem| Err(expected.error(None, None, problem));
        if expected.purity == Purity::PerDistinct {
            return error(Problem::NotPerDistinct);
        }
        let most = u64::from(expected.rows) * u64::from(expected.limits.fan_out);
        if source_rows.len() as u64 > most {
            return error(Problem::FanOut {
                found: source_rows.len(),
                rows: expected.rows,
                limit: expected.limits.fan_out,
            });
        }
        match source_rows.iter().find(|&&row| row >= expected.rows) {
            None => Ok(()),
            Some(&found) => error(Problem::NoSuchRow {
                what: "`source-rows`",
                found,
                rows: expected.rows,
            }),
        }
    }

    fn check_rejected(
        &mut self,
        rejected: impl Iterator<Item = (u32, String)>,
    ) -> Result<(), OutputError> {
        let expected = self.expected;
        for (row, reason) in rejected {
            if row >= expected.rows {
                let problem = Problem::NoSuchRow {
                    what: "`rejected`",
                    found: row,
                    rows: expected.rows,
                };
                return Err(expected.error(None, None, problem));
            }
            if self.is_rejected(row) {
                return Err(expected.error(None, Some(row), Problem::RejectedTwice));
            }
            self.reject(row, shorten(&reason));
        }
        let kept = self.source_rows.iter().flatten();
        match kept.copied().find(|&row| self.is_rejected(row)) {
            None => Ok(()),
            Some(row) => Err(expected.error(None, Some(row), Problem::RejectedAndKept)),
        }
    }

    fn is_rejected(&self, row: u32) -> bool {
        self.is_rejected.get(row as usize).copied().unwrap_or(false)
    }

    fn reject(&mut self, row: u32, reason: String) {
        if self.is_rejected.is_empty() {
            self.is_rejected = vec![false; self.expected.rows as usize];
        }
        self.is_rejected[row as usize] = true;
        self.rejected.push((row, reason));
    }

    /// Fails the input row that output row `out_row` comes from, unless it has
    /// failed before.
    fn fail(&mut self, column: &Column, out_row: usize, problem: Problem) {
        let row = match &self.source_rows {
            Some(source_rows) => source_rows[out_row],
            None => out_row as u32,
        };
        if !self.is_rejected(row) {
            let error = self.expected.error(Some(column), Some(row), problem);
            self.reject(row, error.to_string());
        }
    }
}

/// Fails the rows whose text over all columns is more than a row may have.
fn check_row_sizes(columns: &[ArrayRef], failures: &mut Failures<'_>) {
    let limit = failures.expected.limits.output_bytes_per_row;
    let mut sizes = vec![0_usize; failures.out_rows()];
    let mut widest: Vec<(usize, usize)> = vec![(0, 0); sizes.len()];
    for (index, array) in columns.iter().enumerate() {
        if let Some(text) = array.as_any().downcast_ref::<StringArray>() {
            for (row, length) in text.offsets().lengths().enumerate() {
                sizes[row] += length;
                widest[row] = widest[row].max((length, index));
            }
        }
    }
    for (row, bytes) in sizes.into_iter().enumerate() {
        if bytes > limit as usize {
            let column = &failures.expected.targets[widest[row].1].column;
            failures.fail(column, row, Problem::RowTooLarge { bytes, limit });
        }
    }
}
