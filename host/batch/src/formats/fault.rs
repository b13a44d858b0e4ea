//! What can be wrong with a record as a whole, said in a phrase.

use super::MAX_RECORD_BYTES;
use super::plan::{Clock, Plan};
use super::value::shown;

/// Returns what is wrong with a record's bytes, whatever its format: too many,
/// a NUL byte, not UTF-8.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<String> {
    of_length(bytes.len()).or_else(|| {
        let (problem, place) = bad_byte(bytes)?;
        Some(format!("{problem}, at byte {}", place + 1))
    })
}

/// Returns what is wrong with a record of `length` bytes.
pub(super) fn of_length(length: usize) -> Option<String> {
    (length > MAX_RECORD_BYTES).then(|| {
        format!("the record has {length} bytes, more than the {MAX_RECORD_BYTES} a record may have")
    })
}

/// Returns what is wrong with the bytes of a line of fields, naming the field.
pub(super) fn of_line(bytes: &[u8], plan: &Plan) -> Option<String> {
    let (problem, place) = bad_byte(bytes)?;
    let slot = memchr::memchr_iter(b'\t', &bytes[..place]).count();
    let start = memchr::memrchr(b'\t', &bytes[..place]).map_or(0, |tab| tab + 1);
    let end = memchr::memchr(b'\t', &bytes[place..]).map_or(bytes.len(), |tab| place + tab);
    // The value is shown from a little before the byte in question.
    let value = shown(&bytes[start.max(place.saturating_sub(16))..end]);
    let names = &plan.names[..plan.field_count];
    Some(match names.get(slot) {
        Some(name) => format!("{name}: {value} has {problem}"),
        None => format!("field {}: {value} has {problem}", slot + 1),
    })
}

/// Says that a line has `found` fields and not those of its plan.
pub(super) fn of_count(found: usize, plan: &Plan) -> String {
    let expected = plan.field_count;
    let fields = if found == 1 { "field" } else { "fields" };
    let source = match plan.clock {
        Some(Clock::Standard { .. }) => "the `#Fields:` line names",
        _ => "the layout of the real-time log configuration has",
    };
    let hint = match found {
        1 => "; fields are separated by tabs",
        _ => "",
    };
    format!("{found} {fields} found, {expected} expected: {source} {expected}{hint}")
}

/// Returns the first byte that no record may have, and what it is.
fn bad_byte(bytes: &[u8]) -> Option<(String, usize)> {
    if let Some(place) = memchr::memchr(0, bytes) {
        return Some(("a NUL byte".into(), place));
    }
    if bytes.is_ascii() {
        return None;
    }
    let place = std::str::from_utf8(bytes).err()?.valid_up_to();
    let problem = format!("the byte 0x{:02x}, which is not UTF-8", bytes[place]);
    Some((problem, place))
}
