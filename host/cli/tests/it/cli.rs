//! The commands around `run`: what they print, for people and for scripts.

use serde_json::{Value, json};

use crate::support::{Project, fixture};

/// A project with the sample requests stored.
fn filled() -> Project {
    let project = Project::new();
    let path = fixture("real-time-all.log");
    project.run(&[path.to_str().unwrap()]).exits(0);
    project
}

#[test]
fn the_report_of_a_run_has_what_scripts_need() {
    let project = Project::new();
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let path = fixture("real-time-all.log");
    let report = project.run(&[path.to_str().unwrap()]).exits(0).json();
    for (pointer, expected) in [
        (
            "/books",
            json!({"records": 4, "inserted": 4, "dropped": 0, "quarantined": 0}),
        ),
        ("/already/records", json!(0)),
        ("/rows", json!(4)),
        ("/stopped", json!(false)),
        ("/sources/0/name", json!(path)),
        ("/sources/0/format", json!("real-time")),
        ("/sources/0/broken", json!(false)),
        ("/plugins/0/name", json!("normalize-path")),
        ("/plugins/0/rows_in", json!(4)),
        ("/plugins/0/rejected", json!(0)),
        ("/samples", json!([])),
    ] {
        assert_eq!(
            report.pointer(pointer),
            Some(&expected),
            "{pointer}: {report:#}"
        );
    }
    for number in [
        "/elapsed",
        "/bytes",
        "/stages/read",
        "/stages/parse",
        "/stages/plugins",
        "/stages/insert",
        "/plugins/0/busy",
        "/plugins/0/peak_memory_bytes",
    ] {
        assert!(
            report.pointer(number).is_some_and(Value::is_number),
            "{number}"
        );
    }
}

#[test]
fn a_query_answers_as_table_json_or_csv() {
    let project = filled();
    let sql = "SELECT cs_method, toUInt8(count()) AS n FROM cloudfront_logs GROUP BY 1 ORDER BY 1";
    let query = |format: &[&str]| {
        project
            .canopy(&[&["query", sql], format].concat())
            .exits(0)
            .stdout
    };
    assert_eq!(
        query(&["--json"]),
        "{\"cs_method\":\"GET\",\"n\":3}\n{\"cs_method\":\"POST\",\"n\":1}\n"
    );
    assert_eq!(
        query(&["--csv"]),
        "\"cs_method\",\"n\"\n\"GET\",3\n\"POST\",1\n"
    );
    let table = query(&[]);
    assert!(
        table.contains("cs_method") && table.contains("│ GET"),
        "{table}"
    );
    project
        .canopy(&["query", "SELECT nothing FROM cloudfront_logs"])
        .exits(1)
        .says(&["ClickHouse", "nothing"]);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let project = filled();
    for args in [
        &["query", "SELECT * FROM numbers(2000000)"][..],
        &["generate", "--lines", "100000"],
        &["schema", "show"],
        &["completions", "bash"],
        &["run", fixture("standard-33.log").to_str().unwrap()],
    ] {
        let mut child = project.command(args).spawn().unwrap();
        // Some print little: it must be gone before they do.
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
    }
}

#[test]
fn the_schema_is_shown_applied_once_and_left_alone_after() {
    let project = Project::new();
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let shown = project.canopy(&["schema", "show"]).exits(0).stdout;
    for words in [
        "CREATE TABLE IF NOT EXISTS",
        "cloudfront_logs",
        "ledger",
        "path_template",
    ] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    assert!(project.has_no_store());
    let first = project.canopy(&["schema", "apply"]).exits(0).stdout;
    assert!(
        first.contains("cloudfront_logs") && first.contains("path_template"),
        "{first}"
    );
    let second = project.canopy(&["schema", "apply"]).exits(0).stdout;
    assert_eq!(second, "the schema is up to date\n");
}

#[test]
fn a_table_dropped_without_its_ledger_is_told() {
    let project = filled();
    let path = fixture("real-time-all.log");
    let run = || project.run(&[path.to_str().unwrap()]);
    let drop_table = |name: &str| {
        let sql = format!("DROP TABLE {name} SYNC");
        project.canopy(&["query", &sql]).exits(0);
    };
    drop_table("cloudfront_logs");
    // What the ledger knows would count as stored and be nowhere.
    run().exits(1).says(&[
        "canopy.cloudfront_logs is missing",
        "4 records",
        "DROP TABLE canopy.ledger",
    ]);
    project.canopy(&["schema", "apply"]).exits(1);
    drop_table("ledger");
    assert_eq!(run().exits(0).books()[1], 4);
    assert_eq!(project.stored().0, 4);
}

#[test]
fn the_demo_leaves_another_project_alone() {
    let project = Project::new();
    let mine = "# mine\n[logs]\nsampling-rate = 10\n";
    project.write("canopy.toml", mine);
    project
        .canopy(&["demo", "--folder", ".", "--lines", "10"])
        .exits(1)
        .says(&["canopy.toml", "--folder"]);
    assert_eq!(project.read("canopy.toml"), mine);
    assert!(!project.path("city.mmdb").exists());
}

#[test]
fn check_names_everything_it_looked_at() {
    let project = filled();
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    let ran = project.canopy(&["check"]).exits(0);
    for words in [
        "ok  settings    canopy.toml",
        "ok  logs        71",
        "ok  plugin      normalize-path 0.1.0: reads cs_uri_stem; makes path_template",
        "ok  clickhouse",
    ] {
        assert!(ran.stdout.contains(words), "no `{words}` in {}", ran.stdout);
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let project = Project::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = project.canopy(&["completions", shell]).exits(0);
        assert!(
            ran.stdout.contains("canopy") && ran.stdout.contains("generate"),
            "{shell}"
        );
    }
}

#[test]
fn the_help_of_every_command_is_as_checked_in() {
    let project = Project::new();
    let mut help = String::new();
    for command in [
        &[][..],
        &["demo"],
        &["run"],
        &["query"],
        &["generate"],
        &["plugin"],
        &["plugin", "build"],
        &["plugin", "test"],
        &["plugin", "add"],
        &["plugin", "remove"],
        &["plugin", "list"],
        &["plugin", "info"],
        &["check"],
        &["schema"],
        &["schema", "apply"],
        &["schema", "show"],
        &["engine"],
        &["engine", "fetch"],
        &["engine", "serve"],
        &["completions"],
    ] {
        let ran = project.canopy(&[command, &["--help"]].concat()).exits(0);
        help.push_str(&format!(
            "$ canopy {} --help\n{}\n",
            command.join(" "),
            ran.stdout
        ));
    }
    insta::assert_snapshot!("help", help);
}
