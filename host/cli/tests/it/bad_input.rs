//! Bad input never stops the good: good lines go in, bad ones are set aside
//! whole, byte for byte, and the numbers add up.

use crate::support::{FIELDS, Project, Ran, fixture, gzip};

/// A good line of the fields of [`FIELDS`]; `n` makes it one of its own.
fn good(n: usize) -> Vec<u8> {
    format!(
        "1764018001.25{}\t192.0.2.7\t200\t512\tGET\t/a/{n}\tFRA56-P1\tid-{n}",
        n % 10
    )
    .into_bytes()
}

/// Runs a file of a good line, these ones, and another good line, and checks
/// that the two are stored and the others set aside. Returns the reasons.
#[track_caller]
fn check(bad: &[&[u8]]) -> Vec<String> {
    let project = Project::short_lines();
    let mut lines = vec![good(1)];
    lines.extend(bad.iter().map(|line| line.to_vec()));
    lines.push(good(2));
    project.write("a.log", [&lines.join(&b'\n')[..], b"\n"].concat());
    let ran = project.run(&["a.log"]).exits(3);
    let bad_count = bad.len() as u64;
    assert_eq!(ran.books(), [2 + bad_count, 2, 0, bad_count]);
    assert_eq!(project.stored(), (2, 2));
    let set_aside = project.set_aside();
    assert_eq!(set_aside.len(), bad.len());
    for (index, (record, line)) in set_aside.iter().zip(bad).enumerate() {
        assert_eq!(record.raw, *line);
        assert_eq!(record.position, index as u64 + 2);
        assert_eq!((&*record.source, &*record.stage), ("a.log", "parse"));
    }
    set_aside.into_iter().map(|record| record.reason).collect()
}

#[test]
fn lines_with_too_few_or_too_many_fields_are_set_aside() {
    let reasons = check(&[
        b"1764018001.5\t192.0.2.7\t200",
        &[&good(3)[..], b"\tmore"].concat(),
    ]);
    assert!(
        reasons[0].starts_with("3 fields found, 8 expected"),
        "{reasons:?}"
    );
    assert!(
        reasons[1].starts_with("9 fields found, 8 expected"),
        "{reasons:?}"
    );
}

#[test]
fn lines_with_bad_values_are_set_aside_and_the_field_is_named() {
    let reasons = check(&[
        b"1764018001.5\t192.0.2.7\t2x0\t512\tGET\t/a\tFRA56-P1\tid",
        b"1764018001.5\t192.0.2.777\t200\t512\tGET\t/a\tFRA56-P1\tid",
        b"yesterday\t192.0.2.7\t200\t512\tGET\t/a\tFRA56-P1\tid",
        b"1764018001.5\t192.0.2.7\t200\t-5\tGET\t/a\tFRA56-P1\tid",
    ]);
    for (reason, words) in reasons.iter().zip([
        ["sc-status", "2x0"],
        ["c-ip", "192.0.2.777"],
        ["timestamp", "yesterday"],
        ["sc-bytes", "-5"],
    ]) {
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    }
}

#[test]
fn lines_that_are_not_text_are_set_aside_byte_for_byte() {
    let reasons = check(&[
        b"1764018001.5\t192.0.2.7\t200\t512\tGET\t/\xc3\x28\xff\tFRA56-P1\tid",
        b"1764018001.5\t192.0.2.7\t200\t512\tGET\t/a\0\0\0\tFRA56-P1\tid",
        b"\0\0\0\0\0\0",
        b"\xff\xfe\xfd\x80 \x01\x02\x1b[2J\x7f",
    ]);
    assert!(reasons[0].contains("UTF-8"), "{reasons:?}");
    assert!(reasons[1].contains("NUL"), "{reasons:?}");
}

#[test]
fn a_line_of_ten_megabytes_is_set_aside_whole() {
    let long = vec![b'x'; 10_000_000];
    let reasons = check(&[&long]);
    // The reason does not repeat the line.
    assert!(reasons[0].len() < 500, "{}", reasons[0].len());
}

#[test]
fn a_line_without_end_in_sight_is_set_aside_in_pieces_that_make_it_up() {
    let project = Project::short_lines();
    let length = canopy_pipeline::chunk::MAX_LINE_BYTES + 1_000_000;
    let long: Vec<u8> = (0..length).map(|n| b'a' + (n % 23) as u8).collect();
    project.write(
        "a.log",
        [&good(1)[..], b"\n", &long, b"\n", &good(2), b"\n"].concat(),
    );
    let ran = project.run(&["a.log"]).exits(3);
    assert_eq!(ran.books(), [4, 2, 0, 2]);
    let mut pieces = project.set_aside();
    pieces.sort_by_key(|piece| !piece.reason.starts_with("a piece"));
    let whole: Vec<u8> = pieces.iter().flat_map(|piece| piece.raw.clone()).collect();
    assert!(whole == long, "the pieces are the line");
    assert!(pieces.iter().all(|piece| piece.position == 2));
    assert_eq!(project.stored(), (2, 2));
}

#[test]
fn the_damaged_sample_is_sorted_into_good_and_bad() {
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
    let path = fixture("real-time-44-damaged.log");
    let ran = project.run(&[path.to_str().unwrap()]).exits(3);
    assert_eq!(ran.books(), [11, 3, 0, 8]);
    assert_eq!(project.stored().0, 3);
    let text = std::fs::read(&path).unwrap();
    let lines: Vec<&[u8]> = text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .collect();
    for record in project.set_aside() {
        assert_eq!(record.raw, lines[record.position as usize - 1]);
    }
}

#[test]
fn standard_logs_and_json_are_treated_the_same() {
    let project = Project::new();
    let standard = std::fs::read_to_string(fixture("standard-33.log")).unwrap();
    project.write(
        "standard.log",
        format!("{standard}2025-11-24\tnot a time\n#nonsense\njunk\n"),
    );
    let ran = project.run(&["standard.log"]).exits(3);
    assert_eq!(ran.books(), [6, 4, 0, 2]);

    let json = std::fs::read_to_string(fixture("standard-v2.json")).unwrap();
    project.write(
        "v2.json",
        format!("{json}{{\"date\":\n[]\n{{}}\n{{\"sc-status\":\"many\"}}\n"),
    );
    let ran = project.run(&["v2.json"]).exits(3);
    assert_eq!(ran.books(), [8, 4, 0, 4]);
    let raw: Vec<Vec<u8>> = project
        .set_aside()
        .into_iter()
        .map(|record| record.raw)
        .collect();
    for line in ["{\"date\":", "[]", "{}", "{\"sc-status\":\"many\"}", "junk"] {
        assert!(raw.contains(&line.as_bytes().to_vec()), "{line}");
    }
}

#[test]
fn gzip_that_breaks_off_gives_what_it_has_and_the_whole_file_the_rest() {
    let project = Project::short_lines();
    project.generate("a.log", 20_000, 5);
    let content = std::fs::read(project.path("a.log")).unwrap();
    let whole = gzip(&content);
    project.write("cut.log.gz", &whole[..whole.len() / 2]);
    // The file was not read to its end, which no status of success may hide.
    let ran = project
        .run(&["cut.log.gz"])
        .exits(1)
        .says(&["cut.log.gz", "ends early"]);
    let [records, inserted, _, quarantined] = ran.books();
    assert!(
        inserted > 1_000 && quarantined <= 1,
        "{records} {inserted} {quarantined}"
    );
    assert_eq!(ran.json()["sources"][0]["broken"], true);
    assert_eq!(project.stored().0, inserted);

    project.write("cut.log.gz", whole);
    let ran = project.run(&["cut.log.gz"]).exits(0);
    assert_eq!(ran.already()[1] + ran.books()[1], 20_000);
    assert_eq!(project.stored(), (20_000, 20_000));
    assert_eq!(
        project.set_aside(),
        [],
        "the line at the break came in whole"
    );
}

#[test]
fn gzip_damaged_in_its_middle_says_so_and_the_next_file_is_read() {
    let project = Project::short_lines();
    project.generate("a.log", 20_000, 5);
    project.generate("b.log", 100, 6);
    let mut damaged = gzip(&std::fs::read(project.path("a.log")).unwrap());
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0x55);
    project.write("a.log.gz", damaged);
    let ran = project
        .run(&["a.log.gz", "b.log"])
        .exits(1)
        .says(&["a.log.gz", "gzip"]);
    let sources = &ran.json()["sources"];
    assert_eq!(sources[1]["books"]["inserted"], 100);
    assert_eq!(project.stored().0, ran.books()[1]);
}

#[test]
fn binary_junk_is_called_what_it_is_and_set_aside() {
    let project = Project::short_lines();
    let mut random = fastrand::Rng::with_seed(3);
    // Without `#`: a line that starts with it could be a directive.
    let byte = |_| random.u8(..) | u8::from(random.bool()) << 7;
    let junk: Vec<u8> = (0..200_000)
        .map(byte)
        .filter(|byte| *byte != b'#')
        .collect();
    project.write("junk", &junk);
    let ran = project.run(&["junk"]).exits(3).says(&["junk", "not a log"]);
    let [records, inserted, _, quarantined] = ran.books();
    assert_eq!((inserted, quarantined), (0, records));
    // Everything but line ends is there.
    let kept: usize = project
        .set_aside()
        .iter()
        .map(|record| record.raw.len())
        .sum();
    let ends = junk.iter().filter(|byte| **byte == b'\n').count();
    let returns = junk.windows(2).filter(|pair| pair == b"\r\n").count();
    assert_eq!(kept, junk.len() - ends - returns);
}

#[test]
fn files_without_records_are_no_failure() {
    let project = Project::short_lines();
    for (name, content) in [
        ("empty", &b""[..]),
        ("blank", b"\n\r\n\n\n"),
        ("header", b"#Version: 1.0\n#Fields: date time\n"),
        ("empty.gz", &gzip(b"")),
    ] {
        project.write(name, content);
        assert_eq!(project.run(&[name]).exits(0).books(), [0; 4], "{name}");
    }
    assert_eq!(
        project
            .run(&["empty", "blank", "empty.gz"])
            .exits(0)
            .books(),
        [0; 4]
    );
    assert_eq!(project.stored(), (0, 0));
    let piped = project.piped(&["run", "--json", "-"], b"").exits(0);
    assert_eq!(piped.books(), [0; 4]);
}

#[test]
fn a_missing_file_or_a_folder_is_named_before_anything_is_done() {
    let project = Project::short_lines();
    project.generate("good.log", 10, 1);
    std::fs::create_dir(project.path("folder")).unwrap();
    for (name, why) in [("missing.log", "No such file"), ("folder", "directory")] {
        project
            .run(&["good.log", name])
            .exits(1)
            .says(&["cannot read", name, why]);
    }
    assert!(project.has_no_store(), "not even the good file was begun");
}

#[test]
fn a_layout_that_does_not_fit_is_an_error_that_says_so() {
    let project = Project::short_lines();
    let path = fixture("real-time-44.log");
    let fits = |ran: Ran| {
        ran.exits(1).says(&[
            "44 fields",
            "real-time lines has 8",
            "logs.fields",
            "real-time-44.log",
        ])
    };
    fits(project.run(&[path.to_str().unwrap()]));
    fits(project.run(&["--format", "real-time", path.to_str().unwrap()]));
    assert_eq!(project.stored().0, 0);
    assert_eq!(project.set_aside(), []);

    // Without a time among the fields too.
    project.write(
        "canopy.toml",
        "[logs]\nfields = [\"c-ip\", \"sc-status\"]\n",
    );
    project.write("b.log", "192.0.2.1\t200\tx\n192.0.2.1\t200\tx\n");
    project
        .run(&["b.log"])
        .exits(1)
        .says(&["3 fields", "real-time lines has 2"]);
}

#[test]
fn strict_stores_nothing_of_a_chunk_with_a_bad_line() {
    let project = Project::short_lines();
    project.generate("a.log", 100, 1);
    project.append("a.log", "junk\n");
    project
        .run(&["--strict", "a.log"])
        .exits(1)
        .says(&["a.log line 101"]);
    assert_eq!(project.stored(), (0, 0));
    assert_eq!(project.set_aside(), []);
    // Without it the same file goes in.
    assert_eq!(project.run(&["a.log"]).exits(3).books(), [101, 100, 0, 1]);
}

#[test]
fn the_summary_says_how_many_were_set_aside_where_and_why() {
    let project = Project::short_lines();
    project.write("a.log", [&good(1)[..], b"\nshort\x1b[31m line\n"].concat());
    let ran = project.canopy(&["run", "a.log"]).exits(3);
    for words in [
        "the books",
        "balance: 2 = 1 + 0 + 1",
        "canopy-data/quarantine",
        "a.log:2",
        "1 field found, 8 expected",
        "short\\x1b[31m line",
    ] {
        assert!(ran.stdout.contains(words), "no `{words}` in {}", ran.stdout);
    }
    assert!(!ran.stdout.contains('\x1b'));
}

#[test]
fn a_generated_mix_of_damage_balances_to_the_line() {
    let project = Project::short_lines();
    project
        .canopy(&[
            "generate",
            "--lines",
            "30000",
            "--seed",
            "9",
            "--start",
            "1764018000",
            "--fields",
            FIELDS,
            "--malformed",
            "0.05",
            "--out",
            "a.log",
        ])
        .exits(0);
    let ran = project.run(&["a.log"]).exits(3);
    let [records, inserted, _, quarantined] = ran.books();
    assert_eq!(records, 30_000);
    assert!(quarantined > 1_000, "{quarantined}");
    assert_eq!(project.stored(), (inserted, inserted));
    let text = std::fs::read(project.path("a.log")).unwrap();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let set_aside = project.set_aside();
    assert_eq!(set_aside.len() as u64, quarantined);
    for record in set_aside {
        assert_eq!(record.raw, lines[record.position as usize - 1]);
    }
}

#[test]
fn a_failure_is_told_though_the_followed_file_stays_silent() {
    let project = Project::short_lines();
    project.write("a.log", [&good(1)[..], b"\nshort\n"].concat());
    // A file is where the folder would have to be.
    project.write("file", "");
    let run = project.start(&["run", "--follow", "--quarantine", "file/in", "a.log"]);
    run.wait().exits(1).says(&["file/in"]);
}

#[test]
fn a_line_cut_within_its_last_field_is_not_stored_cut() {
    let project = Project::short_lines();
    let lines: Vec<Vec<u8>> = (0..400).map(good).collect();
    let content = [&lines.join(&b'\n')[..], b"\n"].concat();
    // Stored, not compressed, so that the last two digits and what follows are
    // cut off: the trailer, the line's end, the digits.
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    std::io::Write::write_all(&mut out, &content).unwrap();
    let whole = out.finish().unwrap();
    project.write("a.log.gz", &whole[..whole.len() - 8 - 3]);
    let ran = project.run(&["a.log.gz"]).exits(1).says(&["ends early"]);
    assert_eq!(ran.books(), [400, 399, 0, 1]);
    assert!(project.set_aside()[0].reason.contains("broke off"));
    project.write("a.log.gz", whole);
    assert_eq!(project.run(&["a.log.gz"]).exits(0).books(), [1, 1, 0, 0]);
    assert_eq!(project.stored(), (400, 400));
    assert_eq!(project.set_aside(), []);
}
