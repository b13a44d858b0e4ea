//! The same requests have the same values, whatever format they came in.

mod support;

use arrow_array::Array;
use bytes::Bytes;
use canopy_batch::Records;
use canopy_batch::formats::{Format, Layout, Parser, detect};
use canopy_batch::schema::{FIELDS, base_columns};
use serde_json::{Value, json};

use support::{Row, column, fixture, layout_44, parse, parse_real_time, rows};

/// Returns the four requests of the sample logs.
fn requests() -> Vec<Row> {
    serde_json::from_slice(&fixture("requests.json")).unwrap()
}

/// Detects the format of a sample, parses it, and compares every value of every
/// column with the requests. Times are compared to `time_ms`.
fn check(name: &str, layout: &Layout, expected_columns: usize, time_ms: i64) {
    let data = fixture(name);
    let parsed = parse(detect(&data, layout).unwrap(), &data);
    assert_eq!(support::reasons(&parsed), [""; 0], "{name}");
    let expected = requests();
    let rows = rows(&parsed.batch);
    assert_eq!(rows.len(), expected.len(), "{name}");
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row.len(), expected_columns, "{name}: {:?}", row.keys());
        for (column, value) in row {
            let mut expected = match column.as_str() {
                "sample_weight" => json!(1.0),
                column => expected[column].clone(),
            };
            if column == "timestamp" {
                expected = json!(expected.as_i64().unwrap() / time_ms * time_ms);
            }
            assert_eq!(
                same_number(value),
                same_number(&expected),
                "{name}: {column}"
            );
        }
    }
}

/// Whole numbers are told apart from floats by JSON only.
fn same_number(value: &Value) -> Value {
    value.as_f64().map_or(value.clone(), |number| json!(number))
}

#[test]
fn real_time_lines_of_all_fields() {
    check("real-time-all.log", &Layout::all(), 72, 1);
}

#[test]
fn real_time_lines_of_44_fields() {
    check("real-time-44.log", &layout_44(), 45, 1);
}

#[test]
fn standard_log_of_33_fields() {
    // `date` and `time` are one column; the sample weight is another.
    check("standard-33.log", &Layout::all(), 33, 1000);
}

#[test]
fn standard_log_of_35_fields() {
    check("standard-35.log", &Layout::all(), 35, 1000);
}

#[test]
fn standard_log_of_12_fields() {
    check("standard-12.log", &Layout::all(), 12, 1000);
}

#[test]
fn standard_logging_v2_as_w3c() {
    check("standard-v2.log", &Layout::all(), 42, 1);
}

#[test]
fn standard_logging_v2_as_json() {
    check("standard-v2.json", &Layout::all(), 42, 1);
}

#[test]
fn the_columns_are_the_schemas() {
    let parsed = parse(
        Format::RealTime(Layout::all()),
        fixture("real-time-all.log"),
    );
    let schema = parsed.batch.columns().schema();
    let expected: Vec<_> = base_columns().map(|column| column.arrow()).collect();
    let fields: Vec<_> = schema.fields().iter().map(|f| f.as_ref().clone()).collect();
    assert_eq!(fields, expected);
}

#[test]
fn an_absent_value_is_null_only_where_the_column_may_be() {
    let absent = "\t-".repeat(FIELDS.len() - 1);
    let empty = "\t".repeat(FIELDS.len() - 1);
    let lines = format!("1759687234.191{absent}\n1759687234.191{empty}\n");
    let parsed = parse(Format::RealTime(Layout::all()), lines);
    assert_eq!(parsed.batch.row_count(), 2);
    for field in FIELDS.iter().skip(1) {
        let values = parsed.batch.column(&field.column.name).unwrap();
        let nulls = if field.column.nullable { 2 } else { 0 };
        assert_eq!(values.null_count(), nulls, "{}", field.name);
        let expected = match (
            &column(&parsed, &field.column.name)[0],
            field.column.nullable,
        ) {
            (Value::String(text), false) => text.is_empty(),
            (Value::Number(number), false) => number.as_f64() == Some(0.0),
            (value, true) => value.is_null(),
            _ => false,
        };
        assert!(expected, "{}", field.name);
    }
}

#[test]
fn an_encoded_hyphen_is_a_value() {
    let parsed = parse_real_time(
        &["timestamp", "cs-user-agent", "cs-referer"],
        "1.0\t%2D\t-\n1.0\t--\t%2d-\n",
    );
    assert_eq!(column(&parsed, "cs_user_agent"), ["-", "--"]);
    assert_eq!(column(&parsed, "cs_referer"), ["", "--"]);
}

#[test]
fn values_are_decoded_once_and_only_where_cloudfront_encodes() {
    let parsed = parse_real_time(
        &["timestamp", "cs-host", "cs-user-agent", "cs-cookie"],
        "1.0\ta%20b\ta%20b+c\t%257B%ff\n",
    );
    assert_eq!(column(&parsed, "cs_host"), ["a%20b"]);
    assert_eq!(column(&parsed, "cs_user_agent"), ["a b+c"]);
    assert_eq!(column(&parsed, "cs_cookie"), ["%257B%ff"], "not UTF-8");
}

#[test]
fn the_stem_ends_at_its_first_question_mark() {
    let lines = "1.0\t/a%3Fb?c=1?d=%20\n1.0\t/plain\n1.0\t/a?\n1.0\t?q\n1.0\t-\n";
    let parsed = parse_real_time(&["timestamp", "cs-uri-stem"], lines);
    assert_eq!(
        column(&parsed, "cs_uri_stem"),
        ["/a?b", "/plain", "/a", "", ""]
    );
    assert_eq!(
        column(&parsed, "cs_uri_query"),
        ["c=1?d= ", "", "", "q", ""]
    );
}

#[test]
fn a_query_field_of_its_own_is_taken_as_it_is() {
    let parsed = parse_real_time(
        &["timestamp", "cs-uri-stem", "cs-uri-query"],
        "1.0\t/a?b=1\tb=1\n1.0\t/a?b=1\t-\n",
    );
    assert_eq!(column(&parsed, "cs_uri_stem"), ["/a", "/a"]);
    assert_eq!(column(&parsed, "cs_uri_query"), ["b=1", ""]);
}

#[test]
fn the_query_stands_among_the_columns_where_the_schema_has_it() {
    let parsed = parse_real_time(&["timestamp", "cs-uri-stem", "asn"], "1.0\t/?a\t7\n");
    let schema = parsed.batch.columns().schema();
    let names: Vec<_> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let expected = [
        "timestamp",
        "cs_uri_stem",
        "cs_uri_query",
        "asn",
        "sample_weight",
    ];
    assert_eq!(names, expected);
}

#[test]
fn a_layout_without_a_time_makes_rows_without_one() {
    let parsed = parse_real_time(&["c-ip"], "192.0.2.1\n::1\n-\n");
    assert!(parsed.batch.column("timestamp").is_none());
    assert_eq!(column(&parsed, "c_ip"), ["192.0.2.1", "::1", ""]);
}

#[test]
fn a_row_weighs_what_sampling_left_out() {
    for (percent, weight) in [(100.0, 1.0), (5.0, 20.0), (0.0, 1.0), (f32::NAN, 1.0)] {
        let mut parser = Parser::new(Format::RealTime(support::layout(&["asn"])), percent);
        let parsed = parser.parse_lines(Bytes::from_static(b"7018"), 1);
        assert_eq!(column(&parsed, "sample_weight"), [json!(weight)]);
    }
}

#[test]
fn records_of_a_stream_are_parsed_as_lines_are() {
    let data = Bytes::from(fixture("real-time-44.log"));
    let mut records = Records::new(data.clone());
    let mut start = 0;
    for (position, end) in memchr::memchr_iter(b'\n', &data).enumerate() {
        // As Kinesis delivers them: each with its line end.
        records.push(start..end + 1, position as u64);
        start = end + 1;
    }
    let mut parser = Parser::new(Format::RealTime(layout_44()), 100.0);
    let parsed = parser.parse_records(records);
    support::check_books(&parsed);
    let lines = parse(Format::RealTime(layout_44()), &data);
    assert_eq!(rows(&parsed.batch), rows(&lines.batch));
    assert_eq!(parsed.batch.records().raw(0).last(), Some(&b'\n'));
}

#[test]
fn concatenated_files_each_obey_their_own_header() {
    let data = [fixture("standard-12.log"), fixture("standard-v2.log")].concat();
    let parsed = parse(Format::Standard, data);
    let expected = requests();
    let asn: Vec<_> = expected.iter().map(|row| row["asn"].clone()).collect();
    assert_eq!(column(&parsed, "asn")[..4], [0, 0, 0, 0]);
    assert_eq!(column(&parsed, "asn")[4..], asn);
    assert_eq!(
        column(&parsed, "origin_fbl")[..4],
        [(); 4].map(|()| Value::Null)
    );
    let hosts: Vec<_> = expected
        .iter()
        .map(|row| row["x_host_header"].clone())
        .collect();
    assert_eq!(
        column(&parsed, "x_host_header"),
        [&hosts[..], &hosts[..]].concat()
    );
}

#[test]
fn a_header_carries_over_to_the_next_piece() {
    let data = fixture("standard-33.log");
    let header = memchr::memchr_iter(b'\n', &data).nth(1).unwrap() + 1;
    let whole = parse(Format::Standard, &data);

    let mut parser = Parser::new(Format::Standard, 100.0);
    let first = parser.parse_lines(Bytes::copy_from_slice(&data[..header]), 1);
    assert_eq!(first.batch.records().len(), 0);
    let rest = parser.parse_lines(Bytes::copy_from_slice(&data[header..]), 3);
    assert_eq!(rows(&rest.batch), rows(&whole.batch));
    assert_eq!(rest.batch.records().position(0), 3);

    let mut parser = Parser::new(Format::Standard, 100.0);
    parser.observe(&data[..header]);
    let rest = parser.parse_lines(Bytes::copy_from_slice(&data[header..]), 3);
    assert_eq!(rows(&rest.batch), rows(&whole.batch));
}

#[test]
fn json_may_hold_numbers_nulls_and_keys_in_any_order() {
    let line = |text: &str| parse(Format::Json, format!("{text}\n"));
    let strings = line(
        r#"{"timestamp(ms)":"1731620046814","sc-status":"404","origin-fbl":"0.251","c-port":"443"}"#,
    );
    let numbers = line(
        r#"{ "c-port": 443.0, "origin-fbl": 0.251, "sc-status": 404, "x": [{"y": null}], "timestamp(ms)": 1731620046814 }"#,
    );
    assert_eq!(rows(&strings.batch), rows(&numbers.batch));
    let null = line(r#"{"timestamp(ms)":"1731620046814","origin-fbl":null,"cs(Referer)":null}"#);
    assert_eq!(column(&null, "origin_fbl"), [Value::Null]);
    assert_eq!(column(&null, "cs_referer"), [""]);
}

#[test]
fn json_strings_are_unescaped_before_they_are_decoded() {
    let line = r#"{"timestamp(ms)":"1","cs(User-Agent)":"\u00e9\/%41\"","cs\u0028Cookie)":"a"}"#;
    let parsed = parse(Format::Json, line);
    assert_eq!(column(&parsed, "cs_user_agent"), ["é/A\""]);
    assert_eq!(column(&parsed, "cs_cookie"), ["a"]);
}

#[test]
fn json_records_with_different_keys_share_a_batch() {
    let lines = concat!(
        "{\"timestamp(ms)\":\"1\",\"asn\":\"7\"}\n",
        "{\"date\":\"1970-01-02\",\"time\":\"00:00:01\",\"sc-range-start\":\"5\"}\n",
    );
    let parsed = parse(Format::Json, lines);
    assert_eq!(column(&parsed, "timestamp"), [1, 86_401_000]);
    assert_eq!(column(&parsed, "asn"), [7, 0]);
    assert_eq!(column(&parsed, "sc_range_start"), [Value::Null, json!(5)]);
    assert!(parsed.batch.column("c_ip").is_none());
}
