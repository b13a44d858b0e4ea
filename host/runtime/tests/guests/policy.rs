//! What becomes of a row that fails: `on-error`, and the books.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray};
use canopy_batch::Stage;
use canopy_runtime::{OnError, PluginSettings};
use serde_json::{Value, json};

use crate::support::*;

fn with(on_error: OnError, config: Value) -> PluginSettings {
    PluginSettings {
        on_error: Some(on_error),
        ..settings(config)
    }
}

fn replacing() -> Value {
    json!({"outputs": [{"name": "cs_uri_stem", "kind": "text"}]})
}

#[test]
fn null_is_the_default_of_plugins_that_only_add_nullable_columns() {
    let mut plugin = open_default();
    assert_eq!(plugin.on_error(), OnError::Null);
    let outcome = apply(&mut plugin, batch(&["/a", "!trap", "!reject", "/b"]));
    assert_eq!(tags(&outcome), [Some("/a"), None, None, Some("/b")]);
    assert_eq!(outcome.batch.origins(), [0, 1, 2, 3]);
    let metrics = plugin.metrics();
    assert_eq!(metrics.nulled, 2);
    let example = metrics.nulled_example.unwrap();
    assert!(example.starts_with("position "), "{example}");
}

#[test]
fn quarantine_is_the_default_of_plugins_that_replace_a_column() {
    assert_eq!(open(settings(replacing())).on_error(), OnError::Quarantine);
    let not_nullable = json!({"outputs": [{"name": "tag", "kind": "text"}]});
    assert_eq!(open(settings(not_nullable)).on_error(), OnError::Quarantine);
    assert_eq!(
        open(settings(json!({"outputs": []}))).on_error(),
        OnError::Null
    );
}

#[test]
fn null_needs_columns_that_can_be_null() {
    let error = open_error(with(OnError::Null, replacing()));
    assert!(
        error.contains("`cs_uri_stem`") && error.contains("\"quarantine\""),
        "{error}"
    );
}

#[test]
fn quarantine_sets_the_record_aside() {
    let mut plugin = open(with(OnError::Quarantine, replacing()));
    let outcome = apply(&mut plugin, batch(&["/a", "!reject", "/b"]));
    assert_eq!(rejected(&outcome, &[1]), "told to");
    assert_eq!(outcome.batch.origins(), [0, 2]);
}

#[test]
fn fail_fails_the_batch_and_says_where() {
    let mut plugin = open(with(OnError::Fail, json!({})));
    let error = plugin
        .apply(batch(&["/a", "!reject", "!trap"]))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "plugin `hazards` failed the batch: row 1, from position 2 of its source: told to \
         (2 rows failed)"
    );
    let outcome = apply(&mut plugin, batch(&["/a"]));
    assert_eq!(tags(&outcome), [Some("/a")]);
}

#[test]
fn rows_can_be_dropped_doubled_and_rejected_in_one_batch() {
    let mut plugin = open(with(OnError::Quarantine, json!({})));
    let outcome = apply(
        &mut plugin,
        batch(&["/a", "!drop", "!copies:3", "!reject", "/b"]),
    );
    assert_eq!(outcome.batch.origins(), [0, 2, 2, 2, 4]);
    assert_eq!(outcome.dropped, 1);
    rejected(&outcome, &[3]);
    assert_eq!(
        (plugin.metrics().rows_out, plugin.metrics().dropped),
        (5, 1)
    );
}

#[test]
fn a_row_nulled_beside_dropped_ones_still_goes_on() {
    let outcome = run(&["/a", "!drop", "!reject", "/b"]);
    assert_eq!(outcome.batch.origins(), [0, 2, 3]);
    assert_eq!(tags(&outcome), [Some("/a"), None, Some("/b")]);
    assert_eq!(outcome.dropped, 1);
}

#[test]
fn a_record_of_several_rows_goes_whole() {
    let mut plugin = open(with(OnError::Quarantine, json!({})));
    let fanned = batch(&["!reject", "/a", "!drop"]).select(&[1, 0, 1, 2, 2]);
    // Rows 0 and 2 are of record 1; row 2 is to fail.
    let commands: ArrayRef = Arc::new(StringArray::from(vec![
        "/a", "/b", "!reject", "!drop", "/c",
    ]));
    let mut fanned = fanned;
    let column = canopy_batch::schema::base_column("cs_uri_stem").unwrap();
    fanned.set_column(column, commands);
    let outcome = apply(&mut plugin, fanned);
    rejected(&outcome, &[1]);
    assert_eq!(outcome.batch.origins(), [0, 2]);
    assert_eq!(outcome.dropped, 0, "record 2 kept one of its rows");
}

#[test]
fn a_plugin_without_outputs_may_drop_and_reject() {
    let config = json!({"outputs": []});
    let mut plugin = open(settings(config));
    let outcome = apply(&mut plugin, batch(&["/a", "!drop", "!trap", "/b"]));
    assert_eq!(outcome.batch.origins(), [0, 2, 3]);
    assert_eq!(outcome.batch.columns().num_columns(), 1);
}

#[test]
fn when_every_row_fails_the_column_is_there_all_the_same() {
    let outcome = run(&["!trap", "!trap"]);
    assert_eq!(tags(&outcome), [None, None]);
    let mut plugin = open(with(OnError::Quarantine, json!({})));
    let outcome = apply(&mut plugin, batch(&["!trap", "!trap"]));
    assert_eq!(outcome.batch.column("tag").unwrap().len(), 0);
}

#[test]
fn an_empty_batch_gets_the_columns_and_no_call() {
    let mut plugin = open_default();
    let outcome = apply(&mut plugin, batch(&[]));
    assert_eq!(outcome.batch.column("tag").unwrap().len(), 0);
    assert_eq!(plugin.metrics().calls, 0);
}
