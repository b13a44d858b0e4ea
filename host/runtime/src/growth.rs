//! What an answer makes the host hold beyond its own bytes.
//!
//! An answer that is spread over equal rows, or that names a row several times,
//! costs more than the plugin returned. It is weighed before anything is
//! copied, so that it fails like any other answer that is too large.

use std::ops::Range;

use arrow_array::{Array, RecordBatch, StringArray};

use crate::check::{Checked, Problem};

/// What the answers about one batch may still make of it.
#[derive(Debug)]
pub(crate) struct Growth {
    limit: usize,
    bytes_left: usize,
    row_limit: u64,
    rows_left: u64,
}

/// What one answer takes of a [`Growth`].
#[derive(Debug)]
pub(crate) struct Taken {
    bytes: usize,
    rows: u64,
}

impl Growth {
    /// For a batch of `rows` rows that come from `records` records: `limit`
    /// bytes, and so many rows more as keep it within `fan_out` rows a record.
    /// It is records that count, or the factors of several plugins multiply.
    pub(crate) fn new(limit: usize, rows: usize, records: usize, fan_out: u32) -> Self {
        let row_limit = (records as u64).saturating_mul(u64::from(fan_out));
        Growth {
            limit,
            bytes_left: limit,
            row_limit,
            rows_left: row_limit.saturating_sub(rows as u64),
        }
    }

    /// Weighs an answer about the rows `range` of the calls. `weights` says for
    /// how many rows of the batch each row of the calls stands; absent: for
    /// itself, and `range` is one of `batch`.
    pub(crate) fn weigh(
        &self,
        checked: &Checked,
        range: &Range<u32>,
        weights: Option<&[u32]>,
        batch: &RecordBatch,
    ) -> Result<Taken, Problem> {
        let text = match weights {
            Some(weights) => {
                spread_bytes(checked, &weights[range.start as usize..range.end as usize])
            }
            None => checked.text_bytes as u64,
        };
        let used = (self.limit - self.bytes_left) as u64;
        if text > self.bytes_left as u64 {
            return Err(Problem::TooLarge {
                bytes: used.saturating_add(text) as usize,
                limit: self.limit,
            });
        }
        let Some(source_rows) = &checked.source_rows else {
            return Ok(Taken {
                bytes: text as usize,
                rows: 0,
            });
        };
        let rows = (source_rows.len() as u64).saturating_sub(range.len() as u64);
        if rows > self.rows_left {
            return Err(Problem::TooManyRows {
                added: rows,
                limit: self.row_limit,
            });
        }
        let bytes = text.saturating_add(copied_bytes(source_rows, range, batch));
        if bytes > self.bytes_left as u64 {
            return Err(Problem::CopiesTooLarge {
                bytes: used.saturating_add(bytes) as usize,
                limit: self.limit,
            });
        }
        Ok(Taken {
            bytes: bytes as usize,
            rows,
        })
    }

    /// Counts an answer that was weighed.
    pub(crate) fn take(&mut self, taken: &Taken) {
        self.bytes_left -= taken.bytes;
        self.rows_left -= taken.rows;
    }
}

/// Bytes of the text once each row stands where the rows it answers for are.
fn spread_bytes(checked: &Checked, weights: &[u32]) -> u64 {
    checked
        .columns
        .iter()
        .filter_map(|array| array.as_any().downcast_ref::<StringArray>())
        .flat_map(|text| text.offsets().lengths().zip(weights))
        .map(|(length, &weight)| (length as u64).saturating_mul(u64::from(weight)))
        .fold(0, u64::saturating_add)
}

/// Bytes that the columns of the batch take for rows named again.
fn copied_bytes(source_rows: &[u32], range: &Range<u32>, batch: &RecordBatch) -> u64 {
    let mut seen = vec![false; range.len()];
    let again: Vec<u32> = source_rows
        .iter()
        .copied()
        .filter(|&row| std::mem::replace(&mut seen[row as usize], true))
        .collect();
    if again.is_empty() {
        return 0;
    }
    let of_column = |array: &dyn Array| match array.as_any().downcast_ref::<StringArray>() {
        Some(text) => again
            .iter()
            .map(|&row| text.value_length((range.start + row) as usize) as u64 + 4)
            .sum(),
        None => {
            let width = array.data_type().primitive_width().unwrap_or(16);
            again.len() as u64 * width as u64
        }
    };
    let columns = batch.columns().iter();
    columns.map(|array| of_column(array.as_ref())).sum()
}
