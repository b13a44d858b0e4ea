//! The columns of one batch, filled block by block.

use std::sync::Arc;

use arrow_array::types::TimestampMillisecondType;
use arrow_array::{ArrayRef, Float32Array, RecordBatch};
use arrow_schema::Schema;

use crate::batch::record_batch;
use crate::schema::{FIELD_COUNT, FIELDS, SAMPLE_WEIGHT};

use super::block::{Block, Cells, Progress};
use super::columns::{ColumnBuilder, Failures, NumberBuilder, is_absent};
use super::plan::{Clock, Plan};
use super::value::{date, epoch_millis, epoch_seconds, shown, time_of_day};

/// The columns of one batch. A column is made when a source first provides it.
#[derive(Debug)]
pub(super) struct Table {
    timestamps: Option<NumberBuilder<TimestampMillisecondType>>,
    /// The other columns, as [`FIELDS`] orders them.
    columns: [Option<ColumnBuilder>; FIELD_COUNT],
    row_count: usize,
    /// The record of each row.
    origins: Vec<u32>,
    /// The records that are not rows, and why.
    rejected: Vec<(u32, String)>,
}

/// What a table ends as.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) columns: RecordBatch,
    /// The record of each row.
    pub(super) origins: Vec<u32>,
    /// The records that are not rows, in their order, and why.
    pub(super) rejected: Vec<(u32, String)>,
}

impl Table {
    /// Returns a table without columns and rows.
    pub(super) fn new() -> Self {
        Table {
            timestamps: None,
            columns: std::array::from_fn(|_| None),
            row_count: 0,
            origins: Vec::new(),
            rejected: Vec::new(),
        }
    }

    /// Sets a record aside.
    pub(super) fn reject(&mut self, record: u32, reason: String) {
        self.rejected.push((record, reason));
    }

    /// Turns the rows of a block into rows of the columns, or rejects them.
    /// Bit `n` of `provided` says whether the source has slot `n`; a column
    /// whose slot it lacks is left alone.
    pub(super) fn append(
        &mut self,
        plan: &Plan,
        (text, block): (&[u8], &mut Block),
        provided: Slots,
        progress: Progress,
    ) {
        while block.len() > 0 {
            let mut failures = Failures::default();
            self.fill(plan, (text, block), provided, progress, &mut failures);
            if failures.is_empty() {
                self.row_count += block.len();
                self.origins.extend_from_slice(block.records());
                return;
            }
            // The columns are of different lengths now. They go back to what
            // they were, and the block is done again without the bad rows:
            // good blocks pay nothing for this, and bad ones are rare.
            self.roll_back();
            self.rejected.extend(failures.records(block));
            block.retain(|row| !failures.contains(row));
        }
    }

    /// Appends the block to each column; rows in `failures` leave holes.
    fn fill(
        &mut self,
        plan: &Plan,
        (text, block): (&[u8], &Block),
        provided: Slots,
        progress: Progress,
        failures: &mut Failures,
    ) {
        if let Some(clock) = plan.clock {
            let builder = self.timestamps.get_or_insert_default();
            builder.pad(self.row_count);
            builder.reserve(progress);
            append_times(builder, plan, clock, (text, block), failures);
        }
        for step in plan.steps.iter().filter(|step| provided.has(step.slot)) {
            let field = &FIELDS[step.column];
            let column = self.columns[step.column].get_or_insert_with(|| ColumnBuilder::new(field));
            column.pad(self.row_count);
            let cells = Cells {
                text,
                block,
                slot: step.slot,
                name: &plan.names[step.slot],
            };
            column.append(field, cells, progress, failures);
        }
    }

    /// Takes everything back that [`Table::fill`] did since the last good block.
    fn roll_back(&mut self) {
        if let Some(timestamps) = &mut self.timestamps {
            timestamps.truncate(self.row_count);
        }
        for column in self.columns.iter_mut().flatten() {
            column.truncate(self.row_count);
        }
    }

    /// Returns the columns, with the same sample weight for every row.
    pub(super) fn finish(mut self, sample_weight: f32) -> Finished {
        let mut fields = Vec::new();
        let mut arrays: Vec<ArrayRef> = Vec::new();
        if let Some(mut timestamps) = self.timestamps {
            timestamps.pad(self.row_count);
            fields.push(FIELDS[0].column.arrow());
            arrays.push(Arc::new(timestamps.finish().with_timezone("UTC")));
        }
        for (field, column) in FIELDS.iter().zip(self.columns) {
            if let Some(mut column) = column {
                column.pad(self.row_count);
                fields.push(field.column.arrow());
                arrays.push(column.finish());
            }
        }
        let weights = Float32Array::from_value(sample_weight, self.row_count);
        fields.push(SAMPLE_WEIGHT.arrow());
        arrays.push(Arc::new(weights));
        self.rejected.sort_unstable_by_key(|&(record, _)| record);
        Finished {
            columns: record_batch(Arc::new(Schema::new(fields)), arrays, self.row_count),
            origins: self.origins,
            rejected: self.rejected,
        }
    }
}

/// A set of slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slots(u128);

impl Slots {
    /// Every slot.
    pub(super) const ALL: Slots = Slots(u128::MAX);

    /// Adds a slot and says whether it was new.
    pub(super) fn insert(&mut self, slot: usize) -> bool {
        let new = !self.has(slot);
        self.0 |= bit(slot);
        new
    }

    /// Whether the slot is in the set.
    pub(super) fn has(self, slot: usize) -> bool {
        self.0 & bit(slot) != 0
    }

    /// Adds the slots of another set.
    pub(super) fn extend(&mut self, others: Slots) {
        self.0 |= others.0;
    }
}

/// Slots past the last bit share it: only sources that have every slot have
/// that many.
fn bit(slot: usize) -> u128 {
    1 << slot.min(u128::BITS as usize - 1)
}

/// Appends the time of each row of the block.
fn append_times(
    builder: &mut NumberBuilder<TimestampMillisecondType>,
    plan: &Plan,
    clock: Clock,
    (text, block): (&[u8], &Block),
    failures: &mut Failures,
) {
    match clock {
        Clock::Seconds(slot) => {
            for row in 0..block.len() {
                let token = block.value(text, row, slot);
                match epoch_seconds(token) {
                    Some(millis) => builder.push(millis),
                    None => {
                        let (name, value) = (&plan.names[slot], shown(token));
                        let wanted = "a time in seconds since 1970, such as 1671005351.148";
                        failures.add(row, format!("{name}: {value} is not {wanted}"));
                    }
                }
            }
        }
        Clock::Standard { millis, date_time } => {
            for row in 0..block.len() {
                let value = |slot: Option<usize>| match slot {
                    Some(slot) => block.value(text, row, slot),
                    None => &[],
                };
                let (day, time) = date_time.unzip();
                match standard_time(value(millis), value(day), value(time)) {
                    Ok(millis) => builder.push(millis),
                    Err(reason) => failures.add(row, reason),
                }
            }
        }
    }
}

/// Returns the time of a standard log's record from the fields that say it,
/// any of which may be absent.
///
/// # Errors
///
/// A phrase naming the field that is wrong. A wrong `date` is one even where
/// `timestamp(ms)` would do: the record is then not what it seems to be.
fn standard_time(millis: &[u8], day: &[u8], time: &[u8]) -> Result<i64, String> {
    let read = |name, token, parse: fn(&[u8]) -> Option<i64>, wanted| {
        if is_absent(token) {
            return Ok(None);
        }
        match parse(token) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("{name}: {} is not {wanted}", shown(token))),
        }
    };
    let wanted = "a time in milliseconds since 1970";
    let millis = read("timestamp(ms)", millis, epoch_millis, wanted)?;
    let day = read("date", day, date, "a date from 1970 on, such as 2019-12-04")?;
    let time = read("time", time, time_of_day, "a time of day, such as 21:02:31")?;
    millis
        .or(day.zip(time).map(|(day, time)| day + time))
        .ok_or_else(|| "no time: `timestamp(ms)` is absent, and `date` or `time` too".into())
}
