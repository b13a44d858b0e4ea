//! Generated traffic: always the same where it should be, in time where it is
//! paced, and what the demo and the measure of memory run on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::Project;

#[test]
fn the_same_seed_and_start_make_the_same_lines() {
    let project = Project::new();
    let lines = |seed: &str| {
        project
            .canopy(&[
                "generate",
                "--lines",
                "500",
                "--seed",
                seed,
                "--start",
                "1764018000",
            ])
            .exits(0)
            .stdout
    };
    assert_eq!(lines("7"), lines("7"));
    assert_ne!(lines("7"), lines("8"));
    assert_eq!(lines("7").lines().count(), 500);
    // The same as a gzipped file.
    project
        .canopy(&[
            "generate",
            "--lines",
            "500",
            "--seed",
            "7",
            "--start",
            "1764018000",
            "--out",
            "a.gz",
        ])
        .exits(0)
        .says(&["500 lines"]);
    let mut text = String::new();
    let file = std::fs::File::open(project.path("a.gz")).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(file), &mut text).unwrap();
    assert_eq!(text, lines("7"));
}

#[test]
fn generated_lines_of_every_format_go_in() {
    let project = Project::new();
    for format in ["real-time", "standard", "json"] {
        project
            .canopy(&[
                "generate",
                "--lines",
                "300",
                "--seed",
                "3",
                "--start",
                "1764018000",
                "--format",
                format,
                "--out",
                format,
            ])
            .exits(0);
        let ran = project.run(&[format]).exits(0);
        assert_eq!(ran.books(), [300, 300, 0, 0]);
        assert_eq!(ran.json()["sources"][0]["format"], format);
    }
    assert_eq!(project.stored(), (900, 300));
}

#[test]
fn an_incident_shows_in_what_is_stored() {
    let project = Project::new();
    project
        .canopy(&[
            "generate",
            "--lines",
            "20000",
            "--seed",
            "3",
            "--start",
            "1764018000",
            "--incident",
            "error-burst@40%+20%",
            "--out",
            "a.log",
        ])
        .exits(0);
    project.run(&["a.log"]).exits(0);
    let rows = project.query(
        "SELECT timestamp BETWEEN toDateTime64(1764018000 + 1440, 3) AND toDateTime64(1764018000 + 2160, 3) AS during,
                avg(sc_status >= 500) AS errors
         FROM cloudfront_logs GROUP BY 1 ORDER BY 1",
    );
    let (before, during) = (&rows[0]["errors"], &rows[1]["errors"]);
    assert!(
        during.as_f64().unwrap() > 5.0 * before.as_f64().unwrap(),
        "{rows:?}"
    );
}

#[test]
fn traffic_at_a_rate_takes_its_time_and_goes_in_while_it_comes() {
    let project = Project::new();
    let started = Instant::now();
    let mut generator = project
        .command(["generate", "--rate", "400", "--for", "3s", "--seed", "5"])
        .spawn()
        .unwrap();
    let output = project
        .command(["run", "--json", "-"])
        .stdin(Stdio::from(generator.stdout.take().unwrap()))
        .output()
        .unwrap();
    assert!(generator.wait().unwrap().success());
    assert!(
        started.elapsed() >= Duration::from_millis(2_800),
        "{:?}",
        started.elapsed()
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let inserted = report["books"]["inserted"].as_u64().unwrap();
    assert!((1_000..=1_400).contains(&inserted), "{inserted}");
    assert_eq!(project.stored(), (inserted, inserted));
}

#[test]
fn the_demo_runs_and_a_second_one_adds_nothing() {
    let project = Project::new();
    let demo = || {
        project
            .canopy(&["demo", "--lines", "20000"])
            .exits(0)
            .stdout
    };
    let first = demo();
    for words in [
        "records read",
        "the books",
        "balance: 20,000 = ",
        "normalize-path",
        "redact",
        "cache hits",
        "time to first byte",
        "most 5xx",
        "/",
    ] {
        assert!(first.contains(words), "no `{words}` in {first}");
    }
    let second = demo();
    assert!(second.contains("already read"), "{second}");
    let requests = |text: &str| {
        let line = text
            .lines()
            .find(|line| line.starts_with("requests"))
            .unwrap()
            .to_owned();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!(requests(&first), requests(&second));
    // Its database is an ordinary one.
    let ran = project
        .canopy(&["query", "--json", "--config", "canopy-demo/canopy.toml", "SELECT count() > 19000 AS many, uniqExact(edge_city) > 3 AS cities, countIf(path_template != '') > 0 AS templates FROM cloudfront_logs"])
        .exits(0);
    assert_eq!(ran.json(), json!({"many": 1, "cities": 1, "templates": 1}));
    let engine = std::fs::read(project.path("canopy-demo/canopy-data/engine.json")).unwrap();
    let engine: Value = serde_json::from_slice(&engine).unwrap();
    let pid = rustix::process::Pid::from_raw(engine["pid"].as_i64().unwrap() as i32).unwrap();
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let project = Project::new();
    project
        .canopy(&["plugin", "add", "normalize-path"])
        .exits(0);
    project.canopy(&["plugin", "add", "redact"]).exits(0);
    let peak = |lines: u64| {
        let name = format!("{lines}.log");
        let lines = lines.to_string();
        project
            .canopy(&[
                "generate", "--lines", &lines, "--seed", &lines, "--out", &name,
            ])
            .exits(0);
        peak_memory(project.command(["run", "--json", &name]))
    };
    let (little, much) = (peak(40_000), peak(160_000));
    println!("{little} KiB for 40,000 lines, {much} KiB for 160,000");
    assert!(much < 512 * 1024, "{much} KiB");
    assert!(much < little * 3 / 2, "{little} KiB became {much} KiB");
}

/// Runs a command to its end; returns the most memory it had, in KiB.
fn peak_memory(mut command: std::process::Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        if let Ok(file) = std::fs::File::open(&status) {
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                if let Some(rest) = line.strip_prefix("VmHWM:") {
                    let kib = rest.trim().trim_end_matches(" kB").parse().unwrap_or(0);
                    peak = peak.max(kib);
                }
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(child.wait().unwrap().success());
    peak
}
