//! What becomes of a record that a plugin fails on, on the whole way: the
//! plugin's `on-error` decides, the others go on, and the books balance.

use serde_json::{Value, json};

use crate::support::{Project, Ran, hazards, logs_section};

/// A project with the plugin that obeys commands in the path, and a log of
/// these paths.
fn project(paths: &[&str], more: &str) -> Project {
    let project = Project::new();
    configure(&project, more);
    let lines: String = paths
        .iter()
        .enumerate()
        .map(|(n, path)| {
            format!("176401800{n}.25\t192.0.2.7\t200\t512\tGET\t{path}\tFRA56-P1\tid-{n}\n")
        })
        .collect();
    project.write("a.log", lines);
    project
}

fn configure(project: &Project, more: &str) {
    let entry = format!(
        "[[plugin]]\nname = \"tag\"\nsource = {:?}\n{more}\n",
        hazards()
    );
    project.write("canopy.toml", format!("{}\n{entry}", logs_section()));
    project.canopy(&["plugin", "add", "tag"]).exits(0);
}

/// The paths stored and what the plugin made of them.
fn tags(project: &Project) -> Vec<(Value, Value)> {
    project
        .query("SELECT cs_uri_stem, tag FROM cloudfront_logs ORDER BY timestamp, tag")
        .into_iter()
        .map(|row| (row["cs_uri_stem"].clone(), row["tag"].clone()))
        .collect()
}

fn run(project: &Project) -> Ran {
    project.run(&["a.log"])
}

const QUARANTINE: &str = "on-error = \"quarantine\"";

#[test]
fn a_row_that_an_enrichment_fails_on_goes_in_with_null() {
    let project = project(&["/a", "!trap", "/b", "!error", "!utf8"], "");
    let ran = run(&project).exits(0);
    assert_eq!(ran.books(), [5, 5, 0, 0]);
    let plugin = &ran.json()["plugins"][0];
    assert_eq!(plugin["nulled"], 3, "{plugin}");
    assert_eq!(
        tags(&project),
        [
            (json!("/a"), json!("/a")),
            (json!("!trap"), Value::Null),
            (json!("/b"), json!("/b")),
            (json!("!error"), Value::Null),
            (json!("!utf8"), Value::Null),
        ]
    );
}

#[test]
fn or_it_is_set_aside_whole_with_the_reason() {
    let project = project(&["/a", "!trap", "/b", "!reject"], QUARANTINE);
    let ran = run(&project).exits(3);
    assert_eq!(ran.books(), [4, 2, 0, 2]);
    assert_eq!(
        tags(&project),
        [(json!("/a"), json!("/a")), (json!("/b"), json!("/b"))]
    );
    let log = std::fs::read(project.path("a.log")).unwrap();
    let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').collect();
    let set_aside = project.set_aside();
    assert_eq!(set_aside.len(), 2);
    for record in &set_aside {
        assert_eq!(record.stage, "tag");
        assert_eq!(record.raw, lines[record.position as usize - 1]);
        assert!(!record.reason.is_empty());
    }
}

#[test]
fn or_it_ends_the_run_with_nothing_of_its_batch_stored() {
    let project = project(&["/a", "!trap", "/b"], "on-error = \"fail\"");
    run(&project)
        .exits(1)
        .says(&["a.log", "tag", "hint:", "on-error"]);
    assert_eq!(project.stored(), (0, 0));
    assert_eq!(project.set_aside(), []);
    // What failed is not lost: with another setting it goes in.
    configure(&project, QUARANTINE);
    assert_eq!(run(&project).exits(3).books(), [3, 2, 0, 1]);
    assert_eq!(project.stored(), (2, 2));
}

#[test]
fn what_a_plugin_drops_is_counted_and_stays_dropped() {
    let project = project(&["/a", "!drop", "/b", "!drop"], "");
    assert_eq!(run(&project).exits(0).books(), [4, 2, 2, 0]);
    let again = run(&project).exits(0);
    assert_eq!((again.already(), again.books()), ([4, 2, 2, 0], [0; 4]));
    assert_eq!(project.stored(), (2, 2));

    let ledger = project.query(
        "SELECT toUInt8(sum(records)) AS records, toUInt8(sum(dropped)) AS dropped
         FROM ledger WHERE state = 'done'",
    );
    assert_eq!(ledger, [json!({"records": 4, "dropped": 2})]);
}

#[test]
fn a_file_of_which_everything_is_dropped_is_done() {
    let project = project(&["!drop", "!drop"], "");
    assert_eq!(run(&project).exits(0).books(), [2, 0, 2, 0]);
    assert_eq!(run(&project).exits(0).already(), [2, 0, 2, 0]);
}

#[test]
fn a_record_that_becomes_several_rows_is_one_record() {
    let project = project(&["/a", "!copies:3", "/b"], "");
    let ran = run(&project).exits(0);
    assert_eq!(ran.books(), [3, 3, 0, 0]);
    assert_eq!(ran.json()["rows"], 5);
    assert_eq!(project.stored(), (5, 3));
}

#[test]
fn everything_at_once_balances() {
    let paths = [
        "/a",
        "!drop",
        "!trap",
        "!copies:2",
        "!reject",
        "",
        "/b",
        "!other",
    ];
    let project = project(&paths, QUARANTINE);
    project.append("a.log", "junk\n");
    let ran = run(&project).exits(3);
    let [records, inserted, dropped, quarantined] = ran.books();
    assert_eq!((records, dropped), (9, 1));
    assert_eq!(project.set_aside().len() as u64, quarantined);
    assert_eq!(project.stored().1, inserted);
    let again = run(&project).exits(0);
    assert_eq!((again.already(), again.books()), (ran.books(), [0; 4]));
}

#[test]
fn a_row_that_never_ends_costs_its_deadline_and_no_more() {
    let limits = format!("{QUARANTINE}\nlimits = {{ deadline = \"100ms\" }}");
    let project = project(&["/a", "!loop", "/b"], &limits);
    let ran = run(&project).exits(3);
    assert_eq!(ran.books(), [3, 2, 0, 1]);
    assert!(project.set_aside()[0].reason.contains("deadline"));
}

#[test]
fn a_row_that_eats_memory_is_stopped_at_the_limit() {
    let limits = format!("{QUARANTINE}\nlimits = {{ memory = \"8MiB\" }}");
    let project = project(&["/a", "!grow", "/b"], &limits);
    let ran = run(&project).exits(3);
    assert_eq!(ran.books(), [3, 2, 0, 1]);
    assert!(project.set_aside()[0].reason.contains("memory"));
    assert!(
        ran.json()["plugins"][0]["peak_memory_bytes"]
            .as_u64()
            .unwrap()
            <= 8 << 20
    );
}

#[test]
fn plugins_after_the_one_that_refused_never_see_the_record() {
    let project = project(&["/a/123", "!reject", "/b/456"], QUARANTINE);
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let ran = run(&project).exits(3);
    let plugins = &ran.json()["plugins"];
    assert_eq!(
        (&plugins[0]["rows_in"], &plugins[1]["rows_in"]),
        (&json!(3), &json!(2))
    );
    assert_eq!(ran.books(), [3, 2, 0, 1]);
}

#[test]
fn strict_takes_a_plugin_s_refusal_for_an_error_too() {
    let project = project(&["/a", "!reject"], QUARANTINE);
    project
        .run(&["--strict", "a.log"])
        .exits(1)
        .says(&["a.log line 2", "tag"]);
    assert_eq!(project.stored(), (0, 0));
}

#[test]
fn what_a_plugin_logs_and_counts_is_shown() {
    let project = project(&["/a", "!log:30", "!count:seen"], "");
    let ran = run(&project)
        .exits(0)
        .says(&["tag: info: line 0", "more lines"]);
    assert!(ran.stderr.matches("tag: info: line").count() <= 20);
    assert_eq!(ran.json()["plugins"][0]["counters"]["seen"], 2);
}
