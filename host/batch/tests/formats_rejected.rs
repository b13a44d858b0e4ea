//! A bad record is set aside whole, with a reason, and changes nothing else.

mod support;

use bytes::Bytes;
use canopy_batch::Records;
use canopy_batch::formats::{Format, MAX_RECORD_BYTES, Parser};

use support::{column, fixture, layout, layout_44, parse, parse_real_time, reasons, rows};

/// Parses one real-time line of two fields, `timestamp` and `field`, and
/// returns why it was rejected.
fn reason(field: &str, value: impl AsRef<[u8]>) -> String {
    let line = [b"1759687234.191\t", value.as_ref()].concat();
    let parsed = parse_real_time(&["timestamp", field], line);
    assert_eq!(parsed.batch.row_count(), 0);
    parsed.rejected[0].reason.clone()
}

#[test]
fn bad_values_are_named_with_their_field() {
    for (field, value, expected) in [
        (
            "sc-status",
            "2x0",
            "sc-status: `2x0` is not a whole number from 0 to 999",
        ),
        (
            "sc-status",
            "1000",
            "sc-status: `1000` is not a whole number from 0 to 999",
        ),
        (
            "c-port",
            "65536",
            "c-port: `65536` is not a whole number from 0 to 65535",
        ),
        (
            "cmcd-version",
            "256",
            "cmcd-version: `256` is not a whole number from 0 to 255",
        ),
        (
            "asn",
            "-5",
            "asn: `-5` is not a whole number from 0 to 4294967295",
        ),
        (
            "sc-bytes",
            "9223372036854775808",
            "sc-bytes: `9223372036854775808` is not a whole number from 0 to 9223372036854775807",
        ),
        (
            "time-taken",
            "0,5",
            "time-taken: `0,5` is not a decimal number",
        ),
        (
            "origin-fbl",
            "NaN",
            "origin-fbl: `NaN` is not a decimal number",
        ),
        (
            "c-ip",
            "192.0.2.256",
            "c-ip: `192.0.2.256` is not an IP address",
        ),
        (
            "s-ip",
            "2001:db8::g",
            "s-ip: `2001:db8::g` is not an IP address",
        ),
        ("cs-method", "G\0T", r"cs-method: `G\x00T` has a NUL byte"),
    ] {
        assert_eq!(reason(field, value), expected);
    }
    assert_eq!(
        reason("cs-user-agent", b"curl\xff\xfe"),
        r"cs-user-agent: `curl\xff\xfe` has the byte 0xff, which is not UTF-8"
    );
}

#[test]
fn a_time_is_never_taken_for_absent() {
    for (value, shown) in [
        ("-", "-"),
        ("", ""),
        ("yesterday", "yesterday"),
        ("-1.0", "-1.0"),
    ] {
        let parsed = parse_real_time(&["timestamp", "asn"], format!("{value}\t7"));
        let expected = format!(
            "timestamp: `{shown}` is not a time in seconds since 1970, such as 1671005351.148"
        );
        assert_eq!(reasons(&parsed), [expected]);
    }
}

#[test]
fn a_layout_that_does_not_fit_says_what_was_found_and_what_was_expected() {
    let parsed = parse(Format::RealTime(layout_44()), fixture("real-time-all.log"));
    assert_eq!(
        reasons(&parsed),
        ["71 fields found, 44 expected: the layout of the real-time log configuration has 44"; 4]
    );
    let parsed = parse_real_time(&["timestamp", "c-ip", "asn"], "1.0 192.0.2.1 7\n1.0\t::1\n");
    assert_eq!(
        reasons(&parsed),
        [
            "1 field found, 3 expected: the layout of the real-time log configuration has 3; fields are separated by tabs",
            "2 fields found, 3 expected: the layout of the real-time log configuration has 3",
        ]
    );
}

#[test]
fn a_long_value_is_shown_short() {
    let reason = reason("asn", "9".repeat(5_000));
    assert!(
        reason.len() < 200 && reason.contains("(5000 bytes)"),
        "{reason}"
    );
}

#[test]
fn a_record_beyond_the_limit_is_not_parsed() {
    let fits = format!("1.0\t{}", "x".repeat(MAX_RECORD_BYTES - 4));
    let parsed = parse_real_time(
        &["timestamp", "cs-cookie"],
        format!("{fits}\n{fits}x\n1.0\ty"),
    );
    assert_eq!(parsed.batch.origins(), [0, 2]);
    assert_eq!(
        reasons(&parsed),
        ["the record has 1048577 bytes, more than the 1048576 a record may have"]
    );
}

#[test]
fn the_good_lines_of_a_damaged_file_go_in_and_the_bad_ones_are_kept_whole() {
    let parsed = parse(
        Format::RealTime(layout_44()),
        fixture("real-time-44-damaged.log"),
    );
    let records = parsed.batch.records();
    let positions = |records_of: &mut dyn Iterator<Item = u32>| -> Vec<u64> {
        records_of.map(|record| records.position(record)).collect()
    };
    assert_eq!(
        positions(&mut parsed.batch.origins().iter().copied()),
        [1, 11, 13]
    );
    assert_eq!(
        positions(&mut parsed.rejected.iter().map(|r| r.record)),
        [3, 4, 5, 6, 7, 8, 9, 10]
    );

    let good = rows(&parse(Format::RealTime(layout_44()), fixture("real-time-44.log")).batch);
    let expected = [good[0].clone(), good[3].clone(), good[2].clone()];
    assert_eq!(rows(&parsed.batch), expected);

    let junk: Vec<u8> = (128..=255).collect();
    assert_eq!(records.raw(parsed.rejected[7].record), junk);
}

#[test]
fn a_bad_record_leaves_its_neighbours_as_they_are() {
    // More than a block, with the bad ones at its edges and in a row.
    let good = fixture("real-time-all.log");
    let good: Vec<&[u8]> = good.split(|&byte| byte == b'\n').take(4).collect();
    let bad = |line: usize| matches!(line, 0 | 62..=66 | 127 | 199);
    let mut data = Vec::new();
    for line in 0..200 {
        let text = String::from_utf8(good[line % 4].to_vec()).unwrap();
        let text = if bad(line) {
            // The last field but two of all: everything before it is filled.
            let mut fields: Vec<&str> = text.split('\t').collect();
            fields[66] = "many";
            fields.join("\t")
        } else {
            text
        };
        data.extend_from_slice(text.as_bytes());
        data.push(b'\n');
    }
    let format = Format::RealTime(canopy_batch::formats::Layout::all());
    let parsed = parse(format.clone(), &data);
    assert_eq!(parsed.rejected.len(), 8);
    let four = rows(&parse(format, fixture("real-time-all.log")).batch);
    let expected: Vec<_> = (0..200)
        .filter(|&line| !bad(line))
        .map(|line| four[line % 4].clone())
        .collect();
    assert_eq!(rows(&parsed.batch), expected);
}

#[test]
fn a_standard_record_needs_a_header_before_it() {
    let data = fixture("standard-33.log");
    let record = data.split(|&byte| byte == b'\n').nth(2).unwrap();
    let parsed = parse(Format::Standard, [record, b"\n", &data].concat());
    assert_eq!(parsed.batch.row_count(), 4);
    assert_eq!(
        reasons(&parsed),
        ["no `#Fields:` line before this record says what its fields are"]
    );
}

#[test]
fn a_standard_record_must_fit_its_header() {
    let parsed = parse(
        Format::Standard,
        "#Fields: date time asn\n2025-10-05\t01:06:21\n",
    );
    assert_eq!(
        reasons(&parsed),
        ["2 fields found, 3 expected: the `#Fields:` line names 3"]
    );
}

#[test]
fn bad_dates_and_times_are_named() {
    let header = "#Fields: timestamp(ms) date time\n";
    let parsed = parse(
        Format::Standard,
        format!(
            "{header}-\t2025-02-30\t01:06:21\n-\t2025-10-05\t25:06:21\n1x\t-\t-\n-\t2025-10-05\t-\n5\t2025-10-05\t01:06:61\n5\t-\t-\n"
        ),
    );
    assert_eq!(
        reasons(&parsed),
        [
            "date: `2025-02-30` is not a date from 1970 on, such as 2019-12-04",
            "time: `25:06:21` is not a time of day, such as 21:02:31",
            "timestamp(ms): `1x` is not a time in milliseconds since 1970",
            "no time: `timestamp(ms)` is absent, and `date` or `time` too",
            "time: `01:06:61` is not a time of day, such as 21:02:31",
        ]
    );
    assert_eq!(column(&parsed, "timestamp"), [5]);
}

#[test]
fn what_is_no_json_record_says_why() {
    let lines = [
        "[1]",
        r#"{"timestamp(ms)":"1""#,
        r#"{"timestamp(ms)":"1"} trailing"#,
        r#"{"timestamp(ms)":"1","asn":{"a":1}}"#,
        r#"{"timestamp(ms)":"1","asn":"1","asn":"2"}"#,
        r#"{"timestamp(ms)":"1","cs(Cookie)":"a\u0000"}"#,
        r#"{"message":"started"}"#,
        r#"{"sc-status":"200"}"#,
        r#"{"timestamp(ms)":"1","sc-status":200.5}"#,
        r#"{"timestamp(ms)":"1","cs(Host)":"\ud800"}"#,
        r#"{"timestamp(ms)":1731620046814.5}"#,
        r#"{"timestamp(ms)":"1","sc-bytes":16777217.5}"#,
    ];
    let parsed = parse(Format::Json, lines.join("\n"));
    assert_eq!(parsed.batch.row_count(), 0);
    let expected = [
        "`[1]` is not a record: invalid type: sequence, expected a JSON object",
        r#"`{"timestamp(ms)":"1"` is not a record: EOF while parsing an object at byte 20"#,
        r#"`{"timestamp(ms)":"1"} trailing` is not a record: trailing characters at byte 23"#,
        "expected text or a number for asn",
        "asn is given twice",
        "cs(Cookie) has a NUL byte",
        "no key of the object is a field of CloudFront's standard logs",
        "no time: `timestamp(ms)` is absent, and `date` or `time` too",
        "sc-status: `200.5` is not a whole number from 0 to 999",
        "is not a record: unexpected end of hex escape",
        "timestamp(ms): `1731620046814.5` is not a time",
        "sc-bytes: `16777217.5` is not a whole number",
    ];
    assert_eq!(reasons(&parsed).len(), expected.len());
    for (reason, expected) in reasons(&parsed).iter().zip(expected) {
        assert!(
            reason.contains(expected),
            "{reason}\ndoes not say\n{expected}"
        );
    }
}

#[test]
fn nesting_however_deep_is_no_danger() {
    let deep = |key: &str, depth| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        parse(
            Format::Json,
            format!("{{\"timestamp(ms)\":\"1\",\"{key}\":{open}{close}}}"),
        )
    };
    assert_eq!(deep("unknown", 100_000).batch.records().len(), 1);
    assert_eq!(deep("asn", 100_000).rejected.len(), 1);
}

#[test]
fn every_record_of_a_stream_is_accounted_for() {
    let data = Bytes::from_static(b"1.0\t7\n\n#Fields: date\n1.0\tx\r\n");
    let mut records = Records::new(data);
    for (position, range) in [0..6, 6..7, 7..21, 21..28].into_iter().enumerate() {
        records.push(range, position as u64);
    }
    let mut parser = Parser::new(Format::RealTime(layout(&["timestamp", "asn"])), 100.0);
    let parsed = parser.parse_records(records.clone());
    support::check_books(&parsed);
    assert_eq!(parsed.batch.origins(), [0]);
    assert_eq!(parsed.rejected[0].reason, "the record is empty");
    assert_eq!(
        parsed.rejected[2].reason,
        "asn: `x` is not a whole number from 0 to 4294967295"
    );

    let parsed = Parser::new(Format::Standard, 100.0).parse_records(records);
    support::check_books(&parsed);
    assert_eq!(
        parsed.rejected[2].reason,
        "a directive of a W3C file, not a record"
    );
    assert!(
        parsed.rejected[3]
            .reason
            .contains("neither `timestamp(ms)`")
    );
}
