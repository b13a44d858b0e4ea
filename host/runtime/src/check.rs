//! What the host never trusts: every column a guest returns is checked here,
//! and becomes an Arrow array without another copy where it holds.
//!
//! Two kinds of fault. One of the answer's shape (lengths, offsets, row
//! numbers) makes the whole answer unusable: an [`OutputError`] is returned. One
//! of a single value (text that is not UTF-8, a number too large for the column
//! it replaces) makes that row fail and leaves the others.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use canopy_batch::{Column, ColumnType, Kind};

use crate::contract::v0_1::{ColumnOut, Output, TextOut, ValuesOut};
use crate::descriptor::{Purity, shorten};
use crate::limits::Limits;

/// The times ClickHouse's `DateTime64(3)` holds: 1900-01-01 to 2299-12-31, in
/// milliseconds since the epoch. Others wrap around silently there.
const TIMESTAMP_RANGE: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;

/// An output that cannot be used, or a value in it that cannot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("plugin `{plugin}` returned {}{problem}; {}", place(column, row), problem.remedy())]
pub struct OutputError {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The output column at fault, where it is one.
    pub column: Option<String>,
    /// The row of the batch at fault, from 0, where it is one. In a column it
    /// is the input row its output row comes from.
    pub row: Option<u32>,
    /// What is wrong.
    pub problem: Problem,
}

fn place(column: &Option<String>, row: &Option<u32>) -> String {
    match (column, row) {
        (Some(column), Some(row)) => format!("in column `{column}`, row {row}, "),
        (Some(column), None) => format!("in column `{column}` "),
        (None, Some(row)) => format!("for row {row} "),
        (None, None) => String::new(),
    }
}

/// What is wrong with an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// There are more or fewer columns than declared.
    #[error("{found} columns where it declared {declared}")]
    ColumnCount {
        /// As `configure` returned them.
        declared: usize,
        /// As `transform` returned them.
        found: usize,
    },
    /// A column has another kind than declared.
    #[error("{found} values where it declared {declared}")]
    WrongKind {
        /// As `configure` returned it.
        declared: Kind,
        /// As `transform` returned it.
        found: Kind,
    },
    /// A list has another length than the rows ask for.
    #[error("{what} of length {found} where {expected} belong to {rows} rows")]
    Length {
        /// Which list.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it must have.
        expected: usize,
        /// The output rows.
        rows: usize,
    },
    /// The first offset is not 0.
    #[error("text offsets that start at {found} instead of 0")]
    FirstOffset {
        /// The first offset.
        found: u32,
    },
    /// An offset is less than the one before.
    #[error("text offsets that go back from {from} to {to}")]
    DecreasingOffset {
        /// The offset before.
        from: u32,
        /// The offset at fault.
        to: u32,
    },
    /// The last offset is not the length of the bytes.
    #[error("text offsets that end at {found} while there are {bytes} bytes")]
    LastOffset {
        /// The last offset.
        found: u32,
        /// The bytes there are.
        bytes: usize,
    },
    /// Text is not UTF-8 by itself.
    #[error("text that is not UTF-8")]
    NotUtf8,
    /// A value is null in a column that cannot hold null.
    #[error("null in a column that is not nullable")]
    Null,
    /// A number does not fit the column it replaces.
    #[error("{value}, which does not fit the {column_type:?} column it replaces")]
    OutOfRange {
        /// The number.
        value: String,
        /// What the column holds.
        column_type: ColumnType,
    },
    /// A timestamp is outside of what ClickHouse holds.
    #[error("{millis} ms since the epoch, outside of the years 1900 to 2299")]
    Timestamp {
        /// The timestamp.
        millis: i64,
    },
    /// Text in an address column is neither an address nor empty.
    #[error("`{text}`, which is not an IP address")]
    NotAnAddress {
        /// The text, cut.
        text: String,
    },
    /// A row has more text than it may.
    #[error("{bytes} bytes of text in one row where {limit} are allowed")]
    RowTooLarge {
        /// The row's bytes over all columns.
        bytes: usize,
        /// The limit.
        limit: u32,
    },
    /// The output has more bytes than a batch may.
    #[error("{bytes} bytes where {limit} are allowed for a batch")]
    TooLarge {
        /// The output's bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// There are many more rows than went in.
    #[error("{found} rows for {rows} rows of input, over the fan-out limit of {limit}")]
    FanOut {
        /// Output rows.
        found: usize,
        /// Input rows.
        rows: u32,
        /// Output rows allowed for each input row.
        limit: u32,
    },
    /// A row number is not one of the call's.
    #[error("row number {found} in {what} where there are {rows} rows")]
    NoSuchRow {
        /// Which list.
        what: &'static str,
        /// The row number.
        found: u32,
        /// The input rows.
        rows: u32,
    },
    /// A row is rejected twice.
    #[error("the same row twice in `rejected`")]
    RejectedTwice,
    /// A row is rejected and goes on.
    #[error("a rejected row in `source-rows`")]
    RejectedAndKept,
    /// A per-distinct plugin changed which rows there are.
    #[error("`source-rows` though it calls itself per-distinct")]
    NotPerDistinct,
}

impl Problem {
    /// What the plugin's author or operator can do.
    fn remedy(&self) -> &'static str {
        match self {
            Problem::ColumnCount { .. } | Problem::WrongKind { .. } => {
                "return the columns that `configure` declares, in their order"
            }
            Problem::Length { .. } => {
                "give every column one value for each output row, text one offset more"
            }
            Problem::FirstOffset { .. }
            | Problem::DecreasingOffset { .. }
            | Problem::LastOffset { .. } => {
                "offsets start at 0, never decrease and end at the number of bytes"
            }
            Problem::NotUtf8 => {
                "cut text between characters, and decode bytes before returning them"
            }
            Problem::Null => "declare the column nullable, or return a value",
            Problem::OutOfRange { .. } | Problem::Timestamp { .. } => {
                "reject the row, or write to a new column"
            }
            Problem::NotAnAddress { .. } => {
                "return an IPv4 or IPv6 address or the empty text, or write to a new column"
            }
            Problem::RowTooLarge { .. } => "shorten the text, or raise limits.output-bytes-per-row",
            Problem::TooLarge { .. } => "shorten the text, or raise limits.output-bytes",
            Problem::FanOut { .. } => "make fewer rows, or raise limits.fan-out",
            Problem::NoSuchRow { .. } => "number the rows of this call from 0",
            Problem::RejectedTwice => "reject a row once",
            Problem::RejectedAndKept => "leave rejected rows out of `source-rows`",
            Problem::NotPerDistinct => "call the plugin per-row, or keep every row",
        }
    }
}

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

fn check_column(
    raw: ColumnOut,
    target: &Target,
    failures: &mut Failures<'_>,
) -> Result<ArrayRef, OutputError> {
    let rows = failures.out_rows();
    let column = &target.column;
    let declared = column.column_type.kind();
    let found = raw.values.kind();
    if found != declared {
        let problem = Problem::WrongKind { declared, found };
        return Err(failures.expected.error(Some(column), None, problem));
    }
    let nulls = check_validity(raw.validity, rows, target, failures)?;
    match raw.values {
        ValuesOut::Text(text) => check_text(text, nulls, column, failures),
        ValuesOut::Int(values) => {
            check_length("values", values.len(), rows, rows, column, failures)?;
            Ok(narrow_int(values, nulls, column, failures))
        }
        ValuesOut::Float(values) => {
            check_length("values", values.len(), rows, rows, column, failures)?;
            Ok(narrow_float(values, nulls, column, failures))
        }
        ValuesOut::Timestamp(values) => {
            check_length("values", values.len(), rows, rows, column, failures)?;
            for (row, &millis) in values.iter().enumerate() {
                if !TIMESTAMP_RANGE.contains(&millis) && is_valid(&nulls, row) {
                    failures.fail(column, row, Problem::Timestamp { millis });
                }
            }
            let array = TimestampMillisecondArray::new(values.into(), nulls);
            Ok(Arc::new(array.with_timezone("UTC")))
        }
        ValuesOut::Boolean(bits) => {
            check_length(
                "value bits",
                bits.len(),
                rows.div_ceil(8),
                rows,
                column,
                failures,
            )?;
            let bits = BooleanBuffer::new(Buffer::from_vec(bits), 0, rows);
            Ok(Arc::new(BooleanArray::new(bits, nulls)))
        }
    }
}

fn check_length(
    what: &'static str,
    found: usize,
    expected: usize,
    rows: usize,
    column: &Column,
    failures: &Failures<'_>,
) -> Result<(), OutputError> {
    if found == expected {
        return Ok(());
    }
    let problem = Problem::Length {
        what,
        found,
        expected,
        rows,
    };
    Err(failures.expected.error(Some(column), None, problem))
}

/// Checks a validity bitmap. Where the column cannot hold null, null rows fail.
fn check_validity(
    validity: Option<Vec<u8>>,
    rows: usize,
    target: &Target,
    failures: &mut Failures<'_>,
) -> Result<Option<NullBuffer>, OutputError> {
    let Some(bits) = validity else {
        return Ok(None);
    };
    let column = &target.column;
    check_length(
        "validity bits",
        bits.len(),
        rows.div_ceil(8),
        rows,
        column,
        failures,
    )?;
    let nulls = NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(bits), 0, rows));
    if nulls.null_count() == 0 {
        return Ok(None);
    }
    if !target.may_be_null {
        for row in (0..rows).filter(|&row| nulls.is_null(row)) {
            failures.fail(column, row, Problem::Null);
        }
    }
    Ok(Some(nulls))
}

fn is_valid(nulls: &Option<NullBuffer>, row: usize) -> bool {
    nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
}

fn check_text(
    text: TextOut,
    nulls: Option<NullBuffer>,
    column: &Column,
    failures: &mut Failures<'_>,
) -> Result<ArrayRef, OutputError> {
    let rows = failures.out_rows();
    let TextOut { offsets, bytes } = text;
    check_length("offsets", offsets.len(), rows + 1, rows, column, failures)?;
    let expected = failures.expected;
    let error = |problem| expected.error(Some(column), None, problem);
    let limit = expected.limits.output_bytes();
    if bytes.len() > limit {
        let bytes = bytes.len();
        return Err(error(Problem::TooLarge { bytes, limit }));
    }
    if offsets[0] != 0 {
        let found = offsets[0];
        return Err(error(Problem::FirstOffset { found }));
    }
    if let Some(pair) = offsets.windows(2).find(|pair| pair[0] > pair[1]) {
        let (from, to) = (pair[0], pair[1]);
        return Err(error(Problem::DecreasingOffset { from, to }));
    }
    let last = offsets[rows];
    if last as usize != bytes.len() {
        return Err(error(Problem::LastOffset {
            found: last,
            bytes: bytes.len(),
        }));
    }

    let bytes = Buffer::from_vec(bytes);
    // No offset is above the limit of 1 GiB, so each is the same as an `i32`.
    let offsets = ScalarBuffer::<i32>::from(Buffer::from_vec(offsets));
    let offsets = OffsetBuffer::new(offsets);
    // The array checks in one pass that the bytes are UTF-8 and that every
    // offset is between characters: together, that every row is UTF-8.
    let array = match StringArray::try_new(offsets.clone(), bytes.clone(), nulls.clone()) {
        Ok(array) => array,
        Err(_) => without_broken_rows(&offsets, &bytes, nulls.as_ref(), column, failures),
    };
    if column.column_type == ColumnType::Ip {
        check_addresses(&array, column, failures);
    }
    Ok(Arc::new(array))
}

/// Fails the rows that are not UTF-8 and keeps the others.
fn without_broken_rows(
    offsets: &OffsetBuffer<i32>,
    bytes: &[u8],
    nulls: Option<&NullBuffer>,
    column: &Column,
    failures: &mut Failures<'_>,
) -> StringArray {
    offsets
        .windows(2)
        .enumerate()
        .map(|(row, pair)| {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return None;
            }
            let value = std::str::from_utf8(&bytes[pair[0] as usize..pair[1] as usize]);
            Some(value.unwrap_or_else(|_| {
                failures.fail(column, row, Problem::NotUtf8);
                ""
            }))
        })
        .collect()
}

fn check_addresses(array: &StringArray, column: &Column, failures: &mut Failures<'_>) {
    for (row, value) in array.iter().enumerate() {
        if let Some(text) = value
            && !text.is_empty()
            && text.parse::<IpAddr>().is_err()
        {
            let text = shorten(text);
            failures.fail(column, row, Problem::NotAnAddress { text });
        }
    }
}

/// Turns integers into the type of the column they go into. A row that does not
/// fit fails.
fn narrow_int(
    values: Vec<i64>,
    nulls: Option<NullBuffer>,
    column: &Column,
    failures: &mut Failures<'_>,
) -> ArrayRef {
    macro_rules! narrow {
        ($array:ident) => {{
            let narrowed: ScalarBuffer<_> = values
                .iter()
                .enumerate()
                .map(|(row, &value)| {
                    value.try_into().unwrap_or_else(|_| {
                        if is_valid(&nulls, row) {
                            let problem = Problem::OutOfRange {
                                value: value.to_string(),
                                column_type: column.column_type,
                            };
                            failures.fail(column, row, problem);
                        }
                        0
                    })
                })
                .collect();
            Arc::new($array::new(narrowed, nulls.clone()))
        }};
    }
    match column.column_type {
        ColumnType::UInt8 => narrow!(UInt8Array),
        ColumnType::UInt16 => narrow!(UInt16Array),
        ColumnType::UInt32 => narrow!(UInt32Array),
        ColumnType::UInt64 => narrow!(UInt64Array),
        _ => Arc::new(Int64Array::new(values.into(), nulls)),
    }
}

/// Turns floats into the type of the column they go into. A finite value that
/// would become infinite fails its row; NaN and infinities pass as they are.
fn narrow_float(
    values: Vec<f64>,
    nulls: Option<NullBuffer>,
    column: &Column,
    failures: &mut Failures<'_>,
) -> ArrayRef {
    if column.column_type != ColumnType::Float32 {
        return Arc::new(Float64Array::new(values.into(), nulls));
    }
    let narrowed: ScalarBuffer<f32> = values
        .iter()
        .enumerate()
        .map(|(row, &value)| {
            let narrow = value as f32;
            if value.is_finite() && narrow.is_infinite() && is_valid(&nulls, row) {
                let problem = Problem::OutOfRange {
                    value: value.to_string(),
                    column_type: column.column_type,
                };
                failures.fail(column, row, problem);
            }
            narrow
        })
        .collect();
    Arc::new(Float32Array::new(narrowed, nulls))
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
