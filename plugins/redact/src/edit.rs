//! Writing a value with parts of it replaced.

use std::ops::Range;

use canopy_sdk::Text;
use memchr::memchr;

/// What stands in the place of a value that was there.
pub(crate) const REDACTED: &str = "REDACTED";

/// A value on its way to the output.
///
/// Parts are replaced from left to right; what lies between them is copied as
/// one run, so a value that is left alone costs one copy. (Inside a component
/// a copy is a call into the host, whose cost is that of some 100 bytes.)
#[derive(Debug)]
pub(crate) struct Edit<'v, 'o> {
    value: &'v str,
    out: &'o mut Text,
    /// How much of the value is written, or replaced by what is.
    done: usize,
}

impl<'v, 'o> Edit<'v, 'o> {
    /// Starts on a value.
    pub(crate) fn new(value: &'v str, out: &'o mut Text) -> Self {
        Edit {
            value,
            out,
            done: 0,
        }
    }

    /// Returns a part of the value as it came.
    pub(crate) fn part(&self, part: Range<usize>) -> &'v str {
        &self.value[part]
    }

    /// Replaces a part of the value, which must not lie before one that was
    /// replaced already.
    pub(crate) fn replace(&mut self, part: Range<usize>, replacement: &str) {
        self.out.push_str(&self.value[self.done..part.start]);
        self.out.push_str(replacement);
        self.done = part.end;
    }

    /// Replaces a part of the value by [`REDACTED`].
    pub(crate) fn redact(&mut self, part: Range<usize>) {
        self.replace(part, REDACTED);
    }

    /// Copies what is left.
    pub(crate) fn finish(self) {
        self.out.push_str(&self.value[self.done..]);
    }
}

/// Returns the pieces of `part` of a text that `separator`, an ASCII
/// character, separates, as parts of the text.
pub(crate) fn pieces(
    text: &str,
    part: Range<usize>,
    separator: u8,
) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(part.start);
    std::iter::from_fn(move || {
        let start = next?;
        let rest = &text.as_bytes()[start..part.end];
        let end = memchr(separator, rest);
        next = end.map(|end| start + end + 1);
        Some(start..end.map_or(part.end, |end| start + end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_replaced_stays() {
        let mut out = Text::default();
        let mut edit = Edit::new("one two three", &mut out);
        edit.replace(0..3, "1");
        edit.redact(4..7);
        edit.finish();
        assert_eq!(out.as_str(), "1 REDACTED three");
    }

    #[test]
    fn pieces_are_those_of_split() {
        let text = "head;a;;b;tail";
        for part in [5..9, 5..5, 4..10, 0..14, 0..3] {
            let found: Vec<_> = pieces(text, part.clone(), b';')
                .map(|piece| &text[piece])
                .collect();
            let expected: Vec<_> = text[part].split(';').collect();
            assert_eq!(found, expected);
        }
    }
}
