//! What connecting says when it fails, and what queries return.

use canopy_clickhouse::{ClickHouse, Disposition, Error, Target};
use serde::Deserialize;

use crate::harness::{empty, server};

#[tokio::test]
async fn a_wrong_password_is_said_to_be_one() {
    let mut server = server().await;
    server.password = "nonsense".into();
    let error = ClickHouse::connect(Target::Server(server))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Denied { .. }), "{error:?}");
    assert_eq!(error.disposition(), Disposition::Permanent);
    let message = error.to_string();
    assert!(message.contains("password"), "{message}");
    assert!(!message.contains("nonsense"), "{message}");
}

#[tokio::test]
async fn what_is_not_clickhouse_is_said_not_to_be() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let page =
                "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html>hello</";
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(page.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let mut server = server().await;
    server.url = format!("http://{address}");
    let error = ClickHouse::connect(Target::Server(server))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("<html>hello"), "{error}");
}

#[tokio::test]
async fn a_query_returns_rows_or_bytes() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Row {
        large: u64,
        text: Option<String>,
    }
    let (clickhouse, _) = empty("a_query_returns_rows_or_bytes").await;
    let mut server = clickhouse.server();
    server.database = "default".into();
    let clickhouse = ClickHouse::connect(Target::Server(server)).await.unwrap();

    let rows: Vec<Row> = clickhouse
        .query_rows("SELECT * FROM (SELECT toUInt64(9223372036854775807) AS large, 'who?' AS text UNION ALL SELECT 1, NULL) ORDER BY large DESC")
        .await
        .unwrap();
    assert_eq!(
        rows,
        [
            Row {
                large: i64::MAX as u64,
                text: Some("who?".into())
            },
            Row {
                large: 1,
                text: None
            },
        ]
    );
    let bytes = clickhouse
        .query_bytes("SELECT 1 AS a, 'x' AS b", "CSVWithNames")
        .await
        .unwrap();
    assert_eq!(&bytes[..], b"\"a\",\"b\"\n1,\"x\"\n");
    let bytes = clickhouse
        .query_bytes("SELECT 1 FORMAT JSONCompactEachRow", "CSV")
        .await
        .unwrap();
    assert_eq!(&bytes[..], b"[1]\n");
}

#[tokio::test]
async fn a_wrong_query_names_clickhouse_s_reason() {
    let (clickhouse, _) = empty("a_wrong_query").await;
    let mut server = clickhouse.server();
    server.database = "default".into();
    let clickhouse = ClickHouse::connect(Target::Server(server)).await.unwrap();
    let error = clickhouse
        .query_bytes("SELECT nope", "TSV")
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Exception { code: 47, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("nope"), "{error}");
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_said_to_be_missing() {
    let (clickhouse, _) = empty("a_database_that_does_not_exist").await;
    let error = clickhouse.query_bytes("SELECT 1", "TSV").await.unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("no database `a_database_that_does_not_exist`: create it"),
        "{message}"
    );
}
