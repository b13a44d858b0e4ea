//! Every format of CloudFront's comes in by itself, and the same request gives
//! the same columns whatever format it came in.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Project, fixture, gzip};

type Row = BTreeMap<String, Value>;

/// The four requests of the sample logs, and what every column must have.
fn requests() -> Vec<Row> {
    serde_json::from_slice(&std::fs::read(fixture("requests.json")).unwrap()).unwrap()
}

/// A project whose real-time lines have the fields of `real-time-44.log`.
fn project_44() -> Project {
    let project = Project::new();
    let names = std::fs::read_to_string(fixture("real-time-44.fields")).unwrap();
    let quoted: Vec<String> = names
        .split_whitespace()
        .map(|name| format!("{name:?}"))
        .collect();
    project.write(
        "canopy.toml",
        format!("[logs]\nfields = [{}]\n", quoted.join(", ")),
    );
    project
}

/// What is stored, in the requests' order, in the form of `requests.json`.
fn stored(project: &Project) -> Vec<Row> {
    let rows = project.query(
        "SELECT * REPLACE (
            toUnixTimestamp64Milli(timestamp) AS timestamp,
            replaceRegexpOne(toString(c_ip), '^::(ffff:)?', '') AS c_ip,
            replaceRegexpOne(toString(s_ip), '^::(ffff:)?', '') AS s_ip)
         FROM cloudfront_logs ORDER BY timestamp, x_edge_request_id
         SETTINGS output_format_json_quote_64bit_integers = 0",
    );
    rows.into_iter()
        .map(|row| serde_json::from_value(row).unwrap())
        .collect()
}

/// Takes a sample in and compares the given columns of every row.
#[track_caller]
fn check(project: &Project, args: &[&str], format: &str, columns: &[&str], to_second: bool) {
    let ran = project.run(args).exits(0);
    assert_eq!(ran.books(), [4, 4, 0, 0]);
    assert_eq!(ran.json()["sources"][0]["format"], format);
    let (rows, requests) = (stored(project), requests());
    assert_eq!(rows.len(), requests.len());
    for (row, request) in rows.iter().zip(&requests) {
        for column in columns {
            let mut expected = request[*column].clone();
            if *column == "timestamp" && to_second {
                expected = json!(expected.as_i64().unwrap() / 1000 * 1000);
            }
            assert_eq!(
                comparable(&row[*column]),
                comparable(&expected),
                "{args:?}: {column}"
            );
        }
        assert_eq!(row["sample_weight"], json!(1), "{args:?}");
    }
}

/// Numbers as floats of the table's precision.
fn comparable(value: &Value) -> Value {
    match value.as_f64() {
        Some(number) if number.abs() < 1e9 => json!(number as f32),
        _ => value.clone(),
    }
}

/// The columns that every format has.
const COMMON: [&str; 11] = [
    "timestamp",
    "c_ip",
    "sc_status",
    "sc_bytes",
    "cs_method",
    "x_host_header",
    "cs_uri_stem",
    "cs_uri_query",
    "x_edge_location",
    "cs_referer",
    "cs_user_agent",
];

/// The columns that standard logs of 33 fields have too.
const STANDARD: [&str; 20] = [
    "cs_host",
    "cs_cookie",
    "x_edge_result_type",
    "x_edge_request_id",
    "cs_protocol",
    "cs_bytes",
    "time_taken",
    "x_forwarded_for",
    "ssl_protocol",
    "ssl_cipher",
    "x_edge_response_result_type",
    "cs_protocol_version",
    "fle_status",
    "fle_encrypted_fields",
    "c_port",
    "time_to_first_byte",
    "x_edge_detailed_result_type",
    "sc_content_type",
    "sc_content_len",
    "sc_range_start",
];

fn path(name: &str) -> String {
    fixture(name).display().to_string()
}

#[test]
fn real_time_lines_of_all_fields_give_every_value() {
    let project = Project::new();
    let requests = requests();
    let columns: Vec<&str> = requests[0].keys().map(String::as_str).collect();
    check(
        &project,
        &[&path("real-time-all.log")],
        "real-time",
        &columns,
        false,
    );
}

#[test]
fn real_time_lines_of_chosen_fields_give_theirs() {
    let project = project_44();
    let columns = [&COMMON[..], &STANDARD[..13]].concat();
    check(
        &project,
        &[&path("real-time-44.log")],
        "real-time",
        &columns,
        false,
    );
}

#[test]
fn standard_logs_give_the_same_columns_as_real_time_lines() {
    let columns = [&COMMON[..], &STANDARD[..]].concat();
    for (name, format, columns, to_second) in [
        ("standard-33.log", "standard", &columns[..], true),
        ("standard-35.log", "standard", &columns[..], true),
        ("standard-12.log", "standard", &COMMON[..], true),
        ("standard-v2.log", "standard", &columns[..], false),
        ("standard-v2.json", "json", &columns[..], false),
    ] {
        let project = Project::new();
        check(&project, &[&path(name)], format, columns, to_second);
    }
}

#[test]
fn what_is_called_host_means_the_same_from_either_log() {
    // Standard logs call the distribution's domain cs(Host) and the viewer's
    // header x-host-header; real-time logs have them the other way round.
    let project = Project::new();
    let files = ["real-time-all.log", "standard-33.log", "standard-v2.json"].map(path);
    project.run(&files.each_ref().map(String::as_str)).exits(0);
    let rows = project.query(
        "SELECT x_edge_request_id, toUInt8(count()) AS n, groupUniqArray(cs_host) AS hosts,
                groupUniqArray(x_host_header) AS domains
         FROM cloudfront_logs GROUP BY 1 ORDER BY min(timestamp)",
    );
    assert_eq!(rows.len(), 4);
    for (row, request) in rows.iter().zip(requests()) {
        assert_eq!(row["n"], 3);
        assert_eq!(row["hosts"], json!([request["cs_host"]]));
        assert_eq!(row["domains"], json!([request["x_host_header"]]));
    }
}

#[test]
fn gzip_is_recognised_by_content_whatever_the_name() {
    let project = Project::new();
    let text = std::fs::read(fixture("standard-33.log")).unwrap();
    project.write("no-suffix", gzip(&text));
    check(
        &project,
        &["no-suffix"],
        "standard",
        &["timestamp", "cs_host"],
        true,
    );
}

#[test]
fn several_gzip_members_in_one_file_are_all_read() {
    let project = Project::new();
    let text = String::from_utf8(std::fs::read(fixture("real-time-all.log")).unwrap()).unwrap();
    let members: Vec<u8> = text
        .split_inclusive('\n')
        .flat_map(|line| gzip(line.as_bytes()))
        .collect();
    project.write("members.gz", members);
    assert_eq!(project.run(&["members.gz"]).exits(0).books(), [4, 4, 0, 0]);
    assert_eq!(project.stored(), (4, 4));
}

#[test]
fn lines_may_end_in_carriage_return_and_line_feed() {
    let project = Project::new();
    let text = String::from_utf8(std::fs::read(fixture("standard-33.log")).unwrap()).unwrap();
    project.write("dos.log", text.replace('\n', "\r\n"));
    let columns = [&COMMON[..], &STANDARD[..]].concat();
    check(&project, &["dos.log"], "standard", &columns, true);
}

#[test]
fn the_last_line_may_lack_its_end() {
    for name in ["real-time-all.log", "standard-33.log", "standard-v2.json"] {
        let project = Project::new();
        let text = String::from_utf8(std::fs::read(fixture(name)).unwrap()).unwrap();
        project.write("cut.log", text.trim_end());
        assert_eq!(project.run(&["cut.log"]).exits(0).books(), [4, 4, 0, 0]);
        assert_eq!(project.stored(), (4, 4), "{name}");
    }
}

#[test]
fn concatenated_standard_logs_each_obey_their_own_header() {
    let project = Project::new();
    let read = |name| std::fs::read(fixture(name)).unwrap();
    let whole = [
        read("standard-33.log"),
        read("standard-12.log"),
        read("standard-v2.log"),
    ];
    project.write("many.log", whole.concat());
    let ran = project.run(&["many.log"]).exits(0);
    assert_eq!(ran.books(), [12, 12, 0, 0]);
    let rows = project.query(
        "SELECT cs_uri_stem, toUInt8(count()) AS n, groupUniqArray(sc_bytes) AS bytes,
                groupUniqArray(x_host_header) AS domains
         FROM cloudfront_logs GROUP BY 1 ORDER BY min(timestamp)",
    );
    for (row, request) in rows.iter().zip(requests()) {
        assert_eq!(row["cs_uri_stem"], request["cs_uri_stem"]);
        assert_eq!(row["n"], 3);
        assert_eq!(row["bytes"].as_array().unwrap().len(), 1);
        assert_eq!(row["domains"], json!([request["x_host_header"]]));
    }
}

#[test]
fn a_header_split_from_its_records_by_a_second_run_is_not_forgotten() {
    let project = Project::new();
    let text = std::fs::read_to_string(fixture("standard-33.log")).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    project.write("grows.log", lines[..4].concat());
    assert_eq!(project.run(&["grows.log"]).exits(0).books()[1], 2);
    project.append("grows.log", lines[4..].concat());
    let ran = project.run(&["grows.log"]).exits(0);
    assert_eq!((ran.already()[1], ran.books()[1]), (2, 2));
    assert_eq!(project.stored(), (4, 4));
}

#[test]
fn standard_input_is_a_source_gzipped_or_not() {
    let project = Project::new();
    let text = std::fs::read(fixture("real-time-all.log")).unwrap();
    let ran = project.piped(&["run", "--json", "-"], &text).exits(0);
    assert_eq!(ran.books(), [4, 4, 0, 0]);
    let standard = std::fs::read(fixture("standard-12.log")).unwrap();
    let ran = project
        .piped(&["run", "--json", "-"], &gzip(&standard))
        .exits(0);
    assert_eq!(ran.json()["sources"][0]["format"], "standard");
    assert_eq!(ran.books(), [4, 4, 0, 0]);
    assert_eq!(project.stored().0, 8);
}

#[test]
fn a_format_named_is_not_detected() {
    let project = Project::new();
    let ran = project.run(&["--format", "standard", &path("real-time-all.log")]);
    // No header, so nothing says what the values are.
    let ran = ran.exits(3);
    assert_eq!(ran.books(), [4, 0, 0, 4]);
    assert!(project.set_aside()[0].reason.contains("#Fields"));
}

#[test]
fn sampled_lines_weigh_what_they_stand_for() {
    let project = Project::new();
    project.write("canopy.toml", "[logs]\nsampling-rate = 5\n");
    project.run(&[&path("real-time-all.log")]).exits(0);
    let rows = project.query("SELECT sum(sample_weight) AS weight FROM cloudfront_logs");
    assert_eq!(rows[0]["weight"], json!(80));
}
