//! What an insert leaves behind, and what it does not.

use crate::support::{Client, TestStore, read};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

/// Three partitions, and a deduplication window for tokens.
const TABLE: &str = "CREATE TABLE t (day Date, n UInt64) PARTITION BY day ORDER BY n
    SETTINGS non_replicated_deduplication_window = 1000";

fn rows(count: u64) -> String {
    (0..count).fold(String::new(), |mut text, n| {
        writeln!(text, "2026-01-0{}\t{n}", 1 + n % 3).unwrap();
        text
    })
}

/// The settings a batch is inserted with.
fn once(token: &str) -> [(&str, &str); 3] {
    [
        ("query", "INSERT INTO t (day, n) FORMAT TSV"),
        ("async_insert", "0"),
        ("insert_deduplication_token", token),
    ]
}

fn count(client: &Client) -> String {
    client.query("SELECT count(), sum(n) FROM t")
}

/// Waits for a cancelled insert to be gone.
async fn nothing_runs(client: &Client) {
    for _ in 0..200 {
        let running =
            client.query("SELECT count() FROM system.processes WHERE query ILIKE 'INSERT%'");
        if running == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("an insert still runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_seen_before_adds_nothing() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    let data = rows(3000);
    for _ in 0..3 {
        let answer = client.post(&once("a"), data.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(count(&client), "3000\t4498500");
    assert_eq!(client.post(&once("b"), data.as_bytes()).status, 200);
    assert_eq!(count(&client), "6000\t8997000");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_may_stand_in_the_url_the_body_or_both() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    client.query("INSERT INTO t VALUES ('2026-01-01', 1), ('2026-01-02', 1 + 1)");
    client.query("INSERT INTO t (n, day) FORMAT CSV\n3,\"2026-01-03\"\n");
    client.post(&[("query", "INSERT INTO t VALUES ('2026-01-01', 4)")], b"");
    client.post(&[("query", "INSERT INTO t")], b"VALUES ('2026-01-01', 5)");
    client.post(
        &[("query", "INSERT INTO t FORMAT JSONEachRow")],
        b"{\"day\":\"2026-01-01\",\"n\":6}",
    );
    client.post(
        &[(
            "query",
            "INSERT INTO t FORMAT TSV SETTINGS insert_deduplication_token = 'x'",
        )],
        b"2026-01-01\t7\n",
    );
    client.query("INSERT INTO t SELECT day, n + 7 FROM t WHERE n = 1");
    assert_eq!(count(&client), "8\t36");
    assert_eq!(
        client.code(&[("query", "INSERT INTO t FORMAT TSV")], b"nonsense"),
        (400, 38)
    );
    assert_eq!(
        client.code(&[("query", "INSERT INTO missing FORMAT TSV")], b"1"),
        (404, 60)
    );
    assert_eq!(count(&client), "8\t36");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_is_heard_over_a_body_still_coming() {
    let store = TestStore::new();
    let client = store.client().await;
    let body = rows(2_000_000);
    let query = [("query", "INSERT INTO missing FORMAT TSV")];
    assert_eq!(client.code(&query, body.as_bytes()), (404, 60));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_ends_early_commits_nothing() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    let data = rows(300_000);
    let head = client.head("POST", "/?query=INSERT+INTO+t+FORMAT+TSV");
    let half = &data.as_bytes()[..data.len() / 2];

    let mut short = client.connect();
    write!(short, "{head}Content-Length: {}\r\n\r\n", data.len()).unwrap();
    short.write_all(half).unwrap();
    short.shutdown(Shutdown::Write).unwrap();

    let mut chunked = client.connect();
    write!(
        chunked,
        "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        half.len()
    )
    .unwrap();
    chunked.write_all(half).unwrap();
    chunked.write_all(b"\r\n").unwrap();
    chunked.shutdown(Shutdown::Both).unwrap();
    drop((short, chunked));

    tokio::time::sleep(Duration::from_millis(300)).await;
    nothing_runs(&client).await;
    assert_eq!(count(&client), "0\t0");
    // The same request, whole.
    let mut whole = client.connect();
    let length = data.len();
    write!(whole, "{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{data}\r\n0\r\n\r\n").unwrap();
    assert_eq!(read(&mut whole).status, 200);
    assert_eq!(count(&client), "300000\t44999850000");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_survives_the_death_of_the_engine() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    let data = rows(200_000);
    assert_eq!(client.post(&once("committed"), data.as_bytes()).status, 200);

    // Killed with half of the body received.
    let head = client.head(
        "POST",
        "/?query=INSERT+INTO+t+FORMAT+TSV&async_insert=0&insert_deduplication_token=halfway",
    );
    let mut stream = client.connect();
    write!(stream, "{head}Content-Length: {}\r\n\r\n", data.len()).unwrap();
    stream
        .write_all(&data.as_bytes()[..data.len() / 2])
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let killed = store.pid();
    store.signal(Signal::KILL);

    let client = store.client().await;
    assert_ne!(store.pid(), killed);
    assert_eq!(count(&client), "200000\t19999900000");
    for token in ["committed", "halfway", "halfway"] {
        let answer = client.post(&once(token), data.as_bytes());
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(count(&client), "400000\t39999800000");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_killed_at_its_end_is_neither_lost_nor_doubled() {
    let store = TestStore::new();
    let mut client = store.client().await;
    client.query(TABLE);
    let data = rows(100_000);
    for round in 1..=12 {
        let token = format!("round{round}");
        let target = format!(
            "/?query=INSERT+INTO+t+FORMAT+TSV&async_insert=0&insert_deduplication_token={token}"
        );
        let mut stream = client.connect();
        let head = client.head("POST", &target);
        write!(stream, "{head}Content-Length: {}\r\n\r\n{data}", data.len()).unwrap();
        // Somewhere while the parts are written and named.
        tokio::time::sleep(Duration::from_millis(2 * round)).await;
        store.signal(Signal::KILL);
        client = store.client().await;
        assert_eq!(client.post(&once(&token), data.as_bytes()).status, 200);
        assert_eq!(
            client.query("SELECT count() FROM t"),
            (round * 100_000).to_string()
        );
    }
}

/// One record batch of 60,000 rows over three partitions, as the sink sends it.
fn arrow(rows: u64) -> Vec<u8> {
    use arrow_array::{Date32Array, RecordBatch, UInt64Array};
    let first = 20_454; // 2026-01-01 in days since 1970.
    let day = Date32Array::from_iter_values((0..rows).map(|n| first + (n % 3) as i32));
    let n = UInt64Array::from_iter_values(0..rows);
    let batch = RecordBatch::try_from_iter([
        ("day", std::sync::Arc::new(day) as arrow_array::ArrayRef),
        ("n", std::sync::Arc::new(n)),
    ])
    .unwrap();
    let mut out = Vec::new();
    let mut writer = arrow_ipc::writer::StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    drop(writer);
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn one_arrow_batch_is_one_block_however_it_is_cut() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    client.query("SYSTEM STOP MERGES t");
    let data = arrow(60_000);
    let head = client.head(
        "POST",
        "/?query=INSERT+INTO+t+FORMAT+ArrowStream&async_insert=0&insert_deduplication_token=arrow",
    );
    for chunk_bytes in [data.len(), 1000, 65_536] {
        let mut stream = client.connect();
        write!(
            stream,
            "{head}Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        .unwrap();
        for chunk in data.chunks(chunk_bytes) {
            write!(stream, "{:x}\r\n", chunk.len()).unwrap();
            stream.write_all(chunk).unwrap();
            stream.write_all(b"\r\n").unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        let answer = read(&mut stream);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let parts = client.query(
            "SELECT partition, rows FROM system.parts WHERE table = 't' ORDER BY 1 FORMAT CSV",
        );
        assert_eq!(
            parts,
            "\"2026-01-01\",20000\n\"2026-01-02\",20000\n\"2026-01-03\",20000"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_counts_written_rows() {
    let store = TestStore::new();
    let client = store.client().await;
    client.query(TABLE);
    let answer = client.post(&once("a"), rows(30).as_bytes());
    let summary: serde_json::Value =
        serde_json::from_str(answer.header("X-ClickHouse-Summary").unwrap()).unwrap();
    assert_eq!(summary["written_rows"], "30");
    assert!(answer.header("X-ClickHouse-Query-Id").unwrap().len() == 36);
}
