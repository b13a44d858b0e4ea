//! What making and changing the tables promises.

use canopy_batch::schema::base_columns;
use canopy_batch::{Column, ColumnType};
use canopy_clickhouse::schema::{
    Change, LOGS, SchemaError, SchemaSettings, add_columns, apply, clickhouse_type, current,
};

use crate::harness::{empty, number};

fn column(
    name: &'static str,
    column_type: ColumnType,
    nullable: bool,
    doc: &'static str,
) -> Column {
    Column {
        name: name.into(),
        column_type,
        nullable,
        doc: doc.into(),
    }
}

#[tokio::test]
async fn applying_twice_changes_nothing() {
    let (clickhouse, settings) = empty("applying_twice_changes_nothing").await;
    let changes = apply(&clickhouse, &settings).await.unwrap();
    assert_eq!(
        changes,
        [
            Change::Database(settings.database.clone()),
            Change::Table("cloudfront_logs".into()),
            Change::Table("ledger".into()),
        ]
    );
    assert_eq!(apply(&clickhouse, &settings).await.unwrap(), []);
}

#[tokio::test]
async fn the_table_has_the_base_columns() {
    let (clickhouse, settings) = empty("the_table_has_the_base_columns").await;
    apply(&clickhouse, &settings).await.unwrap();
    let database = current(&clickhouse, &settings).await.unwrap();
    let found: Vec<(&str, &str, &str)> = database.tables[LOGS]
        .columns
        .iter()
        .map(|column| (&*column.name, &*column.clickhouse_type, &*column.comment))
        .collect();
    let types: Vec<String> = base_columns().map(clickhouse_type).collect();
    let expected: Vec<(&str, &str, &str)> = base_columns()
        .zip(&types)
        .map(|(column, clickhouse_type)| (&*column.name, &**clickhouse_type, &*column.doc))
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn plugin_columns_of_every_type_are_added_once() {
    let (clickhouse, settings) = empty("plugin_columns_of_every_type").await;
    apply(&clickhouse, &settings).await.unwrap();
    let columns = [
        column("geo_city", ColumnType::LowText, true, "it's the \\ city"),
        column("note", ColumnType::Text, false, "A note."),
        column("bot", ColumnType::Bool, true, "Whether a bot."),
        column("score", ColumnType::Float64, false, "A score."),
        column("tenant", ColumnType::Int64, true, "A number."),
        column("seen_at", ColumnType::TimestampMs, true, "A time."),
    ];
    let changes = add_columns(&clickhouse, &settings, &columns).await.unwrap();
    assert_eq!(changes.len(), columns.len());
    assert_eq!(
        changes[0].to_string(),
        "added column geo_city LowCardinality(Nullable(String)) to cloudfront_logs"
    );
    assert_eq!(
        add_columns(&clickhouse, &settings, &columns).await.unwrap(),
        []
    );
    // `apply` leaves them alone.
    assert_eq!(apply(&clickhouse, &settings).await.unwrap(), []);

    let table = &current(&clickhouse, &settings).await.unwrap().tables[LOGS];
    let last = &table.columns[table.columns.len() - columns.len()];
    assert_eq!(
        (last.name.as_str(), last.comment.as_str()),
        ("geo_city", "it's the \\ city")
    );
}

#[tokio::test]
async fn a_changed_doc_changes_the_comment() {
    let (clickhouse, settings) = empty("a_changed_doc_changes_the_comment").await;
    apply(&clickhouse, &settings).await.unwrap();
    add_columns(
        &clickhouse,
        &settings,
        &[column("note", ColumnType::Text, false, "Old.")],
    )
    .await
    .unwrap();
    let changes = add_columns(
        &clickhouse,
        &settings,
        &[column("note", ColumnType::Text, false, "New.")],
    )
    .await
    .unwrap();
    assert!(
        matches!(changes[..], [Change::Comment { .. }]),
        "{changes:?}"
    );
    let table = &current(&clickhouse, &settings).await.unwrap().tables[LOGS];
    assert_eq!(table.columns.last().unwrap().comment, "New.");
}

#[tokio::test]
async fn a_column_of_another_type_stops_before_anything_changes() {
    let (clickhouse, settings) = empty("a_column_of_another_type").await;
    apply(&clickhouse, &settings).await.unwrap();
    add_columns(
        &clickhouse,
        &settings,
        &[column("tenant", ColumnType::Int64, true, "")],
    )
    .await
    .unwrap();
    let wanted = [
        column("fresh", ColumnType::Text, false, ""),
        column("tenant", ColumnType::Text, false, ""),
    ];
    let error = add_columns(&clickhouse, &settings, &wanted)
        .await
        .unwrap_err();
    assert!(matches!(error, SchemaError::ColumnType { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with(
            "column `tenant` of table `cloudfront_logs` is of type Nullable(Int64), not String"
        ),
        "{error}"
    );
    let table = &current(&clickhouse, &settings).await.unwrap().tables[LOGS];
    assert_eq!(table.columns.last().unwrap().name, "tenant");
}

#[tokio::test]
async fn a_column_of_a_later_version_is_added_to_an_old_table() {
    let (clickhouse, settings) = empty("a_column_of_a_later_version").await;
    apply(&clickhouse, &settings).await.unwrap();
    clickhouse
        .execute("ALTER TABLE cloudfront_logs DROP COLUMN viewer_response_log_data")
        .await
        .unwrap();
    let changes = apply(&clickhouse, &settings).await.unwrap();
    assert_eq!(
        changes,
        [Change::Column {
            table: LOGS.into(),
            column: "viewer_response_log_data".into(),
            clickhouse_type: "String".into(),
        }]
    );
}

#[tokio::test]
async fn the_age_at_which_lines_go_can_be_set_and_changed() {
    let (clickhouse, settings) = empty("the_age_at_which_lines_go").await;
    let mut settings = SchemaSettings {
        ttl_days: Some(30),
        ..settings
    };
    apply(&clickhouse, &settings).await.unwrap();
    assert_eq!(apply(&clickhouse, &settings).await.unwrap(), []);
    settings.ttl_days = Some(90);
    let changes = apply(&clickhouse, &settings).await.unwrap();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        changes[0].to_string(),
        "lines of cloudfront_logs are now dropped after 90 days"
    );
    assert_eq!(apply(&clickhouse, &settings).await.unwrap(), []);
    settings.ttl_days = None;
    assert_eq!(apply(&clickhouse, &settings).await.unwrap(), []);
}

#[tokio::test]
async fn the_table_remembers_tokens() {
    let (clickhouse, settings) = empty("the_table_remembers_tokens").await;
    apply(&clickhouse, &settings).await.unwrap();
    let tables = "SELECT count() AS n FROM system.tables WHERE database = currentDatabase() \
                  AND engine_full LIKE '%non_replicated_deduplication_window = 100000%'";
    assert_eq!(number(&clickhouse, tables).await, 2);
}
