//! Whatever the bytes, nothing panics and no record is lost.

mod support;

use bytes::Bytes;
use canopy_batch::formats::{Format, Layout, Parser, detect};
use proptest::prelude::*;

use support::{check_books, fixture, layout, layout_44, rows};

fn formats() -> [Format; 5] {
    [
        Format::RealTime(Layout::all()),
        Format::RealTime(layout_44()),
        Format::RealTime(layout(&["timestamp", "cs-uri-stem"])),
        Format::Standard,
        Format::Json,
    ]
}

/// Bytes that are nearly logs: the samples with some bytes replaced, or pieces
/// that mean something to some format, or anything.
fn nearly_logs() -> impl Strategy<Value = Vec<u8>> {
    const SAMPLES: &[&str] = &[
        "real-time-all.log",
        "real-time-44-damaged.log",
        "standard-35.log",
        "standard-v2.log",
        "standard-v2.json",
    ];
    let damaged = (
        prop::sample::select(SAMPLES),
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    )
        .prop_map(|(name, changes)| {
            let mut data = fixture(name);
            for (index, byte) in changes {
                let place = index.index(data.len());
                data[place] = byte;
            }
            data
        });
    const PIECES: &[&str] = &[
        "\n",
        "\r\n",
        "\r",
        "\t",
        "-",
        "#Fields: ",
        "#fields:",
        "date",
        "time",
        "timestamp(ms)",
        " ",
        "1.0",
        "2025-10-05",
        "{",
        "}",
        "\"",
        ":",
        ",",
        "\"sc-status\":\"200\"",
        "200",
        "%",
        "%C3",
        "?",
        "\0",
        "é",
        "999999999999999999999",
        ".",
        "\\u0000",
        "[",
        "1e400",
    ];
    let soup = prop::collection::vec(prop::sample::select(PIECES), 0..60)
        .prop_map(|pieces| pieces.concat().into_bytes());
    let anything = prop::collection::vec(any::<u8>(), 0..300);
    prop_oneof![damaged, soup, anything]
}

/// The number of lines that are records.
fn record_count(format: &Format, data: &[u8]) -> usize {
    let mut lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
        .into_iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .filter(|line| *format != Format::Standard || line[0] != b'#')
        .count()
}

proptest! {
    #[test]
    fn every_record_is_a_row_or_rejected(data in nearly_logs()) {
        for format in formats() {
            let mut parser = Parser::new(format.clone(), 100.0);
            let parsed = parser.parse_lines(Bytes::from(data.clone()), 1);
            check_books(&parsed);
            prop_assert_eq!(parsed.batch.records().len(), record_count(&format, &data));
        }
    }

    #[test]
    fn detecting_and_observing_never_panic(data in nearly_logs()) {
        let _ = detect(&data, &layout_44());
        for format in formats() {
            Parser::new(format, 100.0).observe(&data);
        }
    }

    #[test]
    fn line_ends_do_not_change_values(
        name in prop::sample::select(&["real-time-all.log", "standard-33.log", "standard-v2.json"][..]),
        ends in prop::collection::vec(prop::sample::select(&["\n", "\r\n", "\n\r\n\n"][..]), 6),
        unended: bool,
    ) {
        let data = fixture(name);
        let format = detect(&data, &Layout::all()).unwrap();
        let text = String::from_utf8(data).unwrap();
        let mut other = String::new();
        for (line, end) in text.lines().zip(&ends) {
            other += line;
            other += end;
        }
        if unended {
            other.truncate(other.trim_end().len());
        }
        let one = support::parse(format.clone(), &text);
        let other = support::parse(format, &other);
        prop_assert_eq!(one.batch.row_count(), 4);
        prop_assert_eq!(rows(&one.batch), rows(&other.batch));
    }

    #[test]
    fn pieces_give_the_rows_of_the_whole(
        data in nearly_logs(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        // Only whole lines are given: a cut is moved behind the next line end.
        let mut cuts: Vec<usize> = cuts
            .iter()
            .map(|cut| cut.index(data.len() + 1))
            .map(|cut| memchr::memchr(b'\n', &data[cut..]).map_or(data.len(), |end| cut + end + 1))
            .collect();
        cuts.extend([0, data.len()]);
        cuts.sort_unstable();
        for format in formats() {
            let whole = support::parse(format.clone(), &data);
            let mut parser = Parser::new(format, 100.0);
            let (mut rejected, mut origins) = (0, 0);
            for cut in cuts.windows(2) {
                let piece = Bytes::copy_from_slice(&data[cut[0]..cut[1]]);
                let parsed = parser.parse_lines(piece, 1);
                rejected += parsed.rejected.len();
                origins += parsed.batch.row_count();
            }
            prop_assert_eq!(rejected, whole.rejected.len());
            prop_assert_eq!(origins, whole.batch.row_count());
        }
    }
}
