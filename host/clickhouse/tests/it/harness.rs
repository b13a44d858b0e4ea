//! One engine for all tests, and small batches.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow_array::{ArrayRef, RecordBatch, StringArray, TimestampMillisecondArray, UInt16Array};
use arrow_schema::Schema;
use bytes::Bytes;
use canopy_batch::schema::base_column;
use canopy_batch::{Batch, Records};
use canopy_clickhouse::engine::{EngineCommand, ServeSettings, Store, serve};
use canopy_clickhouse::schema::{self, SchemaSettings};
use canopy_clickhouse::{ClickHouse, Server, Target};
use serde::Deserialize;

const STORE: &str = "CANOPY_TEST_STORE";

/// The store that all tests share; its engine removes it when it ends.
const SHARED_STORE: &str = "shared-store";

fn library() -> PathBuf {
    let file = std::env::var_os("CANOPY_ENGINE_LIBRARY").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/engine/libchdb.so"),
        PathBuf::from,
    );
    assert!(
        file.is_file(),
        "{} is missing: these tests need the engine, `make engine` fetches it",
        file.display()
    );
    file
}

/// The engine's process, see [`crate::engine_process`].
pub(crate) async fn serve_if_asked() {
    if let Some(store) = std::env::var_os(STORE) {
        let mut settings = ServeSettings::new(store, library());
        settings.idle = Some(Duration::from_secs(10));
        let store = settings.store.clone();
        serve(settings).await.expect("the engine serves");
        // Nothing of this process's parent is dropped at its end.
        if store.file_name().is_some_and(|name| name == SHARED_STORE) {
            let _ = std::fs::remove_dir_all(store.parent().expect("a folder of its own"));
        }
    }
}

/// Opens a store whose engine is this executable.
pub(crate) fn store(folder: &Path) -> Store {
    library();
    let mut variable = std::ffi::OsString::from(STORE);
    variable.push("=");
    variable.push(folder);
    let executable = std::env::current_exe().expect("the test knows where it is");
    Store::open(
        folder,
        EngineCommand {
            program: "/usr/bin/env".into(),
            arguments: vec![
                variable,
                executable.into(),
                "engine_process".into(),
                "--exact".into(),
                "--nocapture".into(),
            ],
        },
    )
    .expect("the folder can be made")
}

/// The server that all tests share.
pub(crate) async fn server() -> Server {
    static SHARED: OnceLock<Store> = OnceLock::new();
    let store = SHARED.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the store").keep();
        store(&folder.join(SHARED_STORE))
    });
    store.server().await.expect("the engine starts")
}

/// Connects to a new, empty database called `name`, without tables.
pub(crate) async fn empty(name: &str) -> (ClickHouse, SchemaSettings) {
    let mut server = server().await;
    server.database = name.to_owned();
    let clickhouse = ClickHouse::connect(Target::Server(server))
        .await
        .expect("the engine answers");
    let settings = SchemaSettings {
        database: name.to_owned(),
        ..SchemaSettings::default()
    };
    (clickhouse, settings)
}

/// Connects to a new database called `name`, with its tables.
pub(crate) async fn database(name: &str) -> ClickHouse {
    let (clickhouse, settings) = empty(name).await;
    schema::apply(&clickhouse, &settings)
        .await
        .expect("the tables are made");
    clickhouse
}

/// Returns the only number of a query's only row, which is called `n`.
pub(crate) async fn number(clickhouse: &ClickHouse, sql: &str) -> u64 {
    #[derive(Deserialize)]
    struct Row {
        n: u64,
    }
    let rows: Vec<Row> = clickhouse.query_rows(sql).await.expect("the query runs");
    rows[0].n
}

pub(crate) async fn count(clickhouse: &ClickHouse) -> u64 {
    number(clickhouse, "SELECT count() AS n FROM cloudfront_logs").await
}

/// A batch of `rows` rows, the first at `first_ms`, one every `step_ms`.
pub(crate) fn batch(first_ms: i64, step_ms: i64, rows: usize) -> Batch {
    let times: Vec<i64> = (0..rows as i64)
        .map(|row| first_ms + row * step_ms)
        .collect();
    let hosts: Vec<String> = (0..rows)
        .map(|row| format!("h{}.example.com", row % 3))
        .collect();
    let ids: Vec<String> = (0..rows)
        .map(|row| format!("id-{first_ms}-{row}"))
        .collect();
    let statuses: Vec<u16> = (0..rows).map(|row| [200, 304, 503][row % 3]).collect();
    of_columns(vec![
        (
            "timestamp",
            Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")) as ArrayRef,
        ),
        ("cs_host", Arc::new(StringArray::from(hosts))),
        ("x_edge_request_id", Arc::new(StringArray::from(ids))),
        ("sc_status", Arc::new(UInt16Array::from(statuses))),
    ])
}

/// A batch of base columns, each row from a record of its own.
pub(crate) fn of_columns(columns: Vec<(&str, ArrayRef)>) -> Batch {
    let rows = columns[0].1.len();
    let fields: Vec<_> = columns
        .iter()
        .map(|(name, _)| base_column(name).expect("a base column").arrow())
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    let mut records = Records::new(Bytes::from_static(b"raw"));
    for position in 0..rows as u64 {
        records.push(0..3, position);
    }
    Batch::new(
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns agree"),
        Arc::new(records),
        (0..rows as u32).collect(),
    )
}
