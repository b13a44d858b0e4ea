//! Values that are known by their form: UUIDs and dates.

use crate::shape::{Counts, is_mark};

/// Where `bytes` start with a UUID that is a token, returns its length.
pub(crate) fn uuid_len(bytes: &[u8]) -> Option<usize> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut at = 0;
    for (index, len) in GROUPS.into_iter().enumerate() {
        if index > 0 {
            if bytes.get(at) != Some(&b'-') {
                return None;
            }
            at += 1;
        }
        let (counts, end) = Counts::of_token(bytes, at);
        if end - at != len || !counts.is_hex(len) {
            return None;
        }
        at = end;
    }
    Some(at)
}

/// Where `bytes` start with a date that is a token (`2026-01-31`, `2026_01`),
/// returns its length, with that of a time of day after a `T`.
pub(crate) fn date_len(bytes: &[u8]) -> Option<usize> {
    let mark = *bytes.get(4)?;
    let month = bytes.get(5..7)?;
    if !matches!(mark, b'-' | b'_') || !is_year(&bytes[..4]) || !is_number_in(month, 1, 12) {
        return None;
    }
    let has_day =
        bytes.get(7) == Some(&mark) && bytes.get(8..10).is_some_and(|day| is_number_in(day, 1, 31));
    let len = if has_day { 10 } else { 7 };
    let time = match bytes.get(len..) {
        Some([b'T' | b't', rest @ ..]) if rest.first().is_some_and(u8::is_ascii_digit) => {
            let is_time =
                |byte: &&u8| matches!(byte, b'0'..=b'9' | b':' | b'.' | b'-' | b'+' | b'Z' | b'z');
            1 + rest.iter().take_while(is_time).count()
        }
        _ => 0,
    };
    ends_token(bytes, len + time).then_some(len + time)
}

/// Whether the token is a picture's size: `1920x1080`.
pub(crate) fn is_size(token: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    match token.iter().position(|&byte| byte == b'x') {
        Some(x) => is_number(&token[..x]) && is_number(&token[x + 1..]),
        None => false,
    }
}

/// Where `path` starts with segments that are a year and a month, and maybe a
/// day (`2026/01/31`), returns their length.
pub(crate) fn date_of_segments_len(path: &[u8]) -> Option<usize> {
    let year = path.get(..4)?;
    let month = path.get(5..7)?;
    if path[4] != b'/' || !is_year(year) || !is_number_in(month, 1, 12) || !ends_segment(path, 7) {
        return None;
    }
    let has_day = path.get(7) == Some(&b'/')
        && path.get(8..10).is_some_and(|day| is_number_in(day, 1, 31))
        && ends_segment(path, 10);
    Some(if has_day { 10 } else { 7 })
}

/// Whether eight digits are a year, a month and a day.
pub(crate) fn is_compact_date(digits: &[u8]) -> bool {
    digits.len() == 8
        && is_year(&digits[..4])
        && is_number_in(&digits[4..6], 1, 12)
        && is_number_in(&digits[6..], 1, 31)
}

fn ends_token(bytes: &[u8], len: usize) -> bool {
    bytes.get(len).is_none_or(|&byte| is_mark(byte))
}

fn ends_segment(path: &[u8], len: usize) -> bool {
    matches!(path.get(len), None | Some(b'/' | b'?'))
}

/// Whether four digits are a year that logs are about: 1990 to 2099.
fn is_year(digits: &[u8]) -> bool {
    digits.iter().all(u8::is_ascii_digit)
        && (digits.starts_with(b"199") || digits.starts_with(b"20"))
}

/// Whether two digits are a number in this range.
fn is_number_in(digits: &[u8], low: u8, high: u8) -> bool {
    match digits {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
            (low..=high).contains(&(10 * (tens - b'0') + ones - b'0'))
        }
        _ => false,
    }
}
