//! Telling the format of a log from its first lines.

use super::Format;
use super::layout::Layout;
use super::parser::lines;
use super::value::{date, epoch_seconds, shown};
use super::w3c::is_directive;

/// How many lines are looked at before giving up: the first may be damaged.
const MAX_LINES: usize = 100;

/// The first lines of a log are of no known format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DetectError {
    /// There is no line that is not empty.
    #[error("there is no line to tell the format from")]
    Empty,
    /// The data is not text.
    #[error("this is not a log: it starts with {seen}")]
    Binary {
        /// What it is, or its first bytes.
        seen: String,
    },
    /// The lines could be real-time lines of another layout.
    #[error(
        "lines have {found} fields separated by tabs, but the layout of the real-time log configuration has {expected}"
    )]
    FieldCount {
        /// How many fields the first line has.
        found: usize,
        /// How many the layout has.
        expected: usize,
    },
    /// The text is of no known format.
    #[error(
        "no known format: {seen} is neither a `#` line of a standard log, nor a JSON object, nor values separated by tabs"
    )]
    Unknown {
        /// The first line, shortened.
        seen: String,
    },
}

/// What starts a file that is not text.
const SIGNATURES: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip data, which must be decompressed first"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"BZh", "bzip2 data"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PAR1", "Parquet data"),
    (b"\x7fELF", "a program"),
];

/// Tells the format of a log from its start: the first line decides that is
/// plainly of one format, so that a damaged first line does no harm.
///
/// `head` is the start of the decompressed data, a few complete lines at
/// least; a last line without its end is looked at only if it is the only one.
/// Real-time lines are told by their first value, a time in seconds, whatever
/// their number of fields, so that a layout that does not fit is reported with
/// the records; where the layout has no `timestamp`, by their number of fields.
///
/// # Errors
///
/// [`DetectError`], which says what was seen instead.
pub fn detect(head: &[u8], layout: &Layout) -> Result<Format, DetectError> {
    let binary = |seen: String| Err(DetectError::Binary { seen });
    if let Some((_, seen)) = SIGNATURES.iter().find(|(start, _)| head.starts_with(start)) {
        return binary((*seen).into());
    }
    let complete = match memchr::memrchr(b'\n', head) {
        Some(end) => &head[..end],
        None => head,
    };
    let candidates = || {
        lines(complete)
            .map(|line| &complete[line])
            .filter(|line| !line.is_empty())
            .take(MAX_LINES)
    };
    let Some(first) = candidates().next() else {
        return Err(DetectError::Empty);
    };
    if let Some(format) = candidates().find_map(|line| format_of(line, layout)) {
        return Ok(format);
    }
    // Real-time lines every one of which has a damaged time.
    if layout.len() > 1
        && candidates().any(|line| is_text(line) && field_count(line) == layout.len())
    {
        return Ok(Format::RealTime(layout.clone()));
    }
    if !is_text(first) {
        return binary(shown(first));
    }
    match field_count(first) {
        1 => Err(DetectError::Unknown { seen: shown(first) }),
        found => Err(DetectError::FieldCount {
            found,
            expected: layout.len(),
        }),
    }
}

/// Returns the format that the line is plainly of.
fn format_of(line: &[u8], layout: &Layout) -> Option<Format> {
    if !is_text(line) {
        return None;
    }
    if is_directive(line) {
        return Some(Format::Standard);
    }
    if line.starts_with(b"{") {
        return Some(Format::Json);
    }
    let mut values = line.split(|&byte| byte == b'\t');
    let first = values.next()?;
    let found = field_count(line);
    // Records of a standard log whose header was cut off.
    if date(first).is_some() && found > 1 {
        return Some(Format::Standard);
    }
    let plain = if layout.contains("timestamp") {
        // A line of one number could be anything.
        epoch_seconds(first).is_some() && (found > 1 || layout.len() == 1)
    } else {
        found == layout.len()
    };
    plain.then(|| Format::RealTime(layout.clone()))
}

fn is_text(line: &[u8]) -> bool {
    memchr::memchr(0, line).is_none() && std::str::from_utf8(line).is_ok()
}

fn field_count(line: &[u8]) -> usize {
    memchr::memchr_iter(b'\t', line).count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(head: &str) -> Result<Format, DetectError> {
        detect(head.as_bytes(), &layout())
    }

    fn layout() -> Layout {
        Layout::from_names(["timestamp", "c-ip", "sc-status"]).unwrap()
    }

    #[test]
    fn each_format_is_told_by_its_first_line() {
        let real_time = Ok(Format::RealTime(layout()));
        assert_eq!(detected("1759687234.191\t192.0.2.1\t200\n"), real_time);
        assert_eq!(detected("1759687234.191\t192.0.2.1\t200"), real_time);
        assert_eq!(
            detected("#Version: 1.0\n#Fields: date"),
            Ok(Format::Standard)
        );
        assert_eq!(
            detected("\r\n\n{\"date\":\"2025-10-05\"}\n"),
            Ok(Format::Json)
        );
    }

    #[test]
    fn a_damaged_first_line_does_no_harm() {
        let head = "\0\u{1}junk\n\n???\n1759687234.191\t192.0.2.1\t200\n";
        assert_eq!(detected(head), Ok(Format::RealTime(layout())));
    }

    #[test]
    fn lines_of_the_layouts_length_are_real_time_lines_without_a_time_too() {
        let real_time = Ok(Format::RealTime(layout()));
        assert_eq!(
            detected("-\t192.0.2.1\t200\n-\t192.0.2.1\t200\n"),
            real_time
        );
    }

    #[test]
    fn a_layout_that_does_not_fit_is_left_to_the_records() {
        let head = "1759687234.191\t192.0.2.1\t200\tGET\n";
        assert_eq!(detected(head), Ok(Format::RealTime(layout())));
    }

    #[test]
    fn a_standard_log_without_its_header_is_one() {
        assert_eq!(
            detected("2025-10-05\t01:06:21\tSFO53-P9\n"),
            Ok(Format::Standard)
        );
    }

    #[test]
    fn a_layout_without_a_time_is_told_by_its_number_of_fields() {
        let layout = Layout::from_names(["c-ip", "sc-status"]).unwrap();
        let told = detect(b"192.0.2.1\t200\n", &layout);
        assert_eq!(told, Ok(Format::RealTime(layout.clone())));
        assert_eq!(
            detect(b"192.0.2.1\t200\tGET\n", &layout),
            Err(DetectError::FieldCount {
                found: 3,
                expected: 2
            })
        );
    }

    #[test]
    fn what_is_no_log_is_an_error_that_says_what_was_seen() {
        assert_eq!(detected(""), Err(DetectError::Empty));
        assert_eq!(detected("\n\r\n"), Err(DetectError::Empty));
        let message = |head: &[u8]| detect(head, &layout()).unwrap_err().to_string();
        assert_eq!(
            message(b"\x1f\x8b\x08\0"),
            "this is not a log: it starts with gzip data, which must be decompressed first"
        );
        assert_eq!(
            message(b"\x01\x02\xff\n\x03\n"),
            r"this is not a log: it starts with `\x01\x02\xff`"
        );
        assert!(message(b"hello world\n").starts_with("no known format: `hello world`"));
    }
}
