//! What the DDL in `infra/clickhouse/` promises, as text: no engine needed.

use std::path::Path;

use canopy_batch::schema::base_columns;
use canopy_clickhouse::schema::{SchemaSettings, clickhouse_type, statements};

fn plain() -> Vec<String> {
    statements(&SchemaSettings::default()).unwrap()
}

/// Returns name, type and comment of each column of a `CREATE TABLE` written
/// one column a line.
fn columns(statement: &str) -> Vec<(String, String, String)> {
    statement
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_once(" COMMENT '"))
        .map(|(column, comment)| {
            let (name, column_type) = column.split_once(' ').unwrap();
            let column_type = column_type.split(" DEFAULT ").next().unwrap();
            let end = comment.replace("''", "__").find('\'').unwrap();
            (
                name.to_owned(),
                column_type.to_owned(),
                comment[..end].replace("''", "'"),
            )
        })
        .collect()
}

#[test]
fn the_table_has_the_base_columns() {
    let expected: Vec<_> = base_columns()
        .map(|column| {
            (
                column.name.to_string(),
                clickhouse_type(column),
                column.doc.to_string(),
            )
        })
        .collect();
    assert_eq!(columns(&plain()[1]), expected);
}

#[test]
fn no_placeholder_is_left() {
    let cluster = SchemaSettings {
        cluster: Some("main".into()),
        ttl_days: Some(30),
        ..SchemaSettings::default()
    };
    for statement in [plain(), statements(&cluster).unwrap()].concat() {
        assert!(!statement.contains(['{', '}']), "{statement}");
    }
}

#[test]
fn names_that_could_be_more_than_names_are_refused() {
    for name in ["", "a b", "x`; DROP DATABASE y", "1st", "a.b"] {
        let database = SchemaSettings {
            database: name.into(),
            ..SchemaSettings::default()
        };
        assert!(statements(&database).is_err(), "{name}");
        let cluster = SchemaSettings {
            cluster: Some(name.into()),
            ..SchemaSettings::default()
        };
        assert!(statements(&cluster).is_err(), "{name}");
    }
}

/// Lines are dropped by whole days only where an age is set.
#[test]
fn lines_stay_unless_an_age_is_set() {
    assert!(!plain().concat().contains("TTL "));
    let aged = SchemaSettings {
        ttl_days: Some(30),
        ..SchemaSettings::default()
    };
    let aged = statements(&aged).unwrap();
    assert!(aged[1].contains("\nTTL toDateTime(timestamp) + toIntervalDay(30)\nSETTINGS"));
    assert!(!aged[2].contains("TTL "), "the ledger stays");
}

/// The cluster's DDL as text. It was not run: that takes several servers and a
/// Keeper. `CANOPY_UPDATE_GOLDEN=1` writes the file anew.
#[test]
fn on_a_cluster_tables_are_replicated_and_distributed() {
    let cluster = SchemaSettings {
        database: "logs".into(),
        cluster: Some("main".into()),
        ttl_days: Some(30),
    };
    let text = statements(&cluster).unwrap().join(";\n\n") + ";\n";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ddl/cluster.sql");
    if std::env::var_os("CANOPY_UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    assert_eq!(text, std::fs::read_to_string(file).unwrap());
}
