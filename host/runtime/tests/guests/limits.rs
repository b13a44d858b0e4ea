//! Memory, time, log and counters end where the limits say.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, StringArray};
use canopy_runtime::{Level, Limits, OnError, PluginSettings};
use serde_json::{Value, json};

use crate::support::*;

fn limited(config: Value, limits: Limits) -> PluginSettings {
    PluginSettings {
        limits,
        ..settings(config)
    }
}

fn memory(mebibytes: u64) -> Limits {
    Limits {
        memory_bytes: mebibytes << 20,
        ..Limits::default()
    }
}

#[test]
fn a_memory_bomb_ends_at_the_limit() {
    let mut plugin = open(limited(json!({}), memory(8)));
    let outcome = apply(&mut plugin, batch(&["/a", "!grow", "/b"]));
    assert_eq!(tags(&outcome), [Some("/a"), None, Some("/b")]);
    let metrics = plugin.metrics();
    assert!(
        metrics.peak_memory_bytes > 6 << 20,
        "{}",
        metrics.peak_memory_bytes
    );
    assert!(
        metrics.peak_memory_bytes <= 8 << 20,
        "{}",
        metrics.peak_memory_bytes
    );
}

#[test]
fn the_limit_is_named_in_the_reason() {
    let error = open_error(limited(json!({"configure": "grow"}), memory(8)));
    assert!(
        error.contains("more than its 8 MiB") && error.contains("limits.memory"),
        "{error}"
    );
}

#[test]
fn a_component_that_does_not_even_start_in_its_memory_is_told_apart() {
    let error = open_error(limited(
        json!({}),
        Limits {
            memory_bytes: 1,
            ..Limits::default()
        },
    ));
    assert!(error.contains("limits.memory"), "{error}");
}

#[test]
fn state_that_grows_is_thrown_away_before_it_hurts() {
    let mut plugin = open(limited(json!({}), memory(16)));
    for _ in 0..20 {
        let outcome = apply(&mut plugin, batch(&["!leak:3", "/a"]));
        assert_eq!(tags(&outcome)[1], Some("/a"));
    }
    let metrics = plugin.metrics();
    assert_eq!(metrics.traps, 0);
    assert!(metrics.instances > 4, "{}", metrics.instances);
}

#[test]
fn an_instance_is_replaced_after_its_batches() {
    let limits = Limits {
        batches_per_instance: 3,
        ..Limits::default()
    };
    let mut plugin = open(limited(json!({}), limits));
    (0..9).for_each(|_| drop(apply(&mut plugin, batch(&["/a"]))));
    assert_eq!(plugin.metrics().instances, 3);
}

#[test]
fn configuring_has_a_deadline_too() {
    let limits = Limits {
        configure_deadline: Duration::from_millis(100),
        ..Limits::default()
    };
    let start = Instant::now();
    let error = open_error(limited(json!({"configure": "loop"}), limits));
    assert!(
        error.contains("ran longer than the 100ms it had"),
        "{error}"
    );
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_log_flood_is_counted_not_kept() {
    let mut plugin = open_default();
    apply(&mut plugin, batch(&["!log:100000", "!log:1"]));
    let lines = plugin.take_log();
    assert_eq!(lines.len(), 100);
    assert_eq!(
        (lines[0].level, lines[0].message.as_str()),
        (Level::Info, "line 0")
    );
    assert_eq!(plugin.metrics().log_lines_skipped, 99_901);
    assert!(plugin.take_log().is_empty());
    // The next batch may log again.
    apply(&mut plugin, batch(&["!log:1"]));
    assert_eq!(plugin.take_log().len(), 1);
}

#[test]
fn long_log_lines_are_capped_by_their_bytes() {
    let mut plugin = open_default();
    apply(
        &mut plugin,
        batch(&["!log-bytes:16000", "!log-bytes:1000", "!log-bytes:300"]),
    );
    let lengths: Vec<usize> = plugin
        .take_log()
        .iter()
        .map(|line| line.message.len())
        .collect();
    assert_eq!(lengths, [16_000, 300]);
    assert_eq!(plugin.metrics().log_lines_skipped, 1);
}

#[test]
fn a_trap_does_not_refill_the_log() {
    let mut plugin = open_default();
    apply(&mut plugin, batch(&["!log:60", "!trap", "!log:60"]));
    assert!(plugin.take_log().len() <= 100);
}

#[test]
fn counters_are_kept_by_name_and_bad_names_ignored() {
    let mut plugin = open_default();
    apply(
        &mut plugin,
        batch(&["!count:hits", "!count:hits", "!count:Bad Name", "!count:"]),
    );
    let metrics = plugin.metrics();
    assert_eq!(
        metrics.counters.into_iter().collect::<Vec<_>>(),
        [("hits".to_owned(), 4)]
    );
    assert_eq!(metrics.counters_ignored, 2);
}

#[test]
fn counters_beyond_64_are_ignored() {
    let mut plugin = open_default();
    apply(&mut plugin, batch(&["!counts:100"]));
    apply(&mut plugin, batch(&["!count:late"]));
    let metrics = plugin.metrics();
    assert_eq!(metrics.counters.len(), 64);
    assert_eq!(metrics.counters_ignored, 37);
}

#[test]
fn a_call_that_fails_counts_nothing() {
    let mut plugin = open_default();
    apply(&mut plugin, batch(&["!count:hits", "!trap"]));
    assert_eq!(plugin.metrics().counters["hits"], 2);
}

#[test]
fn rows_named_again_count_with_the_columns_they_keep() {
    let commands = ["/a", "!copies:5", "!copies:2"];
    let long = "q".repeat(10_000);
    let limits = Limits {
        output_bytes: 20_000,
        ..Limits::default()
    };
    let mut plugin = open(PluginSettings {
        on_error: Some(OnError::Quarantine),
        ..limited(json!({}), limits)
    });
    let columns: [(&str, ArrayRef); 2] = [
        (
            "cs_uri_stem",
            Arc::new(StringArray::from(commands.to_vec())),
        ),
        ("cs_uri_query", Arc::new(StringArray::from(vec![long; 3]))),
    ];
    let outcome = apply(&mut plugin, batch_of(&columns));
    let reason = rejected(&outcome, &[1]);
    assert!(reason.contains("raise limits.output-bytes"), "{reason}");
    assert_eq!(
        tags(&outcome),
        [Some("/a"), Some("!copies:2"), Some("!copies:2")]
    );
}

#[test]
fn the_fan_out_of_several_plugins_does_not_multiply() {
    let open = || {
        open(PluginSettings {
            on_error: Some(OnError::Quarantine),
            ..settings(json!({}))
        })
    };
    let once = apply(&mut open(), batch(&["!copies:16"]));
    assert_eq!(once.batch.row_count(), 16);
    let twice = apply(&mut open(), once.batch);
    let reason = rejected(&twice, &[0]);
    assert!(
        reason.contains("over 16") && reason.contains("raise limits.fan-out"),
        "{reason}"
    );
}
