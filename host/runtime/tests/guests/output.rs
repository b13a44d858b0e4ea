//! Every fault in what a guest returns is found, told, and costs no other row.

use std::sync::Arc;

use arrow_array::StringArray;
use canopy_runtime::{Limits, OnError, PluginSettings};
use serde_json::{Value, json};

use crate::support::*;

fn quarantining(config: Value) -> PluginSettings {
    PluginSettings {
        on_error: Some(OnError::Quarantine),
        ..settings(config)
    }
}

/// Runs one row that spoils the output among two that do not. Returns the
/// reason for which it alone was set aside.
fn reason_for(command: &str) -> String {
    let mut plugin = open(quarantining(json!({})));
    let outcome = apply(&mut plugin, batch(&["/a", command, "/b"]));
    let reason = rejected(&outcome, &[1]).to_owned();
    assert_eq!(tags(&outcome), [Some("/a"), Some("/b")]);
    reason
}

fn check(command: &str, parts: &[&str]) {
    let reason = reason_for(command);
    for part in parts {
        assert!(reason.contains(part), "`{reason}` lacks `{part}`");
    }
}

#[test]
fn columns_are_as_many_and_of_the_kind_declared() {
    check(
        "!columns",
        &["plugin `hazards`", "0 columns where it declared 1"],
    );
    check(
        "!kind",
        &["column `tag`", "int values where it declared text"],
    );
}

#[test]
fn offsets_start_at_0_never_decrease_and_end_at_the_bytes() {
    check(
        "!starts-at-1",
        &["start at 1 instead of 0", "never decrease"],
    );
    check(
        "!ends-late",
        &["end at 4294967295 while there are 10 bytes"],
    );
    check("!ends-early", &["end at 11 while there are 12 bytes"]);
    check(
        "!offset-missing",
        &["offsets of length 1 where 2 belong to 1 rows"],
    );
    check("!no-offsets", &["offsets of length 0"]);
}

#[test]
fn every_bitmap_has_its_length() {
    check("!validity", &["validity bits of length 10 where 1 belong"]);
}

#[test]
fn source_rows_are_rows_of_the_call() {
    check(
        "!source-range",
        &["row number 1 in `source-rows` where there are 1 rows"],
    );
    check("!source-length", &["where 3 belong to 2 rows"]);
    check(
        "!fan-out",
        &["1000 rows for 1 rows of input", "limits.fan-out"],
    );
}

#[test]
fn rejected_rows_are_rows_of_the_call_once_and_not_kept() {
    check("!reject-range", &["row number 1 in `rejected`"]);
    check("!reject-twice", &["the same row twice in `rejected`"]);
    check("!reject-kept", &["a rejected row in `source-rows`"]);
}

#[test]
fn what_breaks_the_canonical_abi_is_told() {
    check("!pointer", &["broke the contract", "out of bounds"]);
    check("!reason", &["broke the contract", "utf-8"]);
}

#[test]
fn a_row_that_is_not_utf8_fails_alone_and_without_a_search() {
    let mut plugin = open(quarantining(json!({})));
    let outcome = apply(&mut plugin, batch(&["/é", "!utf8", "/ü"]));
    let reason = rejected(&outcome, &[1]);
    assert!(
        reason.contains("column `tag`, row 1, text that is not UTF-8"),
        "{reason}"
    );
    assert_eq!(tags(&outcome), [Some("/é"), Some("/ü")]);
    assert_eq!(plugin.metrics().calls, 1);
}

#[test]
fn rows_that_are_utf8_only_together_both_fail() {
    let mut plugin = open(quarantining(json!({})));
    let outcome = apply(&mut plugin, batch(&["!first-half", "!second-half", "/a"]));
    rejected(&outcome, &[0, 1]);
    assert_eq!(tags(&outcome), [Some("/a")]);
}

#[test]
fn a_rejected_rows_place_is_not_looked_at() {
    let outcome = run(&["!reject", "/a"]);
    assert_eq!(tags(&outcome), [None, Some("/a")]);
}

#[test]
fn a_row_has_no_more_text_than_it_may() {
    let limits = Limits {
        output_bytes_per_row: 1000,
        ..Limits::default()
    };
    let mut plugin = open(PluginSettings {
        limits,
        ..quarantining(json!({}))
    });
    let outcome = apply(&mut plugin, batch(&["!big:1001", "!big:1000"]));
    let reason = rejected(&outcome, &[0]);
    assert!(
        reason.contains("1001 bytes of text in one row where 1000"),
        "{reason}"
    );
    assert_eq!(tags(&outcome)[0].unwrap().len(), 1000);
}

#[test]
fn a_batch_has_no_more_bytes_than_it_may() {
    let limits = Limits {
        output_bytes: 10_000,
        ..Limits::default()
    };
    let mut plugin = open(PluginSettings {
        limits,
        ..quarantining(json!({}))
    });
    let outcome = apply(&mut plugin, batch(&["/a", "!big:20000", "/b"]));
    let reason = rejected(&outcome, &[1]);
    assert!(reason.contains("limits.output-bytes"), "{reason}");
    // Parts that keep the limit one by one do not pass it together.
    let outcome = apply(&mut plugin, batch(&["!big:6000", "!big:6000"]));
    rejected(&outcome, &[1]);
}

/// Replaces a base column with what the rows spell. Returns the rows set aside
/// and the first reason.
fn replace(column: &str, kind: &str, nullable: bool, values: &[&str]) -> (Vec<u32>, String) {
    let outputs = json!([{"name": column, "kind": kind, "nullable": nullable}]);
    let mut plugin = open(quarantining(json!({"outputs": outputs})));
    let outcome = apply(&mut plugin, batch(values));
    let records = outcome.rejected.iter().map(|r| r.record).collect();
    let reason = outcome.rejected.first().map(|r| r.reason.clone());
    (records, reason.unwrap_or_default())
}

#[test]
fn integers_fit_the_column_they_replace() {
    let (rows, reason) = replace("sc_status", "int", false, &["200", "70000", "-1", "65535"]);
    assert_eq!(rows, [1, 2]);
    assert!(
        reason.contains("70000, which does not fit the UInt16 column"),
        "{reason}"
    );
    let (rows, _) = replace("sc_bytes", "int", false, &["9223372036854775807", "-1"]);
    assert_eq!(rows, [1]);
    let (rows, _) = replace("x_edge_mqcs", "int", true, &["null", "255", "256"]);
    assert_eq!(rows, [2]);
}

#[test]
fn floats_fit_the_column_they_replace_and_nan_is_fine() {
    let values = ["0.5", "1e39", "-0", "NaN", "inf", "-1e300"];
    let (rows, reason) = replace("time_taken", "float", false, &values);
    assert_eq!(rows, [1, 5]);
    assert!(reason.contains("Float32"), "{reason}");
}

#[test]
fn addresses_are_addresses_or_empty() {
    let values = [
        "192.0.2.7",
        "2001:db8::1",
        "",
        "192.0.2.256",
        "192.0.2.7:80",
    ];
    let (rows, reason) = replace("c_ip", "text", false, &values);
    assert_eq!(rows, [3, 4]);
    assert!(
        reason.contains("`192.0.2.256`, which is not an IP address"),
        "{reason}"
    );
}

#[test]
fn timestamps_are_of_years_that_clickhouse_holds() {
    let values = [
        "0",
        "-2208988800000",
        "-2208988800001",
        "10413791999999",
        "10413792000000",
    ];
    let (rows, reason) = replace("timestamp", "timestamp", false, &values);
    assert_eq!(rows, [2, 4]);
    assert!(reason.contains("1900 to 2299"), "{reason}");
}

#[test]
fn null_is_only_where_it_may_be() {
    let (rows, reason) = replace("tag", "text", false, &["/a", "null"]);
    assert_eq!(rows, [1]);
    assert!(
        reason.contains("null in a column that is not nullable"),
        "{reason}"
    );
    // Declared nullable, but the column replaced is not.
    let (rows, _) = replace("cs_method", "text", true, &["/a", "null"]);
    assert_eq!(rows, [1]);
    let (rows, _) = replace("sc_content_len", "int", true, &["1", "null"]);
    assert_eq!(rows, [0; 0]);
}

#[test]
fn in_a_row_left_out_nothing_is_wrong() {
    let outputs = json!([{"name": "sc_status", "kind": "int"}]);
    let mut plugin = open(quarantining(json!({"outputs": outputs})));
    let outcome = apply(&mut plugin, batch(&["!drop", "200"]));
    assert_eq!(outcome.dropped, 1);
}

#[test]
fn rows_are_named_as_the_batch_numbers_them() {
    let mut commands = vec!["/ok"; 100];
    (commands[30], commands[70]) = ("!trap", "!utf8");
    let mut plugin = open(quarantining(json!({})));
    let stems = StringArray::from(commands);
    let outcome = apply(&mut plugin, batch_of(&[("cs_uri_stem", Arc::new(stems))]));
    rejected(&outcome, &[30, 70]);
    assert!(
        outcome.rejected[1].reason.contains("row 70"),
        "{:?}",
        outcome.rejected[1]
    );
}
