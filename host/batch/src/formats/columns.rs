//! Columns being filled: Arrow's buffers, written in place.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};

use crate::schema::{ColumnType, Field};

use super::block::{BLOCK_ROWS, Block, Cells, Progress};
use super::percent;
use super::value::{decimal, is_address, shown, whole};

/// The rows of a block that cannot be rows of a batch, each with its reason.
#[derive(Debug, Default)]
pub(super) struct Failures {
    rows: u64,
    reasons: Vec<(usize, String)>,
}

const _: () = assert!(BLOCK_ROWS <= u64::BITS as usize, "one bit for each row");

impl Failures {
    /// Marks a row as bad; the first reason given for it stays.
    #[cold]
    pub(super) fn add(&mut self, row: usize, reason: String) {
        if !self.contains(row) {
            self.rows |= 1 << row;
            self.reasons.push((row, reason));
        }
    }

    /// Whether the row is bad.
    pub(super) fn contains(&self, row: usize) -> bool {
        self.rows & (1 << row) != 0
    }

    /// Whether no row is bad.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Returns the record of each bad row of `block`, and why it is bad.
    pub(super) fn records(&self, block: &Block) -> impl Iterator<Item = (u32, String)> {
        self.reasons
            .iter()
            .map(|(row, reason)| (block.records()[*row], reason.clone()))
    }
}

/// Whether a value, as CloudFront wrote it, is none.
#[inline]
pub(super) fn is_absent(token: &[u8]) -> bool {
    matches!(token, [] | [b'-'])
}

/// One column being filled.
#[derive(Debug)]
pub(super) enum ColumnBuilder {
    Text(TextBuilder),
    UInt8(NumberBuilder<UInt8Type>),
    UInt16(NumberBuilder<UInt16Type>),
    UInt32(NumberBuilder<UInt32Type>),
    UInt64(NumberBuilder<UInt64Type>),
    Float32(NumberBuilder<Float32Type>),
}

/// Does the same with whichever builder it is.
macro_rules! each {
    ($column:expr, $builder:ident => $body:expr) => {
        match $column {
            ColumnBuilder::Text($builder) => $body,
            ColumnBuilder::UInt8($builder) => $body,
            ColumnBuilder::UInt16($builder) => $body,
            ColumnBuilder::UInt32($builder) => $body,
            ColumnBuilder::UInt64($builder) => $body,
            ColumnBuilder::Float32($builder) => $body,
        }
    };
}

impl ColumnBuilder {
    /// Returns an empty builder for a column of [`FIELDS`](crate::schema::FIELDS).
    pub(super) fn new(field: &Field) -> Self {
        let nullable = field.column.nullable;
        match field.column.column_type {
            ColumnType::UInt8 => ColumnBuilder::UInt8(NumberBuilder::new(nullable)),
            ColumnType::UInt16 => ColumnBuilder::UInt16(NumberBuilder::new(nullable)),
            ColumnType::UInt32 => ColumnBuilder::UInt32(NumberBuilder::new(nullable)),
            ColumnType::UInt64 => ColumnBuilder::UInt64(NumberBuilder::new(nullable)),
            ColumnType::Float32 => ColumnBuilder::Float32(NumberBuilder::new(nullable)),
            ColumnType::Text | ColumnType::LowText | ColumnType::Ip => {
                ColumnBuilder::Text(TextBuilder::default())
            }
            other @ (ColumnType::TimestampMs
            | ColumnType::Int64
            | ColumnType::Float64
            | ColumnType::Bool) => {
                unreachable!("no field but the timestamp is of type {other:?}")
            }
        }
    }

    /// Appends one value for each row of the block. A row whose value is bad is
    /// added to `failures`; the column is then short of it and must be
    /// truncated.
    pub(super) fn append(
        &mut self,
        field: &Field,
        cells: Cells<'_>,
        progress: Progress,
        failures: &mut Failures,
    ) {
        match self {
            ColumnBuilder::Text(builder) => {
                let content = match (field.column.column_type, field.encoded) {
                    (ColumnType::Ip, _) => Content::Address,
                    (_, true) => Content::Encoded,
                    (_, false) => Content::Plain,
                };
                builder.append(content, cells, progress, failures);
            }
            ColumnBuilder::UInt8(builder) => {
                builder.append_whole(cells, u8::MAX.into(), progress, failures);
            }
            ColumnBuilder::UInt16(builder) => {
                // A status has three digits, in standard logs also `000`; a
                // longer one is a value of another field.
                let max = match field.name {
                    "sc-status" => 999,
                    _ => u16::MAX.into(),
                };
                builder.append_whole(cells, max, progress, failures);
            }
            ColumnBuilder::UInt32(builder) => {
                builder.append_whole(cells, u32::MAX.into(), progress, failures);
            }
            ColumnBuilder::UInt64(builder) => {
                builder.append_whole(cells, i64::MAX as u64, progress, failures);
            }
            ColumnBuilder::Float32(builder) => {
                builder.append(cells, decimal, progress, |row, token| {
                    let (name, value) = (cells.name, shown(token));
                    failures.add(row, format!("{name}: {value} is not a decimal number"));
                });
            }
        }
    }

    /// Appends absent values up to `rows` rows.
    pub(super) fn pad(&mut self, rows: usize) {
        each!(self, builder => builder.pad(rows));
    }

    /// Goes back to `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        each!(self, builder => builder.truncate(rows));
    }

    /// Returns the finished array.
    pub(super) fn finish(self) -> ArrayRef {
        each!(self, builder => Arc::new(builder.finish()))
    }
}

/// A column of numbers being filled.
#[derive(Debug)]
pub(super) struct NumberBuilder<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    /// Absent values, where the column may be null.
    nulls: Option<NullBufferBuilder>,
}

impl<T: ArrowPrimitiveType> Default for NumberBuilder<T> {
    /// Returns a builder of a column that is never null.
    fn default() -> Self {
        Self::new(false)
    }
}

impl<T: ArrowPrimitiveType> NumberBuilder<T> {
    fn new(nullable: bool) -> Self {
        NumberBuilder {
            values: Vec::new(),
            nulls: nullable.then(|| NullBufferBuilder::new(0)),
        }
    }

    /// Appends a value known to be present.
    pub(super) fn push(&mut self, value: T::Native) {
        self.values.push(value);
        if let Some(nulls) = &mut self.nulls {
            nulls.append_non_null();
        }
    }

    /// Makes room for the rows of a block and, the first time, for those that
    /// are to be expected.
    pub(super) fn reserve(&mut self, progress: Progress) {
        reserve(&mut self.values, progress);
    }

    /// Appends what `parse` makes of each value; `bad` is told of those it
    /// makes nothing of.
    #[inline]
    fn append(
        &mut self,
        cells: Cells<'_>,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
        progress: Progress,
        mut bad: impl FnMut(usize, &[u8]),
    ) {
        self.reserve(progress);
        for (row, token) in cells.values().enumerate() {
            let absent = is_absent(token);
            let value = match absent {
                true => Some(T::Native::default()),
                false => parse(token),
            };
            match value {
                Some(value) => {
                    self.values.push(value);
                    if let Some(nulls) = &mut self.nulls {
                        nulls.append(!absent);
                    }
                }
                None => bad(row, token),
            }
        }
    }

    /// Appends whole numbers up to `max`, which must fit the type.
    #[inline]
    fn append_whole(
        &mut self,
        cells: Cells<'_>,
        max: u64,
        progress: Progress,
        failures: &mut Failures,
    ) where
        T::Native: TryFrom<u64>,
    {
        let parse = |token: &[u8]| whole(token, max).and_then(|value| value.try_into().ok());
        self.append(cells, parse, progress, |row, token| {
            let (name, value) = (cells.name, shown(token));
            let reason = format!("{name}: {value} is not a whole number from 0 to {max}");
            failures.add(row, reason);
        });
    }

    /// Appends absent values up to `rows` rows.
    pub(super) fn pad(&mut self, rows: usize) {
        if let Some(nulls) = &mut self.nulls {
            nulls.append_n_nulls(rows.saturating_sub(self.values.len()));
        }
        self.values
            .resize(rows.max(self.values.len()), T::Native::default());
    }

    /// Goes back to `rows` rows.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        if let Some(nulls) = &mut self.nulls {
            nulls.truncate(rows);
        }
    }

    /// Returns the finished array.
    pub(super) fn finish(self) -> PrimitiveArray<T> {
        let nulls = self.nulls.and_then(NullBufferBuilder::build);
        PrimitiveArray::new(ScalarBuffer::from(self.values), nulls)
    }
}

/// A column of text being filled.
#[derive(Debug)]
pub(super) struct TextBuilder {
    /// Where each row starts, and where the last ends.
    offsets: Vec<i32>,
    /// The rows' text up to `len`, then bytes that are ready to be written.
    /// Having them initialised lets values be copied in steps of fixed length.
    bytes: Vec<u8>,
    len: usize,
}

impl Default for TextBuilder {
    fn default() -> Self {
        TextBuilder {
            offsets: vec![0],
            bytes: Vec::new(),
            len: 0,
        }
    }
}

/// What the text of a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Text as it is.
    Plain,
    /// Percent-encoded text.
    Encoded,
    /// IP addresses.
    Address,
}

impl TextBuilder {
    fn append(
        &mut self,
        content: Content,
        cells: Cells<'_>,
        progress: Progress,
        failures: &mut Failures,
    ) {
        reserve(&mut self.offsets, progress);
        for (row, range) in cells.ranges().enumerate() {
            let token = &cells.text[range.clone()];
            if !is_absent(token) {
                if content == Content::Address && !is_address(token) {
                    let (name, value) = (cells.name, shown(token));
                    failures.add(row, format!("{name}: {value} is not an IP address"));
                }
                let out = self.spare(token.len(), progress);
                self.len += match content {
                    Content::Encoded => percent::decode(cells.text, range, out),
                    Content::Plain | Content::Address => percent::copy(cells.text, range, out),
                };
            }
            self.end_row(cells.name, row, failures);
        }
    }

    /// Returns the bytes behind the text, at least `length` and some slack.
    #[inline]
    fn spare(&mut self, length: usize, progress: Progress) -> &mut [u8] {
        let needed = self.len + length + percent::SLACK;
        if needed > self.bytes.len() {
            self.grow(needed, progress);
        }
        &mut self.bytes[self.len..]
    }

    /// Makes room for at least `needed` bytes and as many as are to be expected.
    #[cold]
    fn grow(&mut self, needed: usize, progress: Progress) {
        // Memory that is zero from the start comes untouched from the system;
        // zeroing it here would touch what may never be used.
        let mut bytes = vec![0; progress.expect(needed).max(needed)];
        bytes[..self.len].copy_from_slice(&self.bytes[..self.len]);
        self.bytes = bytes;
    }

    #[inline]
    fn end_row(&mut self, name: &str, row: usize, failures: &mut Failures) {
        match i32::try_from(self.len) {
            Ok(end) => self.offsets.push(end),
            // Arrow's `Utf8` ends at 2 GiB.
            Err(_) => failures.add(row, format!("{name}: the batch is full of text")),
        }
    }

    fn pad(&mut self, rows: usize) {
        let end = self.offsets[self.offsets.len() - 1];
        self.offsets.resize((rows + 1).max(self.offsets.len()), end);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.len = self.offsets[self.offsets.len() - 1] as usize;
    }

    fn finish(mut self) -> StringArray {
        self.bytes.truncate(self.len);
        let offsets = OffsetBuffer::new(ScalarBuffer::from(self.offsets));
        StringArray::try_new(offsets, Buffer::from_vec(self.bytes), None)
            .expect("every value was checked to be UTF-8")
    }
}

/// Makes room for the rows of a block and, the first time, for those that are
/// to be expected.
fn reserve<T>(values: &mut Vec<T>, progress: Progress) {
    if values.capacity() - values.len() < BLOCK_ROWS {
        let rows = progress.expect(values.len() + BLOCK_ROWS);
        values.reserve(rows - values.len());
    }
}
