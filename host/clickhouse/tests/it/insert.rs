//! What an insert promises: every row, once.

use std::time::Duration;

use arrow_array::{ArrayRef, StringArray};
use canopy_batch::{Column, ColumnType, Sink};
use canopy_clickhouse::schema::{self, SchemaSettings};
use canopy_clickhouse::{ClickHouse, Disposition, Error, Target};
use std::sync::Arc;

use crate::harness::{batch, count, database, empty, number, of_columns, store};

const DAY_MS: i64 = 24 * 3600 * 1000;
const NOON: i64 = 1_780_000_000_000;

#[tokio::test]
async fn the_same_token_stores_a_batch_once() {
    let clickhouse = database("the_same_token_stores_a_batch_once").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let rows = batch(NOON, 1, 1000);
    for _ in 0..3 {
        assert_eq!(sink.insert(&rows, "token").await.unwrap(), 1000);
    }
    assert_eq!(count(&clickhouse).await, 1000);
    assert_eq!(sink.insert(&rows, "another").await.unwrap(), 1000);
    assert_eq!(count(&clickhouse).await, 2000);
}

#[tokio::test]
async fn a_batch_is_one_block_however_large() {
    let clickhouse = database("a_batch_is_one_block_however_large").await;
    clickhouse
        .execute("SYSTEM STOP MERGES cloudfront_logs")
        .await
        .unwrap();
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    // More than min_insert_block_size_rows and max_insert_block_size allow.
    let rows = batch(NOON, 0, 1_200_000);
    sink.insert(&rows, "token").await.unwrap();
    assert_eq!(count(&clickhouse).await, 1_200_000);
    let parts = "SELECT count() AS n FROM system.parts \
                 WHERE active AND database = currentDatabase() AND table = 'cloudfront_logs'";
    assert_eq!(number(&clickhouse, parts).await, 1);
}

#[tokio::test]
async fn a_batch_over_many_days_goes_in_at_once() {
    let clickhouse = database("a_batch_over_many_days_goes_in_at_once").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let rows = batch(NOON - 300 * DAY_MS, DAY_MS / 2, 600);
    sink.insert(&rows, "token").await.unwrap();
    sink.insert(&rows, "token").await.unwrap();
    assert_eq!(count(&clickhouse).await, 600);
}

/// An insert over several days commits day by day. What a crash in between
/// leaves behind is what is made here: some of the days, with their token.
#[tokio::test]
async fn an_insert_that_was_half_done_is_completed() {
    let clickhouse = database("an_insert_that_was_half_done_is_completed").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let rows = batch(NOON, DAY_MS, 10);
    let half = rows.select(&[0, 1, 2, 3]);
    sink.insert(&half, "token").await.unwrap();
    sink.insert(&rows, "token").await.unwrap();
    assert_eq!(count(&clickhouse).await, 10);
    let distinct = "SELECT uniqExact(x_edge_request_id) AS n FROM cloudfront_logs";
    assert_eq!(number(&clickhouse, distinct).await, 10);
}

#[tokio::test]
async fn a_batch_of_nothing_is_nothing() {
    let clickhouse = database("a_batch_of_nothing_is_nothing").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    assert_eq!(sink.insert(&batch(NOON, 1, 0), "token").await.unwrap(), 0);
    // Its token is not used up.
    sink.insert(&batch(NOON, 1, 5), "token").await.unwrap();
    assert_eq!(count(&clickhouse).await, 5);
}

#[tokio::test]
async fn columns_the_batch_lacks_take_their_defaults() {
    let clickhouse = database("columns_the_batch_lacks_take_their_defaults").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    sink.insert(&batch(NOON, 1, 1), "token").await.unwrap();
    let defaults = "SELECT count() AS n FROM cloudfront_logs WHERE c_ip = '::' AND cs_method = '' \
                    AND origin_fbl IS NULL AND asn = 0 AND sample_weight = 1";
    assert_eq!(number(&clickhouse, defaults).await, 1);
}

#[tokio::test]
async fn a_table_that_does_not_exist_is_permanent_and_says_what_to_do() {
    let (clickhouse, _) = empty("a_table_that_does_not_exist").await;
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let error = sink.insert(&batch(NOON, 1, 1), "t").await.unwrap_err();
    assert!(matches!(error, Error::NoDatabase { .. }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Permanent);

    clickhouse_database(&clickhouse, "a_table_that_does_not_exist").await;
    let error = sink.insert(&batch(NOON, 1, 1), "t").await.unwrap_err();
    assert!(
        matches!(error, Error::Outdated { code: 60, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("canopy schema apply"), "{error}");
    assert_eq!(error.disposition(), Disposition::Permanent);
}

async fn clickhouse_database(clickhouse: &ClickHouse, name: &str) {
    let mut server = clickhouse.server();
    server.database = "default".into();
    let default = ClickHouse::connect(Target::Server(server)).await.unwrap();
    default
        .execute(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_column_the_table_lacks_is_permanent_and_named() {
    let clickhouse = database("a_column_the_table_lacks").await;
    let mut rows = batch(NOON, 1, 1);
    let tenant = Column {
        name: "tenant".into(),
        column_type: ColumnType::Text,
        nullable: false,
        doc: "The tenant.".into(),
    };
    rows.set_column(&tenant, Arc::new(StringArray::from(vec!["a"])) as ArrayRef);
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let error = sink.insert(&rows, "t").await.unwrap_err();
    assert!(
        matches!(error, Error::Outdated { code: 16, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("tenant"), "{error}");

    let settings = SchemaSettings {
        database: "a_column_the_table_lacks".into(),
        ..SchemaSettings::default()
    };
    schema::add_columns(&clickhouse, &settings, &[tenant])
        .await
        .unwrap();
    sink.insert(&rows, "t").await.unwrap();
    assert_eq!(count(&clickhouse).await, 1);
}

#[tokio::test]
async fn an_address_that_is_none_is_bad_data_and_named() {
    let clickhouse = database("an_address_that_is_none").await;
    let rows = of_columns(vec![(
        "c_ip",
        Arc::new(StringArray::from(vec!["192.0.2.1", "192.0.2.300"])) as ArrayRef,
    )]);
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let error = sink.insert(&rows, "t").await.unwrap_err();
    assert_eq!(error.disposition(), Disposition::BadData);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(
        cause,
        "`192.0.2.300` in column `c_ip`, row 1, is not an IP address"
    );
}

#[tokio::test]
async fn many_at_once_all_go_in() {
    let clickhouse = database("many_at_once_all_go_in").await;
    let mut tasks = tokio::task::JoinSet::new();
    for sender in 0..4 {
        let sink = clickhouse.sink("cloudfront_logs").unwrap();
        tasks.spawn(async move {
            for number in 0..10 {
                let rows = batch(NOON + number, 1, 100);
                // Two senders send each chunk, as two Lambdas may.
                let token = format!("{}-{number}", sender / 2);
                sink.insert(&rows, &token).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(count(&clickhouse).await, 2000);
}

#[tokio::test]
async fn an_engine_that_was_killed_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::connect(Target::Store(store(folder.path())))
        .await
        .unwrap();
    let settings = SchemaSettings {
        database: clickhouse.server().database,
        ..SchemaSettings::default()
    };
    schema::apply(&clickhouse, &settings).await.unwrap();
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    let rows = batch(NOON, 1, 100);
    sink.insert(&rows, "first").await.unwrap();

    kill_engine(folder.path()).unwrap();
    sink.insert(&rows, "first").await.unwrap();
    sink.insert(&rows, "second").await.unwrap();
    assert_eq!(count(&clickhouse).await, 200);

    kill_engine(folder.path()).unwrap();
    assert_eq!(count(&clickhouse).await, 200);
    kill_engine(folder.path());
}

/// Ends the engine of a store at once, as a crash would; nothing where none
/// runs just now.
fn kill_engine(folder: &std::path::Path) -> Option<()> {
    let endpoint = std::fs::read(folder.join("engine.json")).ok()?;
    let endpoint: serde_json::Value = serde_json::from_slice(&endpoint).ok()?;
    let pid = rustix::process::Pid::from_raw(endpoint["pid"].as_i64()? as i32)?;
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok()
}

/// An insert over 200 days is 200 parts: wherever the engine dies among
/// them, the sink starts it again and the rows are there once.
#[tokio::test]
async fn an_engine_killed_in_the_middle_of_an_insert_costs_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let clickhouse = ClickHouse::connect(Target::Store(store(folder.path())))
        .await
        .unwrap();
    let settings = SchemaSettings {
        database: clickhouse.server().database,
        ..SchemaSettings::default()
    };
    schema::apply(&clickhouse, &settings).await.unwrap();
    let sink = clickhouse.sink("cloudfront_logs").unwrap();
    for (round, wait_ms) in [20, 60, 150].into_iter().enumerate() {
        let rows = batch(NOON - 200 * DAY_MS + round as i64, DAY_MS / 2, 400);
        let killer = async {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            // The last round's engine may still be starting.
            while kill_engine(folder.path()).is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let token = format!("round {round}");
        let (stored, ()) = tokio::join!(sink.insert(&rows, &token), killer);
        assert_eq!(stored.unwrap(), 400);
        let expected = 400 * (round as u64 + 1);
        assert_eq!(count(&clickhouse).await, expected);
        let distinct = "SELECT uniqExact(x_edge_request_id) AS n FROM cloudfront_logs";
        assert_eq!(number(&clickhouse, distinct).await, expected);
    }
    kill_engine(folder.path());
}
