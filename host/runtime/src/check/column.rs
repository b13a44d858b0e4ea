//! One returned column, checked, as an Arrow array.

use std::net::IpAddr;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, StringArray,
    TimestampMillisecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use canopy_batch::{Column, ColumnType};

use super::{Failures, OutputError, Problem, Target};
use crate::contract::v0_1::{ColumnOut, TextOut, ValuesOut};
use crate::descriptor::shorten;

/// The times ClickHouse's `DateTime64(3)` holds: 1900-01-01 to 2299-12-31, in
/// milliseconds since the epoch. Others wrap around silently there.
const TIMESTAMP_RANGE: std::ops::RangeInclusive<i64> = -2_208_988_800_000..=10_413_791_999_999;

/// Checks a column's kind, lengths and values, and makes it an array of the
/// target's type.
pub(super) fn check_column(
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
