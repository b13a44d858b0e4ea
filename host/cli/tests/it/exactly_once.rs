//! Every record is stored once, whatever name, form or order it comes in, and
//! however often.

use crate::support::{Project, Running, gzip, set_aside, wait_for};
use rustix::process::Signal;

/// Lines enough for two chunks and a part.
const LINES: u64 = 80_000;

#[test]
fn the_same_file_again_adds_nothing() {
    let project = Project::short_lines();
    project.generate("a.log", LINES, 1);
    assert_eq!(project.run(&["a.log"]).exits(0).books()[1], LINES);
    let again = project.run(&["a.log"]).exits(0);
    assert_eq!((again.already()[1], again.books()), (LINES, [0; 4]));
    let twice = project.run(&["a.log", "a.log"]).exits(0);
    assert_eq!((twice.already()[1], twice.books()), (2 * LINES, [0; 4]));
    assert_eq!(project.stored(), (LINES, LINES));
}

#[test]
fn the_same_content_under_another_name_or_gzipped_or_piped_adds_nothing() {
    let project = Project::short_lines();
    project.generate("a.log", LINES, 1);
    project.run(&["a.log"]).exits(0);
    let content = std::fs::read(project.path("a.log")).unwrap();
    std::fs::rename(project.path("a.log"), project.path("b.log")).unwrap();
    project.write("c.log.gz", gzip(&content));
    for name in ["b.log", "c.log.gz"] {
        let again = project.run(&[name]).exits(0);
        assert_eq!(
            (again.already()[1], again.books()),
            (LINES, [0; 4]),
            "{name}"
        );
    }
    let piped = project.piped(&["run", "--json", "-"], &content).exits(0);
    assert_eq!((piped.already()[1], piped.books()), (LINES, [0; 4]));
    assert_eq!(project.stored(), (LINES, LINES));
}

#[test]
fn what_was_piped_is_known_as_a_file_too() {
    let project = Project::short_lines();
    project.generate("a.log", LINES, 1);
    let content = std::fs::read(project.path("a.log")).unwrap();
    project.piped(&["run", "-"], &content).exits(0);
    let again = project.run(&["a.log"]).exits(0);
    assert_eq!((again.already()[1], again.books()), (LINES, [0; 4]));
    assert_eq!(project.stored(), (LINES, LINES));
}

#[test]
fn a_file_that_grew_adds_what_it_grew_by() {
    let project = Project::short_lines();
    project.generate("whole.log", LINES, 1);
    let content = std::fs::read(project.path("whole.log")).unwrap();
    let line_starts: Vec<usize> = memchr::memchr_iter(b'\n', &content)
        .map(|end| end + 1)
        .collect();
    project.write("a.log", "");
    let (mut written, mut stored) = (0, 0);
    for lines in [1, 2, 1000, 40_000, 70_000, LINES as usize] {
        let end = line_starts[lines - 1];
        project.append("a.log", &content[written..end]);
        written = end;
        let ran = project.run(&["a.log"]).exits(0);
        assert_eq!(ran.already()[1], stored);
        assert_eq!(ran.books()[1], lines as u64 - stored);
        stored = lines as u64;
    }
    assert_eq!(project.stored(), (LINES, LINES));
}

#[test]
fn a_last_line_that_lacked_its_end_is_not_taken_twice_when_it_gets_it() {
    let project = Project::short_lines();
    project.generate("whole.log", 10, 1);
    let content = std::fs::read(project.path("whole.log")).unwrap();
    project.write("a.log", &content[..content.len() - 1]);
    assert_eq!(project.run(&["a.log"]).exits(0).books()[1], 10);
    project.append("a.log", b"\n");
    let ran = project.run(&["a.log"]).exits(0);
    assert_eq!((ran.already()[1], ran.books()), (10, [0; 4]));
    project.generate("more.log", 5, 2);
    project.append("a.log", std::fs::read(project.path("more.log")).unwrap());
    assert_eq!(project.run(&["a.log"]).exits(0).books()[1], 5);
    assert_eq!(project.stored(), (15, 15));
}

#[test]
fn a_line_caught_half_written_is_taken_whole_when_it_is_there() {
    let project = Project::short_lines();
    project.generate("whole.log", 100, 1);
    let content = std::fs::read(project.path("whole.log")).unwrap();
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', &content).collect();
    // In the middle of the 51st line.
    let middle = (ends[49] + ends[50]) / 2;
    project.write("a.log", &content[..middle]);
    let ran = project.run(&["a.log"]).exits(3);
    assert_eq!(ran.books(), [51, 50, 0, 1]);
    assert_eq!(project.set_aside()[0].raw, content[ends[49] + 1..middle]);
    // Nothing new: nothing changes, and the half line is tried again.
    assert_eq!(project.run(&["a.log"]).exits(3).books(), [1, 0, 0, 1]);

    project.append("a.log", &content[middle..]);
    let ran = project.run(&["a.log"]).exits(0);
    assert_eq!((ran.already()[1], ran.books()), (50, [50, 50, 0, 0]));
    assert_eq!(project.stored(), (100, 100));
    assert_eq!(
        project.set_aside(),
        [],
        "the half line is no longer set aside"
    );
}

#[test]
fn a_file_caught_in_its_first_line_is_taken_whole_when_it_is_there() {
    let project = Project::short_lines();
    project.generate("whole.log", 3, 1);
    let content = std::fs::read(project.path("whole.log")).unwrap();
    project.write("a.log", &content[..40]);
    project.run(&["a.log"]).exits(3);
    project.append("a.log", &content[40..]);
    assert_eq!(project.run(&["a.log"]).exits(0).books(), [3, 3, 0, 0]);
    assert_eq!(project.stored(), (3, 3));
}

#[test]
fn lines_set_aside_for_a_wrong_setting_go_in_once_it_is_mended() {
    let project = Project::new();
    project.write(
        "canopy.toml",
        "[logs]\nfields = [\"timestamp\", \"c-ip\"]\n",
    );
    project.write("a.log", "1764018001.5\tx\n1764018002.5\ty\n");
    project.run(&["a.log"]).exits(3);
    assert_eq!(project.set_aside().len(), 2);
    project.write(
        "canopy.toml",
        "[logs]\nfields = [\"timestamp\", \"x-edge-request-id\"]\n",
    );
    assert_eq!(project.run(&["a.log"]).exits(0).books(), [2, 2, 0, 0]);
    assert_eq!(project.stored(), (2, 2));
    assert_eq!(project.set_aside(), []);
}

#[test]
fn following_takes_in_what_is_appended_and_goes_on_after_rotation() {
    let project = Project::short_lines();
    project.generate("first.log", 1_000, 1);
    project.generate("second.log", 500, 2);
    project.generate("rotated.log", 700, 3);
    let read = |name: &str| std::fs::read(project.path(name)).unwrap();
    project.write("access.log", read("first.log"));
    let follower = project.start(&["run", "--json", "--follow", "access.log"]);
    wait_for("the first lines", || is_stored(&project, 1_000));

    // A line is written in two goes: it is taken when it is whole.
    let (more, cut) = (read("second.log"), read("second.log").len() - 30);
    project.append("access.log", &more[..cut]);
    wait_for("the appended lines but one", || is_stored(&project, 1_499));
    project.append("access.log", &more[cut..]);
    wait_for("the last of them", || is_stored(&project, 1_500));

    std::fs::rename(project.path("access.log"), project.path("access.log.1")).unwrap();
    project.write("access.log", read("rotated.log"));
    wait_for("the new file's lines", || is_stored(&project, 2_200));

    follower.signal(Signal::INT);
    let ran = follower.wait().exits(0);
    assert_eq!(ran.books(), [2_200, 2_200, 0, 0]);
    assert_eq!(ran.json()["sources"].as_array().unwrap().len(), 2);

    // Both files are known now.
    let again = project.run(&["access.log", "access.log.1"]).exits(0);
    assert_eq!((again.already()[1], again.books()), (2_200, [0; 4]));
    assert_eq!(project.stored(), (2_200, 2_200));
}

fn is_stored(project: &Project, rows: u64) -> bool {
    let ran = project.canopy(&[
        "query",
        "--json",
        "SELECT toUInt32(count()) AS n FROM cloudfront_logs",
    ]);
    ran.status == Some(0) && ran.json()["n"].as_u64() == Some(rows)
}

#[test]
fn a_pipe_that_never_pauses_is_stored_while_it_runs() {
    let project = Project::short_lines();
    project.generate("a.log", 400, 1);
    let content = std::fs::read(project.path("a.log")).unwrap();
    let mut command = project.command(["run", "--json", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let running = Running::new(child);
    let writer = std::thread::spawn(move || {
        for line in content.split_inclusive(|byte| *byte == b'\n') {
            std::io::Write::write_all(&mut stdin, line).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    wait_for("a part of them", || {
        let ran = project.canopy(&[
            "query",
            "--json",
            "SELECT toUInt32(count()) AS n FROM cloudfront_logs",
        ]);
        ran.status == Some(0) && ran.json()["n"].as_u64().is_some_and(|n| n > 0)
    });
    assert!(!writer.is_finished(), "the pipe was still open");
    writer.join().unwrap();
    assert_eq!(running.wait().exits(0).books(), [400, 400, 0, 0]);
    assert_eq!(project.stored(), (400, 400));
}

#[test]
fn two_runs_at_once_share_a_store() {
    let project = Project::short_lines();
    project.generate("a.log", LINES, 1);
    project.generate("b.log", LINES, 2);
    let both = ["a.log", "b.log"].map(|name| project.start(&["run", "--json", name]));
    for run in both {
        assert_eq!(run.wait().exits(0).books()[1], LINES);
    }
    assert_eq!(project.stored(), (2 * LINES, 2 * LINES));
}

#[test]
fn two_runs_of_the_same_file_at_once_store_it_once() {
    let project = Project::short_lines();
    let name = project.generate("a.log", LINES, 1);
    let both = [(); 2].map(|()| project.start(&["run", "--json", &name]));
    for run in both {
        run.wait().exits(0);
    }
    assert_eq!(project.stored(), (LINES, LINES));
    assert_eq!(set_aside(&project.path("canopy-data/quarantine")), []);
}

#[test]
fn a_damaged_line_stored_by_itself_does_not_move_the_cuts_after_it() {
    let project = Project::short_lines();
    project.generate("good.log", 30, 1);
    let good = std::fs::read(project.path("good.log")).unwrap();
    let half = memchr::memchr_iter(b'\n', &good).nth(9).unwrap() + 1;
    let parts = [&good[..half], b"damaged\n", &good[half..]];
    let content = parts.concat();

    let mut command = project.command(["run", "--json", "-"]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let running = Running::new(child);
    for (part, kept) in parts.iter().zip([(10, 0), (10, 1), (30, 1)]) {
        std::io::Write::write_all(&mut stdin, part).unwrap();
        wait_for("the part", || {
            is_stored(&project, kept.0) && project.set_aside().len() == kept.1
        });
    }
    drop(stdin);
    assert_eq!(running.wait().exits(3).books(), [31, 30, 0, 1]);

    project.write("a.log", content);
    let again = project.run(&["a.log"]).exits(3);
    assert_eq!((again.already()[1], again.books()), (30, [1, 0, 0, 1]));
    assert_eq!(project.stored(), (30, 30));
    assert_eq!(project.set_aside().len(), 1);
}
