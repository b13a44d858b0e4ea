//! Columns being filled: Arrow's buffers, written in place.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, PrimitiveArray, StringArray};
use arrow_buffer::{Buffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};

use crate::schema::{ColumnType, Field};

use super::block::{BLOCK_ROWS, Block};
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
    /// truncated. `name` is what the source calls the field.
    pub(super) fn append(
        &mut self,
        field: &Field,
        name: &str,
        (text, block, slot): (&[u8], &Block, usize),
        failures: &mut Failures,
    ) {
        match self {
            ColumnBuilder::Text(builder) => {
                if field.column.column_type == ColumnType::Ip {
                    builder.append_addresses(name, (text, block, slot), failures);
                } else {
                    builder.append(name, field.encoded, (text, block, slot), failures);
                }
            }
            ColumnBuilder::UInt8(builder) => {
                builder.append_whole(name, u8::MAX.into(), block.values(text, slot), failures);
            }
            ColumnBuilder::UInt16(builder) => {
                // A status has three digits, in standard logs also `000`; a
                // longer one is a value of another field.
                let max = match field.name {
                    "sc-status" => 999,
                    _ => u16::MAX.into(),
                };
                builder.append_whole(name, max, block.values(text, slot), failures);
            }
            ColumnBuilder::UInt32(builder) => {
                builder.append_whole(name, u32::MAX.into(), block.values(text, slot), failures);
            }
            ColumnBuilder::UInt64(builder) => {
                let max = i64::MAX as u64;
                builder.append_whole(name, max, block.values(text, slot), failures);
            }
            ColumnBuilder::Float32(builder) => {
                builder.append_with(block.values(text, slot), decimal, |row, token| {
                    let value = shown(token);
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

    /// Appends what `parse` makes of each token; `bad` is told of those it
    /// makes nothing of.
    #[inline]
    fn append_with<'a>(
        &mut self,
        tokens: impl Iterator<Item = &'a [u8]>,
        parse: impl Fn(&[u8]) -> Option<T::Native>,
        mut bad: impl FnMut(usize, &[u8]),
    ) {
        self.values.reserve(BLOCK_ROWS);
        for (row, token) in tokens.enumerate() {
            let absent = is_absent(token);
            match if absent {
                Some(T::Native::default())
            } else {
                parse(token)
            } {
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
    fn append_whole<'a>(
        &mut self,
        name: &str,
        max: u64,
        tokens: impl Iterator<Item = &'a [u8]>,
        failures: &mut Failures,
    ) where
        T::Native: TryFrom<u64>,
    {
        let parse = |token: &[u8]| whole(token, max).and_then(|value| value.try_into().ok());
        self.append_with(tokens, parse, |row, token| {
            let value = shown(token);
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
    /// Having them initialised lets short values be copied at a fixed length.
    bytes: Vec<u8>,
    len: usize,
}

/// Up to this length a value is copied as that many bytes, which is one move of
/// a register instead of a call.
const SHORT: usize = 16;

/// How many bytes a copy may touch behind the value.
const SLACK: usize = if SHORT > percent::SLACK {
    SHORT
} else {
    percent::SLACK
};

impl Default for TextBuilder {
    fn default() -> Self {
        TextBuilder {
            offsets: vec![0],
            bytes: Vec::new(),
            len: 0,
        }
    }
}

impl TextBuilder {
    fn append(
        &mut self,
        name: &str,
        encoded: bool,
        (text, block, slot): (&[u8], &Block, usize),
        failures: &mut Failures,
    ) {
        self.offsets.reserve(BLOCK_ROWS);
        for (row, range) in block.ranges(slot).enumerate() {
            let token = &text[range.clone()];
            if !is_absent(token) {
                let out = self.spare(token.len());
                self.len += if encoded {
                    percent::decode(token, out)
                } else {
                    copy(text, range, out)
                };
            }
            self.end_row(name, row, failures);
        }
    }

    fn append_addresses(
        &mut self,
        name: &str,
        (text, block, slot): (&[u8], &Block, usize),
        failures: &mut Failures,
    ) {
        self.offsets.reserve(BLOCK_ROWS);
        for (row, range) in block.ranges(slot).enumerate() {
            let token = &text[range.clone()];
            if !is_absent(token) {
                if !is_address(token) {
                    let value = shown(token);
                    failures.add(row, format!("{name}: {value} is not an IP address"));
                    continue;
                }
                let out = self.spare(token.len());
                self.len += copy(text, range, out);
            }
            self.end_row(name, row, failures);
        }
    }

    /// Returns the bytes behind the text, at least `length` and some slack.
    #[inline]
    fn spare(&mut self, length: usize) -> &mut [u8] {
        let needed = self.len + length + SLACK;
        if needed > self.bytes.len() {
            self.grow(needed);
        }
        &mut self.bytes[self.len..]
    }

    #[cold]
    fn grow(&mut self, needed: usize) {
        self.bytes.resize(needed.max(self.bytes.len() * 2), 0);
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

/// Copies a range of `text` to the start of `out` and returns its length.
#[inline]
fn copy(text: &[u8], range: std::ops::Range<usize>, out: &mut [u8]) -> usize {
    let length = range.len();
    match text[range.start..].first_chunk::<SHORT>() {
        Some(chunk) if length <= SHORT => out[..SHORT].copy_from_slice(chunk),
        _ => out[..length].copy_from_slice(&text[range]),
    }
    length
}
