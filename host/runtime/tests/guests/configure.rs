//! Opening a plugin: configuration, data files, declared columns.

use std::collections::BTreeMap;
use std::path::Path;

use canopy_runtime::{PluginSettings, Purity};
use serde_json::{Value, json};

use crate::support::*;

fn granting(config: Value, path: &Path) -> PluginSettings {
    PluginSettings {
        data: BTreeMap::from([("table".to_owned(), path.to_owned())]),
        ..settings(config)
    }
}

#[test]
fn a_plugin_says_what_it_is() {
    let descriptor = guest().describe().unwrap();
    assert_eq!(descriptor.name, "hazards");
    assert_eq!(descriptor.purity, Purity::PerRow);
    assert_eq!(descriptor.data[0].name, "table");
}

#[test]
fn a_key_the_schema_does_not_know_is_named() {
    let error = open_error(settings(json!({"outptus": []})));
    assert!(
        error.contains("key `outptus`") && error.contains("`outputs`"),
        "{error}"
    );
}

#[test]
fn what_configure_returns_as_an_error_is_told() {
    let error = |hazard| open_error(settings(json!({"configure": hazard})));
    assert!(error("config").contains("key `rules.0`: told to"));
    assert!(error("data").contains("data file `table`: told to"));
    assert!(error("other").ends_with("could not be configured: told to"));
    assert!(
        error("trap").contains("told to while configuring"),
        "{}",
        error("trap")
    );
}

#[test]
fn a_message_of_the_plugin_is_cut_and_cannot_steer_a_terminal() {
    let error = open_error(settings(json!({"configure": "escape"})));
    assert!(error.len() < 1000, "{} bytes", error.len());
    assert!(
        !error.contains('\u{1b}') && error.contains(r"\u{1b}[2J"),
        "{error}"
    );
}

#[test]
fn a_column_to_read_has_a_short_name() {
    let error = open_error(settings(json!({"input_name_bytes": 1 << 20})));
    assert!(error.len() < 1000, "{} bytes", error.len());
    assert!(error.contains("1 to 64 ASCII"), "{error}");
}

#[test]
fn columns_by_the_rules_only() {
    let error = |outputs| open_error(settings(json!({"outputs": outputs})));
    assert!(error(json!([{"name": "Tag; DROP TABLE"}])).contains("lower-case"));
    assert!(error(json!([{"name": ""}])).contains("lower-case"));
    assert!(error(json!([{"name": "a"}, {"name": "a"}])).contains("column `a`, twice"));
}

#[test]
fn a_granted_file_is_read_while_configuring_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.bin");
    std::fs::write(&path, vec![7; 1 << 20]).unwrap();
    let mut plugin = open(granting(json!({"read": "table"}), &path));
    assert_eq!(plugin.take_log()[0].message, "table has 1048576 bytes");
    let outcome = apply(&mut plugin, batch(&["!read:table"]));
    assert_eq!(tags(&outcome), [Some("not-granted")]);
}

#[test]
fn a_file_not_granted_is_not_read() {
    for name in ["table", "../../etc/passwd", "/etc/passwd"] {
        let mut plugin = open(settings(json!({"read": name})));
        let line = plugin.take_log().remove(0).message;
        assert!(line.contains("not-granted"), "{line}");
    }
}

#[test]
fn a_granted_file_that_is_missing_is_told_before_anything_runs() {
    let error = open_error(granting(json!({}), Path::new("/nowhere/table.bin")));
    assert!(
        error.contains("`table`") && error.contains("/nowhere/table.bin"),
        "{error}"
    );
}

#[test]
fn a_plugin_whose_columns_change_under_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.txt");
    std::fs::write(&path, "first").unwrap();
    let mut plugin = open(granting(json!({"column_from_data": true}), &path));
    assert_eq!(plugin.outputs()[0].column.name, "first");
    std::fs::write(&path, "second").unwrap();
    let outcome = apply(&mut plugin, batch(&["!trap", "/a"]));
    let column = outcome.batch.column("first").unwrap();
    assert_eq!(
        column.null_count(),
        2,
        "no answer under another name is taken"
    );
}
