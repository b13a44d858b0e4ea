//! What the tests of formats share: the sample logs, and values for comparing.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, TimestampMillisecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use bytes::Bytes;
use canopy_batch::Batch;
use canopy_batch::formats::{Format, Layout, Parsed, Parser};
use serde_json::{Value, json};

/// One row: its values by column.
pub(crate) type Row = BTreeMap<String, Value>;

/// Returns the bytes of a sample log.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/logs")
        .join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns the layout of the 44-field samples.
pub(crate) fn layout_44() -> Layout {
    let names = String::from_utf8(fixture("real-time-44.fields")).unwrap();
    Layout::from_names(names.split_whitespace()).unwrap()
}

/// Returns the layout of the given fields.
pub(crate) fn layout(names: &[&str]) -> Layout {
    Layout::from_names(names.iter().copied()).unwrap()
}

/// Parses whole data at once.
pub(crate) fn parse(format: Format, data: impl AsRef<[u8]>) -> Parsed {
    let parsed = Parser::new(format, 100.0).parse_lines(Bytes::copy_from_slice(data.as_ref()), 1);
    check_books(&parsed);
    parsed
}

/// Parses real-time lines with the given fields.
pub(crate) fn parse_real_time(names: &[&str], data: impl AsRef<[u8]>) -> Parsed {
    parse(Format::RealTime(layout(names)), data)
}

/// Checks what must hold for every result: each record is a row or rejected,
/// in order, and every column is whole.
pub(crate) fn check_books(parsed: &Parsed) {
    let batch = &parsed.batch;
    let mut records: Vec<u32> = batch.origins().to_vec();
    records.extend(parsed.rejected.iter().map(|rejected| rejected.record));
    records.sort_unstable();
    let every: Vec<u32> = (0..batch.records().len() as u32).collect();
    assert_eq!(records, every, "each record is a row or rejected, once");
    assert!(batch.origins().is_sorted());
    assert!(parsed.rejected.is_sorted_by_key(|rejected| rejected.record));
    for column in batch.columns().columns() {
        assert_eq!(column.len(), batch.row_count());
        column.to_data().validate_full().unwrap();
    }
    for rejected in &parsed.rejected {
        assert_eq!(&*rejected.stage, "parse");
        assert!(!rejected.reason.is_empty());
    }
}

/// Returns the reasons of the rejected records.
pub(crate) fn reasons(parsed: &Parsed) -> Vec<&str> {
    let reasons = parsed.rejected.iter().map(|r| r.reason.as_str());
    reasons.collect()
}

/// Returns the batch row by row.
pub(crate) fn rows(batch: &Batch) -> Vec<Row> {
    let schema = batch.columns().schema();
    let row = |row| {
        let columns = schema.fields().iter().zip(batch.columns().columns());
        columns
            .map(|(field, values)| (field.name().clone(), value(values, row)))
            .collect()
    };
    (0..batch.row_count()).map(row).collect()
}

/// Returns one column as JSON values.
pub(crate) fn column(parsed: &Parsed, name: &str) -> Vec<Value> {
    let values = parsed
        .batch
        .column(name)
        .unwrap_or_else(|| panic!("no column `{name}`"));
    (0..values.len()).map(|row| value(values, row)).collect()
}

fn value(values: &ArrayRef, row: usize) -> Value {
    if values.is_null(row) {
        return Value::Null;
    }
    match values.data_type() {
        DataType::Utf8 => json!(values.as_string::<i32>().value(row)),
        DataType::UInt8 => json!(values.as_primitive::<UInt8Type>().value(row)),
        DataType::UInt16 => json!(values.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(values.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(values.as_primitive::<UInt64Type>().value(row)),
        // As the shortest text of the `f32`, so that 0.253 is 0.253.
        DataType::Float32 => {
            let text = values.as_primitive::<Float32Type>().value(row).to_string();
            json!(text.parse::<f64>().unwrap())
        }
        DataType::Timestamp(_, _) => {
            json!(values.as_primitive::<TimestampMillisecondType>().value(row))
        }
        other => panic!("no column is of type {other}"),
    }
}
