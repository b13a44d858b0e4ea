//! A per-distinct plugin is asked once for each distinct tuple of inputs.

use canopy_runtime::{Limits, OnError, Plugin, PluginSettings, Purity, sha256_hex};
use serde_json::json;

use crate::support::*;

/// The guest, calling itself per-distinct.
fn open_distinct(on_error: OnError) -> Plugin {
    let component = patched(b"purity: per row ", b"purity: distinct");
    let artifact = host().compile(&component).unwrap();
    let loaded = host().load(&artifact, &sha256_hex(&artifact)).unwrap();
    assert_eq!(loaded.describe().unwrap().purity, Purity::PerDistinct);
    let settings = PluginSettings {
        on_error: Some(on_error),
        ..settings(json!({}))
    };
    host().open(&loaded, settings).unwrap()
}

#[test]
fn equal_rows_are_asked_about_once_and_all_get_the_answer() {
    let mut plugin = open_distinct(OnError::Null);
    let commands = [
        "!count:asked",
        "/a",
        "!count:asked",
        "/a",
        "!count:asked",
        "/a",
    ];
    let outcome = apply(&mut plugin, batch(&commands));
    assert_eq!(tags(&outcome), commands.map(Some));
    let metrics = plugin.metrics();
    assert_eq!(metrics.counters["asked"], 2, "one call counts 2");
    assert_eq!((metrics.rows_in, metrics.rows_out), (6, 6));
}

#[test]
fn a_fault_is_that_of_all_equal_rows() {
    for fault in ["!reject", "!trap", "!utf8"] {
        let mut plugin = open_distinct(OnError::Quarantine);
        let outcome = apply(&mut plugin, batch(&["/a", fault, "/a", fault, "/b", "/b"]));
        rejected(&outcome, &[1, 3]);
        assert_eq!(
            tags(&outcome),
            [Some("/a"), Some("/a"), Some("/b"), Some("/b")]
        );
        let mut plugin = open_distinct(OnError::Null);
        let outcome = apply(&mut plugin, batch(&["/a", fault, "/a", fault]));
        assert_eq!(tags(&outcome), [Some("/a"), None, Some("/a"), None]);
    }
}

#[test]
fn it_may_not_drop_rows() {
    let mut plugin = open_distinct(OnError::Quarantine);
    let outcome = apply(&mut plugin, batch(&["/a", "!drop", "/a", "!drop"]));
    let reason = rejected(&outcome, &[1, 3]);
    assert!(reason.contains("calls itself per-distinct"), "{reason}");
    assert_eq!(outcome.dropped, 0);
}

#[test]
fn rows_that_all_differ_are_asked_about_as_they_are() {
    let mut plugin = open_distinct(OnError::Null);
    let outcome = apply(&mut plugin, batch(&["/a", "/b", "!reject", "/d"]));
    assert_eq!(tags(&outcome), [Some("/a"), Some("/b"), None, Some("/d")]);
}

#[test]
fn an_answer_counts_once_for_each_row_it_is_spread_over() {
    // 32,768 answers of 64 KiB are 2 GiB, more than a column holds.
    let mut plugin = open_distinct(OnError::Quarantine);
    let mut commands = vec!["!big:65536"; 32_768];
    commands.extend(["/a", "/a"]);
    let outcome = apply(&mut plugin, batch(&commands));
    let reason = &outcome.rejected[0].reason;
    assert!(reason.contains("raise limits.output-bytes"), "{reason}");
    assert_eq!(outcome.rejected.len(), 32_768);
    assert_eq!(tags(&outcome), [Some("/a"), Some("/a")]);
    let few = vec!["!big:65536"; Limits::default().output_bytes as usize / 65_536];
    let outcome = apply(&mut plugin, batch(&few));
    assert_eq!(outcome.batch.row_count(), few.len());
}
