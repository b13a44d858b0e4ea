//! Damage to lines, of the kinds that logs in the wild have.

use std::fmt;

use crate::random::Random;
use crate::settings::Format;
use crate::text::push;

/// How a line is damaged. Each kind makes a line that no reader of the format
/// can take for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MalformedKind {
    /// The line ends early: some of its fields, or half a JSON object.
    TooFewFields,
    /// Two fields too many; in JSON, text after the object.
    TooManyFields,
    /// The status (or what number the layout has first) is not a number.
    BadNumber,
    /// Bytes that are not UTF-8 in the middle of a field.
    InvalidUtf8,
    /// The line's second half is NUL bytes, as after a power cut.
    Nul,
    /// Something else altogether, such as a stack trace.
    Junk,
}

impl MalformedKind {
    /// All kinds, in the order of [`Truth::malformed_by_kind`].
    ///
    /// [`Truth::malformed_by_kind`]: crate::Truth::malformed_by_kind
    pub const ALL: [MalformedKind; 6] = [
        MalformedKind::TooFewFields,
        MalformedKind::TooManyFields,
        MalformedKind::BadNumber,
        MalformedKind::InvalidUtf8,
        MalformedKind::Nul,
        MalformedKind::Junk,
    ];

    /// Returns the name, such as `too-few-fields`.
    pub const fn name(self) -> &'static str {
        match self {
            MalformedKind::TooFewFields => "too-few-fields",
            MalformedKind::TooManyFields => "too-many-fields",
            MalformedKind::BadNumber => "bad-number",
            MalformedKind::InvalidUtf8 => "invalid-utf8",
            MalformedKind::Nul => "nul",
            MalformedKind::Junk => "junk",
        }
    }
}

impl fmt::Display for MalformedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// None of these is JSON, and none has a tab.
const JUNK: [&str; 5] = [
    "Traceback (most recent call last):",
    "  at Object.handler (/var/task/index.js:42:13)",
    "\"a\",\"b\",\"c\"",
    "127.0.0.1 - - [24/Nov/2026:23:10:05 +0000] \"GET / HTTP/1.1\" 200 612",
    "\u{1f40c} slow log",
];

/// Number fields of real-time logs, those always there first.
const NUMBERS: [&str; 8] = [
    "sc-status",
    "sc-bytes",
    "cs-bytes",
    "timestamp",
    "time-taken",
    "time-to-first-byte",
    "c-port",
    "asn",
];

/// Damages the line that `out` holds from `start` on; it has no line feed yet.
/// Returns the kind of damage: another than asked where the layout has nothing
/// to damage in that way.
pub(crate) fn damage(
    kind: MalformedKind,
    format: &Format,
    out: &mut Vec<u8>,
    start: usize,
    random: &mut Random,
) -> MalformedKind {
    let length = out.len() - start;
    let kind = match format {
        // Any text is a value of a single field, so only a second one is wrong.
        Format::RealTime(layout) if layout.len() == 1 => MalformedKind::TooManyFields,
        _ => kind,
    };
    match kind {
        MalformedKind::TooFewFields => match format {
            Format::Json => out.truncate(start + length / 2),
            _ => {
                let tabs = (start..out.len()).filter(|at| out[*at] == b'\t');
                let cut = random.below(tabs.clone().count() as u32) as usize;
                if let Some(at) = tabs.clone().nth(cut) {
                    out.truncate(at);
                }
            }
        },
        MalformedKind::TooManyFields => match format {
            Format::Json => push(out, "{\"and\":\"more\"}"),
            _ => push(out, "\t-\t0"),
        },
        MalformedKind::BadNumber => {
            let Some((from, to)) = number_field(format, &out[start..]) else {
                return damage(MalformedKind::TooManyFields, format, out, start, random);
            };
            let text = random.pick(&["2OO", "12,5", "NaN", "0x1f", "--", "1e"]);
            out.splice(start + from..start + to, text.bytes());
        }
        MalformedKind::InvalidUtf8 => {
            // In the middle of the line's longest field.
            let middle = match format {
                Format::Json => longest(&out[start..], b'"'),
                _ => longest(&out[start..], b'\t'),
            };
            out.splice(start + middle..start + middle, [0xc3, 0x28, 0xff]);
        }
        MalformedKind::Nul => out[start + length / 2..].fill(0),
        MalformedKind::Junk => {
            out.truncate(start);
            push(out, random.pick(&JUNK));
        }
    }
    kind
}

/// Returns where the first number field of a line is, from and to.
fn number_field(format: &Format, line: &[u8]) -> Option<(usize, usize)> {
    let position = match format {
        Format::Json => {
            const KEY: &[u8] = b"\"sc-status\":\"";
            let from = line.windows(KEY.len()).position(|window| window == KEY)? + KEY.len();
            let length = line[from..].iter().position(|byte| *byte == b'"')?;
            return Some((from, from + length));
        }
        Format::Standard => crate::fields::STANDARD_FIELDS
            .iter()
            .position(|name| *name == "sc-status")?,
        Format::RealTime(layout) => NUMBERS
            .iter()
            .find_map(|number| layout.names().position(|name| name == *number))?,
    };
    let mut from = 0;
    for (index, field) in line.split(|byte| *byte == b'\t').enumerate() {
        if index == position {
            return Some((from, from + field.len()));
        }
        from += field.len() + 1;
    }
    None
}

/// Returns the middle of the longest piece between separators.
fn longest(line: &[u8], separator: u8) -> usize {
    let (mut from, mut middle, mut most) = (0, 0, 0);
    for piece in line.split(|byte| *byte == separator) {
        if piece.len() > most {
            most = piece.len();
            middle = from + piece.len() / 2;
        }
        from += piece.len() + 1;
    }
    middle
}
