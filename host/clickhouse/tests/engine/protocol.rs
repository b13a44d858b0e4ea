//! Queries over HTTP.

use crate::support::TestStore;
use serde::Deserialize;
use std::io::Read;

#[tokio::test(flavor = "multi_thread")]
async fn queries_come_from_the_url_and_the_body() {
    let store = TestStore::new();
    let client = store.client().await;
    assert_eq!(client.query("SELECT 1"), "1");
    assert_eq!(client.post(&[("query", "SELECT")], b"2").text(), "2\n");
    assert_eq!(client.query("SELECT currentDatabase()"), "default");
    let database = client.post(&[("database", "canopy")], b"SELECT currentDatabase()");
    assert_eq!(database.text(), "canopy\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn formats_are_named_by_clause_parameter_and_header() {
    let store = TestStore::new();
    let client = store.client().await;
    let csv = client.query("SELECT 1 AS a, 'x' AS b FORMAT CSVWithNames;");
    assert_eq!(csv, "\"a\",\"b\"\n1,\"x\"");
    let json = client.post(&[("default_format", "JSONEachRow")], b"SELECT 1 AS a");
    assert_eq!(json.text(), "{\"a\":1}\n");
    assert_eq!(json.header("X-ClickHouse-Format"), Some("JSONEachRow"));
    let show = client.post(
        &[("default_format", "JSONEachRow")],
        b"SHOW DATABASES LIKE 'canopy'",
    );
    assert_eq!(show.text(), "{\"name\":\"canopy\"}\n");
    let long = client.query("SELECT number FROM numbers(1000000) FORMAT JSON");
    let long: serde_json::Value = serde_json::from_str(&long).expect("one document");
    assert_eq!(long["rows"], 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn exceptions_carry_code_and_status() {
    let store = TestStore::new();
    let client = store.client().await;
    assert_eq!(client.code(&[], b"SELECT * FROM missing"), (404, 60));
    assert_eq!(client.code(&[], b"SELECT nonsense("), (400, 62));
    assert_eq!(client.code(&[], b"SELECT 1; SELECT 2"), (400, 62));
    assert_eq!(
        client.code(&[("database", "missing")], b"SELECT 1"),
        (404, 81)
    );
    assert_eq!(
        client.code(&[("no_such_setting", "1")], b"SELECT 1"),
        (404, 115)
    );
    assert_eq!(
        client.code(&[("max_execution_time", "0.2")], b"SELECT sleep(3)"),
        (408, 159)
    );
    assert_eq!(client.code(&[("session_id", "x")], b"SELECT 1"), (501, 48));
    assert_eq!(
        client.code(&[], b"SELECT 1 INTO OUTFILE '/tmp/x'"),
        (501, 48)
    );
    assert_eq!(client.code(&[], b"SELECT 1 FORMAT Missing"), (404, 73));
    // Within the first part of a result, an exception is still an answer of its own.
    let early =
        b"SELECT throwIf(number = 20000) FROM numbers(30000) SETTINGS max_block_size = 1000";
    assert_eq!(client.code(&[], early), (500, 395));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exception_within_a_long_result_is_tagged_and_cuts_the_body() {
    let store = TestStore::new();
    let client = store.client().await;
    let sql =
        b"SELECT number, throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_threads = 1";
    let answer = client.post(&[], sql);
    assert_eq!(answer.status, 200);
    let tag = answer.header("X-ClickHouse-Exception-Tag").unwrap();
    let end = &answer.text()[answer.body.len() - 400..];
    assert!(
        end.contains(&format!(
            "\r\n__exception__\r\n{tag}\r\nCode: 395. DB::Exception:"
        )),
        "{end}"
    );
    assert!(
        end.ends_with(&format!(" {tag}\r\n__exception__\r\n")),
        "{end}"
    );
    assert!(!answer.whole);

    let crate_client = clickhouse(&store).await;
    let rows = crate_client.query(std::str::from_utf8(sql).unwrap());
    let error = rows.fetch_all::<(u64, u8)>().await.unwrap_err();
    assert!(error.to_string().contains("Code: 395"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_password_are_asked_for() {
    let store = TestStore::new();
    let client = store.client().await;
    let password = &client.0.password;
    let head =
        |headers: &str| format!("POST / HTTP/1.1\r\nHost: {}\r\n{headers}", client.address());
    let status = |headers: &str| client.send(&head(headers), b"SELECT 1").status;
    assert_eq!(status(""), 401);
    assert_eq!(
        status("X-ClickHouse-User: canopy\r\nX-ClickHouse-Key: wrong\r\n"),
        403
    );
    assert_eq!(
        status(&format!(
            "X-ClickHouse-User: other\r\nX-ClickHouse-Key: {password}\r\n"
        )),
        403
    );
    let basic = data_encoding::BASE64.encode(format!("canopy:{password}").as_bytes());
    assert_eq!(status(&format!("Authorization: Basic {basic}\r\n")), 200);
    let wrong = client.send(
        &head("X-ClickHouse-User: canopy\r\nX-ClickHouse-Key: x\r\n"),
        b"SELECT 1",
    );
    assert_eq!(wrong.header("X-ClickHouse-Exception-Code"), Some("516"));
    let ping = format!("GET /ping HTTP/1.1\r\nHost: {}\r\n", client.address());
    assert_eq!(client.send(&ping, b"").text(), "Ok.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn other_hosts_and_web_pages_are_turned_away() {
    let store = TestStore::new();
    let client = store.client().await;
    let head = client.head("GET", "/?query=SELECT+1");
    let rebound = head.replace(client.address(), "rebind.example.com");
    assert_eq!(client.send(&rebound, b"").status, 403);
    let page = format!("{head}Origin: https://example.com\r\n");
    assert_eq!(client.send(&page, b"").status, 403);
    let answer = client.send(&head, b"");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn get_changes_nothing() {
    let store = TestStore::new();
    let client = store.client().await;
    let get = |query: &str| client.send(&client.head("GET", &format!("/?query={query}")), b"");
    assert_eq!(get("SELECT+3").text(), "3\n");
    let create = get("CREATE+DATABASE+d");
    assert_eq!(create.header("X-ClickHouse-Exception-Code"), Some("164"));
    let sneaky = get("CREATE+DATABASE+d&readonly=0");
    assert_eq!(sneaky.header("X-ClickHouse-Exception-Code"), Some("164"));
    assert_eq!(client.query("SHOW DATABASES LIKE 'd'"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_end_with_their_request() {
    let store = TestStore::new();
    let client = store.client().await;
    let value = b"SELECT getSetting('max_block_size')";
    let ours = client.post(&[("max_block_size", "777"), ("readonly", "1")], value);
    assert_eq!(ours.text(), "777\n");
    for _ in 0..20 {
        assert_ne!(client.post(&[], value).text(), "777\n");
    }
    client.query("CREATE TEMPORARY TABLE t (a UInt8)");
    assert_eq!(client.code(&[], b"SELECT * FROM t"), (404, 60));
    assert_eq!(
        client
            .post(&[("max_block_size", "778")], b"CREATE DATABASE after")
            .status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_values_never_text() {
    let store = TestStore::new();
    let client = store.client().await;
    let nasty = "x' OR 1=1 -- \u{1f333}";
    let sql = b"SELECT {a:String}, {b:UInt32} + 1";
    let answer = client.post(&[("param_a", nasty), ("param_b", "41")], sql);
    assert_eq!(answer.text(), "x\\' OR 1=1 -- \u{1f333}\t42\n");
    assert_eq!(
        client.code(&[("param_a", "1"), ("param_b", "x")], sql).1,
        457
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_compressed_as_asked() {
    let store = TestStore::new();
    let client = store.client().await;
    let sql = b"SELECT number FROM numbers(300000)";
    let plain = client.post(&[], sql).body;
    let head = client.head("POST", "/") + "Accept-Encoding: gzip\r\n";
    let gzip = client.send(&head, sql);
    assert_eq!(gzip.header("Content-Encoding"), Some("gzip"));
    assert!(gzip.whole && gzip.body.len() < plain.len());
    let mut text = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&gzip.body[..]);
    decoder.read_to_end(&mut text).unwrap();
    assert!(text == plain);

    let frames = client.post(&[("compress", "1")], sql).body;
    assert_eq!(frames[16], 0x82);
    assert!(frames.len() < plain.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn native_blocks_suit_the_clients_revision() {
    let store = TestStore::new();
    let client = store.client().await;
    let sql = b"SELECT number AS n, toString(n) AS s, n % 2 = 0 ? s : NULL AS o,
        CAST(n % 7 AS LowCardinality(String)) AS l,
        CAST(n % 3 = 0 ? s : NULL AS LowCardinality(Nullable(String))) AS lo,
        range(n % 4) AS a, [[s], []] AS aa, map(s, a) AS m, (n, s) AS t,
        CAST(a AS Array(LowCardinality(String))) AS al,
        toDateTime64(n, 3, 'UTC') AS d, toIPv6('::1') AS ip, toDecimal128(n, 2) AS dec,
        CAST('x', 'Enum8(\\'x\\' = 1, \\'y, (\\' = 2)') AS e, toFixedString('ab', 3) AS f
        FROM numbers(3000) ORDER BY n SETTINGS max_block_size = 1000, max_threads = 1,
        allow_suspicious_low_cardinality_types = 1";
    let native = |protocol: &str| {
        let parameters = [
            ("default_format", "Native"),
            ("client_protocol_version", protocol),
        ];
        let answer = client.post(&parameters, sql);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.body
    };
    let (plain, older, newer) = (native("0"), native("54453"), native("54460"));
    let blocks = older
        .windows(8)
        .filter(|w| *w == b"\x01\0\x02\xff\xff\xff\xff\0")
        .count();
    assert!(blocks >= 1);
    assert_eq!(older.len(), plain.len() + 8 * blocks);
    assert_eq!(newer.len(), older.len() + 15 * blocks);

    let hello = b"SELECT displayName(), version(), revision(), timezone()";
    let parameters = [
        ("default_format", "Native"),
        ("client_protocol_version", "54460"),
        ("compress", "1"),
    ];
    assert_eq!(client.post(&parameters, hello).status, 200);
    let unknown = b"SELECT uniqState(1)";
    assert_eq!(client.code(&parameters[..2], unknown), (501, 48));
}

async fn clickhouse(store: &TestStore) -> clickhouse::Client {
    let server = store.store.server().await.unwrap();
    clickhouse::Client::default()
        .with_url(server.url)
        .with_user(server.user)
        .with_password(server.password)
}

#[derive(clickhouse::Row, serde::Serialize, Deserialize, Debug, PartialEq)]
struct Line {
    at: u32,
    text: String,
    note: Option<f64>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clickhouse_crate_inserts_and_selects() {
    let store = TestStore::new();
    let client = clickhouse(&store).await.with_database("canopy");
    client
        .query("CREATE TABLE lines (at UInt32, text String, note Nullable(Float64)) ORDER BY at")
        .execute()
        .await
        .unwrap();
    let mut insert = client.insert::<Line>("lines").await.unwrap();
    let line = |at: u32| Line {
        at,
        text: format!("line {at} \u{1f333}"),
        note: at.is_multiple_of(3).then_some(f64::from(at)),
    };
    for at in 0..100_000 {
        insert.write(&line(at)).await.unwrap();
    }
    insert.end().await.unwrap();
    let mut rows = client
        .query("SELECT ?fields FROM lines ORDER BY at")
        .fetch::<Line>()
        .unwrap();
    let mut count = 0;
    while let Some(row) = rows.next().await.unwrap() {
        assert_eq!(row, line(count));
        count += 1;
    }
    assert_eq!(count, 100_000);
    let named = client
        .query("SELECT count() FROM lines WHERE text = {text:String}")
        .param("text", "line 7 \u{1f333}")
        .fetch_one::<u64>()
        .await
        .unwrap();
    assert_eq!(named, 1);
    let missing = client
        .query("SELECT * FROM missing")
        .execute()
        .await
        .unwrap_err();
    assert!(missing.to_string().contains("Code: 60"), "{missing}");
}
