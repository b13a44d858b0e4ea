//! Percent-decoding, once.

use std::ops::Range;

use super::mask::{self, WIDTH};

/// How many bytes the output must have beyond the longest result.
pub(super) const SLACK: usize = 16;

/// The value of each hexadecimal digit, [`NO_DIGIT`] for other bytes.
static DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};
const NO_DIGIT: u8 = 0xff;

/// Writes a range of `text` with its escapes decoded to the start of `out` and
/// returns the length; where the result is not UTF-8, writes it as it is.
///
/// The range must be UTF-8. Bytes of `out` behind the result are overwritten
/// with anything.
///
/// # Panics
///
/// If `out` is shorter than the range and [`SLACK`].
#[inline]
pub(super) fn decode(text: &[u8], range: Range<usize>, out: &mut [u8]) -> usize {
    let out = &mut out[..range.len() + SLACK];
    let (mut read, mut written) = (range.start, 0);
    let mut decoded_bits = 0u8;
    while read < range.end {
        let block_start = read;
        let block_end = range.end.min(block_start + WIDTH);
        let block = mask::block(text, block_start);
        let mut percents = mask::percents(&block) & mask::first(block_end - block_start);
        while percents != 0 {
            let percent = block_start + percents.trailing_zeros() as usize;
            percents &= percents - 1;
            written += copy(text, read..percent, &mut out[written..]);
            (out[written], read) = match escape(&text[percent..range.end]) {
                Some(byte) => {
                    decoded_bits |= byte;
                    (byte, percent + 3)
                }
                None => (b'%', percent + 1),
            };
            written += 1;
        }
        // An escape may reach into the next block.
        if read < block_end {
            written += copy(text, read..block_end, &mut out[written..]);
            read = block_end;
        }
    }
    // Decoding ASCII alone cannot break UTF-8.
    if !decoded_bits.is_ascii() && std::str::from_utf8(&out[..written]).is_err() {
        return copy(text, range, out);
    }
    written
}

/// Copies a range of `text` to the start of `out`, which must have [`SLACK`]
/// bytes more, and returns its length.
#[inline]
pub(super) fn copy(text: &[u8], range: Range<usize>, out: &mut [u8]) -> usize {
    const STEP: usize = 16;
    let length = range.len();
    // Up to a few steps, moving more than is wanted is faster than a call that
    // finds out how much is.
    if length <= 4 * STEP && range.end + STEP <= text.len() {
        let source = &text[range.start..range.end + STEP];
        let out = &mut out[..length + STEP];
        let mut at = 0;
        while at < length {
            out[at..at + STEP].copy_from_slice(&source[at..at + STEP]);
            at += STEP;
        }
    } else {
        out[..length].copy_from_slice(&text[range]);
    }
    length
}

/// Returns the byte that the escape at the start of `text` stands for.
#[inline]
fn escape(text: &[u8]) -> Option<u8> {
    let &[_, high, low] = text.first_chunk::<3>()?;
    let (high, low) = (DIGITS[high as usize], DIGITS[low as usize]);
    (high | low != NO_DIGIT).then_some(high << 4 | low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes a token that stands alone and one amid other text.
    fn decoded(token: &str) -> String {
        let mut results = [("", ""), ("%", "41%41 and some more text")].map(|(before, after)| {
            let text = [before, token, after].concat();
            let mut out = vec![0; token.len() + SLACK];
            let range = before.len()..before.len() + token.len();
            let length = decode(text.as_bytes(), range, &mut out);
            out.truncate(length);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(results[0], results[1]);
        std::mem::take(&mut results[0])
    }
    #[test]
    fn escapes_are_decoded_once_and_plus_stays() {
        for (token, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("%2D", "-"),
            ("%257B", "%7B"),
            ("a+b%20c", "a+b c"),
            ("gzip,%20deflate,%20br", "gzip, deflate, br"),
            ("%e2%82%ac and %E2%82%AC", "€ and €"),
            ("seven..%20eight...%20", "seven.. eight... "),
            ("%00", "\0"),
        ] {
            assert_eq!(decoded(token), expected, "{token}");
        }
    }

    #[test]
    fn a_percent_that_is_no_escape_stays() {
        for token in [
            "%",
            "%2",
            "100%",
            "%zz",
            "%%%%%%%%%",
            "a long text %g0 and %0",
        ] {
            assert_eq!(decoded(token), token);
        }
        assert_eq!(decoded("%%41"), "%A");
    }

    #[test]
    fn bytes_that_are_not_utf8_leave_the_value_encoded() {
        for token in ["%ff", "ok%20then%20%C3", "%C3%28", "é%A9 and more text"] {
            assert_eq!(decoded(token), token);
        }
    }

    /// The same rule written for reading, not for speed.
    fn slow(token: &str) -> String {
        let bytes = token.as_bytes();
        let (mut out, mut read) = (Vec::new(), 0);
        while read < bytes.len() {
            let digits = bytes.get(read + 1..read + 3).filter(|digits| {
                bytes[read] == b'%' && digits.iter().all(|digit| digit.is_ascii_hexdigit())
            });
            match digits {
                Some(digits) => {
                    let digits = std::str::from_utf8(digits).unwrap();
                    out.push(u8::from_str_radix(digits, 16).unwrap());
                    read += 3;
                }
                None => {
                    out.push(bytes[read]);
                    read += 1;
                }
            }
        }
        String::from_utf8(out).unwrap_or_else(|_| token.to_owned())
    }

    proptest! {
        #[test]
        fn decoding_is_what_the_slow_rule_says(
            token in "([a-z/é]{1,9}|%|%[0-7][0-9a-fA-F]|%C3%A9|%[89a-f][0-9]){0,60}"
        ) {
            prop_assert_eq!(decoded(&token), slow(&token));
        }
    }
}
