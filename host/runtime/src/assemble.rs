//! From what the calls returned to the batch that goes on, and the books.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray, UInt32Array, new_empty_array, new_null_array};
use arrow_select::{concat::concat, take::take};
use canopy_batch::{Batch, Outcome, Rejected, StageError};

use crate::check::{Checked, Target};
use crate::isolate::Isolated;
use crate::settings::OnError;

/// What a plugin made of a batch.
pub(crate) struct Assembled {
    pub(crate) outcome: Outcome,
    /// Rows that failed and went on with nulls.
    pub(crate) nulled: u64,
    /// Where the first of them is, and why it failed.
    pub(crate) nulled_example: Option<String>,
}

/// Puts the parts together. `of_row` says for each row of the batch which row
/// of the calls it is; absent: the same.
///
/// # Errors
///
/// [`StageError`] where a row failed and `on_error` is [`OnError::Fail`].
pub(crate) fn assemble(
    mut batch: Batch,
    mut isolated: Isolated<Checked>,
    targets: &[Target],
    of_row: Option<Vec<u32>>,
    on_error: OnError,
    plugin: &Arc<str>,
) -> Result<Assembled, StageError> {
    if isolated.failed.is_empty()
        && of_row.is_none()
        && let [(_, whole)] = isolated.passed.as_mut_slice()
        && whole.source_rows.is_none()
        && whole.rejected.is_empty()
    {
        let columns = std::mem::take(&mut whole.columns);
        for (target, values) in targets.iter().zip(columns) {
            batch.set_column(&target.column, values);
        }
        return Ok(Assembled {
            outcome: Outcome {
                batch,
                dropped: 0,
                rejected: Vec::new(),
            },
            nulled: 0,
            nulled_example: None,
        });
    }

    let failed = failed_rows(&isolated);
    let passed = &isolated.passed;
    let plan = Plan::new(
        passed,
        &failed,
        of_row.as_deref(),
        batch.row_count(),
        on_error,
    );
    if on_error == OnError::Fail
        && let Some((row, reason)) = plan.failed.first()
    {
        return Err(StageError {
            stage: plugin.to_string(),
            message: format!(
                "row {row}, from position {} of its source: {reason} ({} rows failed)",
                position(&batch, *row),
                plan.failed.len()
            ),
        });
    }
    let nulled_example = match (on_error, plan.failed.first()) {
        (OnError::Null, Some(&(row, reason))) => Some(format!(
            "position {} of its source: {reason}",
            position(&batch, row)
        )),
        _ => None,
    };
    if plan.rows.len() > batch.row_count() {
        check_size(&batch, &plan.rows, plugin)?;
    }
    let record_count = batch.record_count();
    let rejected = match on_error {
        OnError::Quarantine => rejected_records(&batch, &plan.failed, plugin),
        OnError::Null | OnError::Fail => Vec::new(),
    };
    let mut selected = batch.select(&plan.rows);
    for (index, target) in targets.iter().enumerate() {
        let values = gather(passed, index, target, &plan.places);
        selected.set_column(&target.column, values);
    }
    let records: Vec<u32> = rejected.iter().map(|rejected| rejected.record).collect();
    let batch = selected.without_records(&records);
    let dropped = record_count - batch.record_count() - rejected.len();
    Ok(Assembled {
        outcome: Outcome {
            batch,
            dropped: dropped as u64,
            rejected,
        },
        nulled: plan.nulled,
        nulled_example,
    })
}

/// The place in its source of the record that a row comes from.
fn position(batch: &Batch, row: u32) -> u64 {
    batch.records().position(batch.origins()[row as usize])
}

/// The rows of the calls that failed, ascending, with the reason.
fn failed_rows(isolated: &Isolated<Checked>) -> Vec<(u32, &str)> {
    let in_ranges = isolated
        .failed
        .iter()
        .flat_map(|(range, reason)| range.clone().map(move |row| (row, reason.as_str())));
    let in_answers = isolated.passed.iter().flat_map(|(range, checked)| {
        let rejected = checked.rejected.iter();
        rejected.map(|(row, reason)| (range.start + row, reason.as_str()))
    });
    let mut failed: Vec<(u32, &str)> = in_ranges.chain(in_answers).collect();
    failed.sort_unstable_by_key(|&(row, _)| row);
    failed
}

/// Which rows go on, and where their values are.
struct Plan<'a> {
    /// Rows of the batch, in their new order.
    rows: Vec<u32>,
    /// For each of them, its place in the answers put end to end; none: null.
    places: Vec<Option<u32>>,
    /// Rows of the batch that failed, ascending, with the reason.
    failed: Vec<(u32, &'a str)>,
    nulled: u64,
}

impl<'a> Plan<'a> {
    fn new(
        passed: &[(Range<u32>, Checked)],
        failed: &[(u32, &'a str)],
        of_row: Option<&[u32]>,
        row_count: usize,
        on_error: OnError,
    ) -> Self {
        let mut plan = Plan {
            rows: Vec::with_capacity(row_count),
            places: Vec::with_capacity(row_count),
            failed: Vec::new(),
            nulled: 0,
        };
        match of_row {
            None => plan.place_each(passed, failed, row_count),
            Some(of_row) => plan.place_spread(passed, failed, of_row),
        }
        if on_error == OnError::Null {
            plan.nulled = plan.failed.len() as u64;
            let in_order = plan.rows.is_sorted();
            plan.rows.extend(plan.failed.iter().map(|&(row, _)| row));
            plan.places.resize(plan.rows.len(), None);
            // A plugin that reorders rows gets those it failed at the end.
            if in_order {
                plan.sort();
            }
        }
        plan
    }

    /// Every row of the batch was one of the calls.
    fn place_each(
        &mut self,
        passed: &[(Range<u32>, Checked)],
        failed: &[(u32, &'a str)],
        row_count: usize,
    ) {
        let mut is_failed = vec![false; row_count];
        for &(row, reason) in failed {
            is_failed[row as usize] = true;
            self.failed.push((row, reason));
        }
        let mut place = 0;
        for (range, checked) in passed {
            let all: Vec<u32>;
            let source_rows = match &checked.source_rows {
                Some(source_rows) => source_rows,
                None => {
                    all = (0..range.len() as u32).collect();
                    &all
                }
            };
            for source_row in source_rows {
                let row = range.start + source_row;
                if !is_failed[row as usize] {
                    self.rows.push(row);
                    self.places.push(Some(place));
                }
                place += 1;
            }
        }
    }

    /// A row of the calls stands for several of the batch; none was left out,
    /// because a per-distinct plugin returns no `source-rows`.
    fn place_spread(
        &mut self,
        passed: &[(Range<u32>, Checked)],
        failed: &[(u32, &'a str)],
        of_row: &[u32],
    ) {
        let call_rows = of_row
            .iter()
            .map(|&row| row as usize + 1)
            .max()
            .unwrap_or(0);
        let mut places = vec![None; call_rows];
        let mut place = 0;
        for (range, _) in passed {
            for row in range.clone() {
                places[row as usize] = Some(place);
                place += 1;
            }
        }
        let mut reasons = vec![None; call_rows];
        for &(row, reason) in failed {
            reasons[row as usize] = Some(reason);
        }
        for (row, &call_row) in (0_u32..).zip(of_row) {
            match reasons[call_row as usize] {
                Some(reason) => self.failed.push((row, reason)),
                None => {
                    self.rows.push(row);
                    self.places.push(places[call_row as usize]);
                }
            }
        }
    }

    /// Brings the rows back into the batch's order.
    fn sort(&mut self) {
        let mut order: Vec<(u32, Option<u32>)> = self
            .rows
            .iter()
            .copied()
            .zip(self.places.iter().copied())
            .collect();
        order.sort_by_key(|&(row, _)| row);
        (self.rows, self.places) = order.into_iter().unzip();
    }
}

/// Returns the values of a column at `places` of the answers put end to end.
fn gather(
    passed: &[(Range<u32>, Checked)],
    column: usize,
    target: &Target,
    places: &[Option<u32>],
) -> ArrayRef {
    let data_type = target.column.column_type.arrow();
    if places.iter().all(Option::is_none) {
        return match places.len() {
            0 => new_empty_array(&data_type),
            rows => new_null_array(&data_type, rows),
        };
    }
    let parts: Vec<&dyn Array> = passed
        .iter()
        .map(|(_, checked)| checked.columns[column].as_ref())
        .collect();
    let whole = concat(&parts)
        .expect("the parts have one type, and the limit on bytes keeps text under 2 GiB");
    take(&whole, &UInt32Array::from(places.to_vec()), None)
        .expect("places are within the answers and every type can be taken")
}

/// Checks that no text column of the batch would pass Arrow's 2 GiB by rows
/// named several times. The answers were weighed before; what is left is a
/// batch that nearly fills a column by itself.
fn check_size(batch: &Batch, rows: &[u32], plugin: &Arc<str>) -> Result<(), StageError> {
    for (field, array) in batch
        .columns()
        .schema()
        .fields()
        .iter()
        .zip(batch.columns().columns())
    {
        let Some(text) = array.as_any().downcast_ref::<StringArray>() else {
            continue;
        };
        let bytes: u64 = rows
            .iter()
            .map(|&row| text.value_length(row as usize) as u64)
            .sum();
        if bytes > i32::MAX as u64 {
            return Err(StageError {
                stage: plugin.to_string(),
                message: format!(
                    "its {} rows would hold {bytes} bytes of `{}`; lower limits.fan-out or make \
                     batches smaller",
                    rows.len(),
                    field.name()
                ),
            });
        }
    }
    Ok(())
}

/// The records of the rows that failed, each once, with its first reason.
fn rejected_records(batch: &Batch, failed: &[(u32, &str)], plugin: &Arc<str>) -> Vec<Rejected> {
    let mut seen = vec![false; batch.records().len()];
    failed
        .iter()
        .filter_map(|(row, reason)| {
            let record = batch.origins()[*row as usize];
            let first = !std::mem::replace(&mut seen[record as usize], true);
            first.then(|| Rejected {
                record,
                stage: Arc::clone(plugin),
                reason: (*reason).to_owned(),
            })
        })
        .collect()
}
