//! Columns cross the boundary and come back as they were, of every kind.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Float32Array, StringArray, TimestampMillisecondArray, UInt16Array, UInt64Array,
};
use canopy_batch::schema::base_columns;
use canopy_batch::{Column, Kind, Stage};
use canopy_runtime::check_chain;
use serde_json::{Value, json};

use crate::support::*;

/// A plugin that returns each of these base columns as it gets it.
fn echo(columns: &[(&str, &str, bool)]) -> Value {
    let inputs: Vec<Value> = columns
        .iter()
        .map(|(name, kind, _)| json!({"name": name, "kind": kind}))
        .collect();
    let outputs: Vec<Value> = columns
        .iter()
        .enumerate()
        .map(|(from, (name, kind, nullable))| {
            json!({"name": name, "kind": kind, "nullable": nullable, "from": from})
        })
        .collect();
    json!({"inputs": inputs, "outputs": outputs})
}

fn sample() -> Vec<(&'static str, ArrayRef)> {
    let rows = 21;
    let timestamps: TimestampMillisecondArray = (0..rows).map(|row| Some(row * 1000)).collect();
    vec![
        (
            "cs_uri_stem",
            Arc::new(
                (0..rows)
                    .map(|row| Some(format!("/é/{row}")))
                    .collect::<StringArray>(),
            ),
        ),
        ("timestamp", Arc::new(timestamps.with_timezone("UTC"))),
        (
            "sc_status",
            Arc::new(
                (0..rows)
                    .map(|row| Some(200 + row as u16))
                    .collect::<UInt16Array>(),
            ),
        ),
        (
            "sc_content_len",
            Arc::new(
                (0..rows)
                    .map(|row| (row % 3 != 0).then_some(row as u64))
                    .collect::<UInt64Array>(),
            ),
        ),
        (
            "time_taken",
            Arc::new(
                (0..rows)
                    .map(|row| Some(row as f32 / 7.0))
                    .collect::<Float32Array>(),
            ),
        ),
        (
            "origin_fbl",
            Arc::new(
                (0..rows)
                    .map(|row| (row % 2 == 0).then_some(row as f32))
                    .collect::<Float32Array>(),
            ),
        ),
    ]
}

const ECHOED: [(&str, &str, bool); 6] = [
    ("cs_uri_stem", "text", false),
    ("timestamp", "timestamp", false),
    ("sc_status", "int", false),
    ("sc_content_len", "int", true),
    ("time_taken", "float", false),
    ("origin_fbl", "float", true),
];

#[test]
fn a_round_trip_changes_nothing() {
    let mut plugin = open(settings(echo(&ECHOED)));
    let batch = batch_of(&sample());
    let outcome = apply(&mut plugin, batch.clone());
    assert_eq!(outcome.batch.columns(), batch.columns());
}

#[test]
fn nor_does_one_of_sliced_arrays() {
    let mut plugin = open(settings(echo(&ECHOED)));
    for (start, rows) in [(0, 21), (1, 20), (3, 11), (8, 8), (13, 1), (20, 1)] {
        let columns: Vec<(&str, ArrayRef)> = sample()
            .iter()
            .map(|(name, array)| (*name, array.slice(start, rows)))
            .collect();
        let batch = batch_of(&columns);
        let outcome = apply(&mut plugin, batch.clone());
        assert_eq!(outcome.batch.columns(), batch.columns(), "{start}, {rows}");
    }
}

#[test]
fn a_column_the_logs_lack_is_fed_as_its_empty_or_null() {
    let mut plugin = open(settings(echo(&ECHOED)));
    let stems: ArrayRef = Arc::new(StringArray::from(vec!["/a", "/b"]));
    let outcome = apply(&mut plugin, batch_of(&[("cs_uri_stem", stems)]));
    let column = |name| outcome.batch.column(name).unwrap();
    assert_eq!(column("sc_content_len").null_count(), 2);
    assert_eq!(
        column("sc_status").as_ref(),
        &UInt16Array::from(vec![0, 0]) as &dyn Array
    );
    assert_eq!(column("time_taken").null_count(), 0);
}

#[test]
fn new_columns_of_every_kind_are_made() {
    let outputs = json!([
        {"name": "t", "kind": "text", "nullable": true},
        {"name": "i", "kind": "int", "nullable": true},
        {"name": "f", "kind": "float", "nullable": true},
        {"name": "s", "kind": "timestamp", "nullable": true},
        {"name": "b", "kind": "boolean", "nullable": true},
    ]);
    let mut plugin = open(settings(json!({"outputs": outputs})));
    let outcome = apply(&mut plugin, batch(&["7", "null", "true"]));
    let rows = |name: &str| {
        let column = outcome.batch.column(name).unwrap();
        let options = arrow_cast_free_display(column);
        options.join(" ")
    };
    assert_eq!(rows("t"), "7 - true");
    assert_eq!(rows("i"), "7 - 0");
    assert_eq!(rows("f"), "7 - 0");
    assert_eq!(rows("s"), "7 - 0");
    assert_eq!(rows("b"), "false - true");
}

/// The rows of a column of a kind that plugins make, `-` for null.
fn arrow_cast_free_display(column: &ArrayRef) -> Vec<String> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_schema::DataType;
    let value = |row: usize| match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).to_string(),
        DataType::Timestamp(..) => column
            .as_primitive::<arrow_array::types::TimestampMillisecondType>()
            .value(row)
            .to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        other => panic!("no plugin makes {other}"),
    };
    (0..column.len())
        .map(|row| {
            if column.is_null(row) {
                "-".to_owned()
            } else {
                value(row)
            }
        })
        .collect()
}

#[test]
fn a_column_nobody_has_fails_the_batch() {
    let config = json!({"inputs": [{"name": "cs_uri_stem"}, {"name": "nowhere"}]});
    let mut plugin = open(settings(config));
    let error = plugin.apply(batch(&["/a"])).unwrap_err().to_string();
    assert!(error.contains("no column `nowhere`"), "{error}");
}

#[test]
fn a_chain_is_checked_before_it_runs() {
    let base: Vec<Column> = base_columns().cloned().collect();
    let tagger = open_default();
    let reader = open(settings(json!({
        "inputs": [{"name": "cs_uri_stem"}, {"name": "tag", "kind": "text"}],
        "outputs": [{"name": "tag_length", "kind": "int", "nullable": true}],
    })));
    assert_eq!(reader.inputs()[1], ("tag".to_owned(), Kind::Text));
    let added = check_chain(&base, &[&tagger, &reader]).unwrap();
    let names: Vec<&str> = added.iter().map(|column| column.name.as_ref()).collect();
    assert_eq!(names, ["tag", "tag_length"]);
    let error = check_chain(&base, &[&reader, &tagger])
        .unwrap_err()
        .to_string();
    assert!(error.contains("reads column `tag`"), "{error}");
}
