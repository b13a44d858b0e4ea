//! Whatever is killed, and whenever: the run after it makes the books whole.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::support::{Project, wait_for};

/// How many lines are killed over; the issue's own measure is
/// `CANOPY_TEST_LINES=1000000`.
fn lines() -> u64 {
    match std::env::var("CANOPY_TEST_LINES") {
        Ok(lines) => lines.parse().expect("CANOPY_TEST_LINES is a number"),
        Err(_) => 120_000,
    }
}

/// A file of lines of which some are damaged; returns how many.
fn damaged_file(project: &Project, lines: u64) -> u64 {
    let ran = project
        .canopy(&[
            "generate",
            "--lines",
            &lines.to_string(),
            "--seed",
            "11",
            "--start",
            "1764018000",
            "--fields",
            crate::support::FIELDS,
            "--malformed",
            "0.001",
            "--out",
            "a.log",
        ])
        .exits(0);
    let words: Vec<&str> = ran.stderr.split_whitespace().collect();
    let before = words.iter().position(|word| *word == "of").unwrap();
    words[before - 1].replace(',', "").parse().unwrap()
}

/// Checks that every line is stored or set aside, once.
#[track_caller]
fn check_whole(project: &Project, lines: u64, damaged: u64) {
    assert_eq!(project.stored(), (lines - damaged, lines - damaged));
    let set_aside = project.set_aside();
    assert_eq!(set_aside.len() as u64, damaged);
    let content = std::fs::read(project.path("a.log")).unwrap();
    let content: Vec<&[u8]> = content.split(|byte| *byte == b'\n').collect();
    for record in set_aside {
        assert_eq!(record.raw, content[record.position as usize - 1]);
    }
}

#[test]
fn a_run_killed_at_any_moment_is_completed_by_the_next() {
    let seed = std::env::var("CANOPY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("CANOPY_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let project = Project::short_lines();
    let lines = lines();
    let damaged = damaged_file(&project, lines);

    // How long it takes undisturbed, with a store of its own.
    let started = Instant::now();
    project.run(&["--store", "undisturbed", "a.log"]).exits(3);
    let undisturbed = started.elapsed();
    project.canopy(&["query", "SELECT 1"]);

    let mut killed = 0;
    for _ in 0..8 {
        let mut run = project.start(&["run", "--json", "a.log"]);
        std::thread::sleep(undisturbed.mul_f64(random.f64() * 0.6));
        if run.is_running() {
            killed += 1;
        }
        run.signal(Signal::KILL);
        run.wait();
    }
    assert!(killed > 0, "every run had ended before it was killed");
    let last = project.run(&["a.log"]);
    let [records, ..] = last.already();
    assert_eq!(records + last.books()[0], lines);
    check_whole(&project, lines, damaged);
}

#[test]
fn a_run_told_to_stop_at_any_moment_cuts_nothing_short() {
    let mut random = fastrand::Rng::with_seed(7);
    let project = Project::short_lines();
    let lines = lines();
    project.generate("a.log", lines, 11);
    let content = std::fs::read(project.path("a.log")).unwrap();
    project.write("a.log.gz", crate::support::gzip(&content));
    // The first run makes the store, which takes longer than the rest.
    project.write("empty", "");
    project.run(&["empty"]).exits(0);
    for _ in 0..20 {
        let run = project.start(&["run", "--json", "a.log.gz"]);
        std::thread::sleep(Duration::from_millis(20 + random.u64(..230)));
        run.signal(Signal::TERM);
        let ran = run.wait();
        // It had not begun to listen, or was stopped, or had done all it could.
        match ran.status {
            None => {}
            Some(1) => assert_eq!(ran.json()["stopped"], true),
            _ => assert_eq!(ran.exits(0).json()["stopped"], false),
        }
    }
    let last = project.run(&["a.log.gz"]).exits(0);
    assert_eq!(last.already()[0] + last.books()[0], lines);
    assert_eq!(project.stored(), (lines, lines));
    assert_eq!(project.set_aside(), []);
}

#[test]
fn an_engine_killed_while_it_is_filled_is_started_again_by_the_run() {
    let project = Project::short_lines();
    let lines = lines();
    let damaged = damaged_file(&project, lines);
    let mut run = project.start(&["run", "--json", "a.log"]);
    let mut killed = Vec::new();
    while run.is_running() && killed.len() < 3 {
        let engine = project.engine().filter(|engine| !killed.contains(engine));
        if let Some(engine) = engine {
            std::thread::sleep(Duration::from_millis(250));
            let _ = kill_process(engine, Signal::KILL);
            killed.push(engine);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(!killed.is_empty());
    let ran = run.wait().exits(3);
    assert_eq!(ran.books(), [lines, lines - damaged, 0, damaged]);
    check_whole(&project, lines, damaged);
}

#[test]
fn run_and_engine_killed_together_lose_nothing() {
    let project = Project::short_lines();
    let lines = lines();
    let damaged = damaged_file(&project, lines);
    for pause in [300, 700] {
        let run = project.start(&["run", "--json", "a.log"]);
        std::thread::sleep(Duration::from_millis(pause));
        if let Some(engine) = project.engine() {
            let _ = kill_process(engine, Signal::KILL);
        }
        run.signal(Signal::KILL);
        run.wait();
    }
    let last = project.run(&["a.log"]);
    let [records, ..] = last.already();
    assert_eq!(records + last.books()[0], lines);
    check_whole(&project, lines, damaged);
}

#[test]
fn an_outage_of_a_server_is_waited_out() {
    let project = Project::short_lines();
    let lines = lines();
    let damaged = damaged_file(&project, lines);
    let serve = |listen: &str| {
        project.start(&[
            "engine",
            "serve",
            "--store",
            "canopy-data",
            "--password",
            "secret",
            "--listen",
            listen,
        ])
    };
    let server = serve("127.0.0.1:0");
    wait_for("the server", || project.address().is_some());
    let address = project.address().unwrap();
    let url = format!("http://{address}");
    let to = [
        "--clickhouse",
        &url,
        "--user",
        "canopy",
        "--password",
        "secret",
    ];
    let mut run = project.start(
        &[
            &[
                "run",
                "--json",
                "a.log",
                "--quarantine",
                "canopy-data/quarantine",
            ],
            &to[..],
        ]
        .concat(),
    );
    std::thread::sleep(Duration::from_millis(400));
    // Killed, and gone for a while.
    drop(server);
    std::thread::sleep(Duration::from_millis(700));
    let was_waiting = run.is_running();
    let _server = serve(&address);
    let ran = run.wait();
    if was_waiting {
        assert_eq!(ran.exits(3).books(), [lines, lines - damaged, 0, damaged]);
    }
    let count = || {
        let sql = "SELECT toUInt32(count()) AS n FROM cloudfront_logs";
        project.canopy(&[&["query", "--json", sql], &to[..]].concat())
    };
    wait_for("the server's second start", || count().status == Some(0));
    assert_eq!(count().json()["n"], lines - damaged);
}

#[test]
fn an_interrupt_ends_a_run_in_good_order() {
    for signal in [Signal::INT, Signal::TERM] {
        let project = Project::short_lines();
        let lines = lines();
        let damaged = damaged_file(&project, lines);
        let run = project.start(&["run", "--json", "a.log"]);
        wait_for("the first rows", || {
            let ran = project.canopy(&[
                "query",
                "--json",
                "SELECT toUInt8(count() > 0) AS yes FROM cloudfront_logs",
            ]);
            ran.status == Some(0) && ran.json()["yes"] == 1
        });
        run.signal(signal);
        let ran = run.wait();
        let report = ran.json();
        let first = ran.books();
        if report["stopped"] == true {
            // Not all of it is stored, so the status is not that of success.
            assert_eq!(ran.status, Some(1), "{ran:#?}");
            assert!(ran.stderr.contains("stopping"), "{ran:#?}");
        }
        assert_eq!(
            project.stored().0,
            first[1],
            "the summary tells what is stored"
        );
        let rest = project.run(&["a.log"]);
        assert_eq!(rest.already()[0] + rest.books()[0], lines);
        check_whole(&project, lines, damaged);
    }
}

#[test]
fn settings_changed_after_a_run_that_ended_unsure_lose_no_record() {
    let project = Project::new();
    let fields = |second: &str| format!("[logs]\nfields = [\"timestamp\", {second:?}]\n");
    project.write("canopy.toml", fields("sc-status"));
    project.write("a.log", "1764018001.5\t200\n1764018002.5\tbad\n");
    project.run(&["a.log"]).exits(3);
    // As a run leaves it that ends after the insert, before it can say so.
    project
        .canopy(&[
            "query",
            "ALTER TABLE ledger DELETE WHERE state = 'done' SETTINGS mutations_sync = 1",
        ])
        .exits(0);
    // Now both lines can be read, but the chunk counts as stored.
    project.write("canopy.toml", fields("x-edge-request-id"));
    project
        .run(&["a.log"])
        .exits(0)
        .says(&["a.log from line 1 on", "kept in"]);
    assert_eq!(project.stored().0, 1);
    assert_eq!(project.set_aside()[0].raw, b"1764018002.5\tbad");
}
