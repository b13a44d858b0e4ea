//! A batch that fails is searched for the rows at fault; the others go on.

use std::time::{Duration, Instant};

use canopy_runtime::{Limits, OnError, PluginSettings};
use serde_json::json;

use crate::support::*;

fn quarantining(limits: Limits) -> PluginSettings {
    PluginSettings {
        on_error: Some(OnError::Quarantine),
        limits,
        ..settings(json!({}))
    }
}

/// Three times what a search takes on a machine with nothing else to do: these
/// tests run beside others.
const MANY_DEADLINES: u32 = 3 * Limits::BATCH_DEADLINES;

/// 2,000 harmless rows with `command` at some of them.
fn needles<'a>(command: &'a str, rows: &[usize]) -> Vec<&'a str> {
    let mut commands = vec!["/ok"; 2000];
    rows.iter().for_each(|&row| commands[row] = command);
    commands
}

#[test]
fn rows_that_trap_are_found_and_the_trap_is_told_with_what_was_said() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!trap", &[7, 1234])));
    let reason = rejected(&outcome, &[7, 1234]);
    assert!(
        reason.contains("unreachable") && reason.ends_with("(told to)"),
        "{reason}"
    );
    assert_eq!(outcome.batch.row_count(), 1998);
    assert!(tags(&outcome).iter().all(|&tag| tag == Some("/ok")));
    let metrics = plugin.metrics();
    assert!(
        metrics.traps > 2 && metrics.instances > metrics.traps,
        "{metrics:?}"
    );
    assert_eq!(
        (metrics.rows_in, metrics.rows_out, metrics.rejected),
        (2000, 1998, 2)
    );
}

#[test]
fn an_endless_row_ends_at_the_deadline_and_is_found() {
    let deadline = Duration::from_millis(400);
    let limits = Limits {
        deadline,
        ..Limits::default()
    };
    let mut plugin = open(quarantining(limits));
    let start = Instant::now();
    let outcome = apply(&mut plugin, batch(&needles("!loop", &[1500])));
    let reason = rejected(&outcome, &[1500]);
    assert!(reason.contains("ran longer than the "), "{reason}");
    assert!(
        start.elapsed() < MANY_DEADLINES * deadline,
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_plugin_that_always_loops_costs_a_bounded_time() {
    let deadline = Duration::from_millis(200);
    let limits = Limits {
        deadline,
        ..Limits::default()
    };
    let mut plugin = open(quarantining(limits));
    let start = Instant::now();
    let outcome = apply(&mut plugin, batch(&vec!["!loop"; 5000]));
    assert_eq!(outcome.rejected.len(), 5000);
    let reason = &outcome.rejected[4999].reason;
    assert!(reason.contains("not tried"), "{reason}");
    assert!(
        start.elapsed() < MANY_DEADLINES * deadline,
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_plugin_that_names_rows_and_then_loops_costs_a_bounded_time() {
    let deadline = Duration::from_millis(200);
    let limits = Limits {
        deadline,
        ..Limits::default()
    };
    let mut plugin = open(quarantining(limits));
    let start = Instant::now();
    let outcome = apply(&mut plugin, batch(&vec!["!name-then-loop"; 2000]));
    assert!(
        start.elapsed() < MANY_DEADLINES * deadline,
        "{:?}",
        start.elapsed()
    );
    assert_eq!(outcome.rejected.len(), 2000);
    let reason = &outcome.rejected[1999].reason;
    assert!(reason.starts_with("not tried, because"), "{reason}");
}

#[test]
fn a_plugin_that_always_traps_costs_a_bounded_number_of_calls() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&vec!["!trap"; 5000]));
    assert_eq!(outcome.rejected.len(), 5000);
    assert!(plugin.metrics().calls < 300, "{}", plugin.metrics().calls);
}

#[test]
fn a_row_the_plugin_names_is_set_aside_in_one_more_call() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!error", &[900])));
    assert_eq!(rejected(&outcome, &[900]), "told to");
    assert_eq!(plugin.metrics().calls, 3);
    assert_eq!(
        plugin.metrics().instances,
        1,
        "an error the guest returns costs no instance"
    );
}

#[test]
fn a_row_named_that_does_not_exist_is_searched_for() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!error-row:4000000", &[900])));
    assert_eq!(rejected(&outcome, &[900]), "told to");
}

#[test]
fn an_error_without_a_row_is_searched_for() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!other", &[3])));
    assert_eq!(rejected(&outcome, &[3]), "told to");
}

#[test]
fn a_configuration_error_while_running_is_not_blamed_on_rows() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!config", &[3])));
    assert_eq!(outcome.rejected.len(), 2000);
    assert_eq!(
        outcome.rejected[0].reason,
        "configuration key `inputs`: told to"
    );
    assert_eq!(plugin.metrics().calls, 1);
}

#[test]
fn rows_the_plugin_rejects_cost_no_further_call() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&needles("!reject", &[0, 5, 1999])));
    assert_eq!(rejected(&outcome, &[0, 5, 1999]), "told to");
    assert_eq!(plugin.metrics().calls, 1);
}

#[test]
fn a_stack_that_ends_is_a_trap_like_any_other() {
    let mut plugin = open(quarantining(Limits::default()));
    let outcome = apply(&mut plugin, batch(&["/a", "!recurse", "/b"]));
    let reason = rejected(&outcome, &[1]);
    assert!(reason.contains("call stack exhausted"), "{reason}");
}

#[test]
fn after_a_trap_the_plugin_works_on() {
    let mut plugin = open(quarantining(Limits::default()));
    apply(&mut plugin, batch(&["!trap"]));
    let outcome = apply(&mut plugin, batch(&["/a", "/b"]));
    assert_eq!(tags(&outcome), [Some("/a"), Some("/b")]);
}
