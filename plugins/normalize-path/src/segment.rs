//! One segment of a path: what in it is a value, and what is a name.
//!
//! The rules are guesses, made so that the same kind of thing always becomes
//! the same template; what they cannot know, a rule of the operator says.

use canopy_sdk::prelude::*;

/// Splits off the first segment: the segment, and the rest from its `/` on.
pub fn split(path: &str) -> (&str, &str) {
    path.split_at(path.find('/').unwrap_or(path.len()))
}

/// Where `path` starts with segments that are a year and a month, and maybe a
/// day (`2026/01/31`), returns what follows them.
pub fn date_of_segments(path: &str) -> Option<&str> {
    let (year, rest) = split_fast(path, 4)?;
    let (month, after_month) = split_fast(rest.strip_prefix('/')?, 2)?;
    if !is_year(year) || !is_number_in(month, 1, 12) {
        return None;
    }
    let after_day = after_month
        .strip_prefix('/')
        .and_then(|rest| split_fast(rest, 2))
        .filter(|(day, _)| is_number_in(day, 1, 31));
    Some(after_day.map_or(after_month, |(_, rest)| rest))
}

/// Splits off the first segment if it has `len` bytes.
fn split_fast(path: &str, len: usize) -> Option<(&[u8], &str)> {
    let bytes = path.as_bytes();
    let whole = matches!(bytes.get(len), None | Some(b'/'));
    let segment = bytes.get(..len)?;
    (whole && segment.is_ascii()).then(|| (segment, &path[len..]))
}

/// Appends the template of one segment to `out`.
pub fn template(segment: &str, out: &mut Text) {
    let shape = Shape::of(segment.as_bytes());
    if shape.digits == 0 && shape.upper == 0 {
        out.push_str(segment);
    } else if shape.digits == segment.len() {
        out.push_str(if is_compact_date(segment.as_bytes()) {
            ":date"
        } else {
            ":id"
        });
    } else if shape.is_scrambled(segment.len()) {
        out.push_str(":hash");
    } else {
        by_token(segment, out);
    }
}

/// What a run of bytes consists of.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    digits: usize,
    lower: usize,
    upper: usize,
    /// Letters among `a` to `f`, of either case.
    hex_letters: usize,
    /// `-` and `_`, which base64 for URLs has.
    joints: usize,
    /// How often, joints aside, the class changes between digit, lower and
    /// upper.
    switches: usize,
    /// How many digits there are at the end.
    last_digits: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Digit,
    Lower,
    Upper,
    Other,
}

impl Shape {
    fn of(bytes: &[u8]) -> Self {
        let mut shape = Shape::default();
        let mut last = Class::Other;
        for &byte in bytes {
            let class = match byte {
                b'0'..=b'9' => {
                    shape.digits += 1;
                    shape.last_digits += 1;
                    Class::Digit
                }
                b'a'..=b'z' => {
                    shape.lower += 1;
                    shape.hex_letters += usize::from(byte <= b'f');
                    shape.last_digits = 0;
                    Class::Lower
                }
                b'A'..=b'Z' => {
                    shape.upper += 1;
                    shape.hex_letters += usize::from(byte <= b'F');
                    shape.last_digits = 0;
                    Class::Upper
                }
                b'-' | b'_' => {
                    shape.joints += 1;
                    shape.last_digits = 0;
                    continue;
                }
                _ => {
                    shape.last_digits = 0;
                    Class::Other
                }
            };
            shape.switches += usize::from(class != last);
            last = class;
        }
        shape
    }

    fn letters(&self) -> usize {
        self.lower + self.upper
    }

    /// Whether `len` bytes of this shape look like random base62 or base64:
    /// all three classes, changing at least at every other byte on average.
    /// Random text changes at six of ten bytes, words in camel case at four.
    fn is_scrambled(&self, len: usize) -> bool {
        len >= 10
            && self.digits > 0
            && self.lower > 0
            && self.upper > 0
            && self.digits + self.letters() + self.joints == len
            && 2 * self.switches >= len
    }

    /// Whether `len` bytes of this shape, none of them a joint, are the text
    /// of a hash or key: hexadecimal with digits and letters, or longer with
    /// digits and letters taking turns.
    fn is_hash(&self, len: usize) -> bool {
        let is_hex = self.digits + self.hex_letters == len;
        let is_alphanumeric = self.digits + self.letters() == len;
        (is_hex && len >= 7 && self.digits > 0 && self.hex_letters > 0)
            || (is_alphanumeric && len >= 16 && self.digits > 1 && self.switches >= 4)
    }
}

/// Appends a segment of several tokens, some of which may be values: tokens
/// are what lies between punctuation marks.
fn by_token(segment: &str, out: &mut Text) {
    let bytes = segment.as_bytes();
    let stem = stem_len(bytes);
    let extension = &segment[stem..];
    let mut start = 0;
    // What was not yet appended starts here.
    let mut pending = 0;
    while start < stem {
        let mut end = start;
        let placeholder = if let Some(len) = uuid_len(&bytes[start..stem]) {
            end += len;
            Some((start, ":uuid"))
        } else if let Some(len) = date_len(&bytes[start..stem]) {
            end += len;
            Some((start, ":date"))
        } else {
            while end < stem && !is_mark(bytes[end]) {
                end += 1;
            }
            let token = Token {
                bytes: &bytes[start..end],
                before: start.checked_sub(1).map(|index| bytes[index]),
                is_last: end == stem,
                extension,
            };
            token
                .value()
                .map(|(offset, placeholder)| (start + offset, placeholder))
        };
        if let Some((from, placeholder)) = placeholder {
            // Values are ASCII, so they start and end between characters.
            out.push_str(&segment[pending..from]);
            out.push_str(placeholder);
            pending = end;
        }
        start = end + 1;
    }
    out.push_str(&segment[pending..]);
}

struct Token<'s> {
    bytes: &'s [u8],
    /// The mark before it.
    before: Option<u8>,
    /// Whether only the file's extension follows.
    is_last: bool,
    /// The extension with its dot, or nothing.
    extension: &'s str,
}

impl Token<'_> {
    /// Returns where in the token a value starts that goes to its end, and the
    /// placeholder for it.
    fn value(&self) -> Option<(usize, &'static str)> {
        let len = self.bytes.len();
        let shape = Shape::of(self.bytes);
        if shape.digits == len && len > 0 {
            // `page-2`, but not `jquery-3.7.1`.
            let is_number = self.is_last && matches!(self.before, Some(b'-' | b'_'));
            let is_long = len >= 4;
            return (is_number || is_long).then_some((0, ":id"));
        }
        if shape.is_hash(len) || shape.is_scrambled(len) || self.is_fingerprint(shape) {
            return Some((0, ":hash"));
        }
        // `order12345`, and `segment7.ts`, but not `h264.js`.
        let is_numbered_media = self.is_last && shape.last_digits > 0 && is_media(self.extension);
        let is_long = shape.last_digits >= 5;
        (shape.letters() + shape.digits == len && (is_numbered_media || is_long))
            .then_some((len - shape.last_digits, ":id"))
    }

    /// Whether it is the fingerprint a bundler put into a file's name
    /// (`index-DiwrgTda.js`): eight letters and digits of changing class.
    fn is_fingerprint(&self, shape: Shape) -> bool {
        self.is_last
            && matches!(self.before, Some(b'-' | b'.'))
            && self.bytes.len() == 8
            && shape.digits + shape.letters() == 8
            && shape.switches >= 4
            && is_bundled(self.extension)
    }
}

/// Returns the length of the segment without the extension: a dot and one to
/// five letters or digits, the first of them a letter (`.js`, `.woff2`), or
/// `.mp4`-like digits before letters.
fn stem_len(segment: &[u8]) -> usize {
    let dot = segment.iter().rposition(|&byte| byte == b'.');
    match dot {
        Some(dot) if dot > 0 => {
            let extension = &segment[dot + 1..];
            let is_extension = (1..=5).contains(&extension.len())
                && extension.iter().all(u8::is_ascii_alphanumeric)
                && extension.iter().any(u8::is_ascii_alphabetic);
            if is_extension { dot } else { segment.len() }
        }
        _ => segment.len(),
    }
}

/// Whether a byte parts tokens: ASCII, and neither letter nor digit.
fn is_mark(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

/// Whether files with this extension come in numbered series: pieces of a
/// stream, and pictures.
fn is_media(extension: &str) -> bool {
    const MEDIA: [&str; 16] = [
        ".ts", ".m4s", ".m4a", ".m4v", ".aac", ".mp4", ".cmfv", ".cmfa", ".vtt", ".webm", ".jpg",
        ".jpeg", ".png", ".webp", ".avif", ".gif",
    ];
    MEDIA
        .iter()
        .any(|media| extension.eq_ignore_ascii_case(media))
}

/// Whether bundlers put fingerprints into the names of such files.
fn is_bundled(extension: &str) -> bool {
    const BUNDLED: [&str; 12] = [
        ".js", ".mjs", ".css", ".map", ".woff", ".woff2", ".ttf", ".svg", ".png", ".jpg", ".webp",
        ".json",
    ];
    BUNDLED
        .iter()
        .any(|bundled| extension.eq_ignore_ascii_case(bundled))
}

/// Where `bytes` start with a UUID that is a token, returns its length.
fn uuid_len(bytes: &[u8]) -> Option<usize> {
    const LEN: usize = 36;
    let uuid = bytes.get(..LEN)?;
    let is_uuid = uuid.iter().enumerate().all(|(index, byte)| match index {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (is_uuid && ends_token(bytes, LEN)).then_some(LEN)
}

/// Where `bytes` start with a date that is a token (`2026-01-31`, `2026_01`),
/// returns its length, with that of a time of day after a `T`.
fn date_len(bytes: &[u8]) -> Option<usize> {
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

fn ends_token(bytes: &[u8], len: usize) -> bool {
    bytes.get(len).is_none_or(|&byte| is_mark(byte))
}

/// Whether eight digits are a year, a month and a day.
fn is_compact_date(digits: &[u8]) -> bool {
    digits.len() == 8
        && is_year(&digits[..4])
        && is_number_in(&digits[4..6], 1, 12)
        && is_number_in(&digits[6..], 1, 31)
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
