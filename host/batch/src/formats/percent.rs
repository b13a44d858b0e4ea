//! Percent-decoding, once.

/// How many bytes the output must have beyond the longest result.
pub(super) const SLACK: usize = 8;

const PERCENTS: u64 = u64::from_le_bytes([b'%'; 8]);
const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);

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

/// Writes `token` with its escapes decoded to the start of `out` and returns
/// the length; where the result is not UTF-8, writes `token` as it is.
///
/// `token` must be UTF-8. Bytes of `out` behind the result are overwritten
/// with anything.
///
/// # Panics
///
/// If `out` is shorter than `token.len() + SLACK`.
#[inline]
pub(super) fn decode(token: &[u8], out: &mut [u8]) -> usize {
    let out = &mut out[..token.len() + SLACK];
    let mut read = 0;
    let mut written = 0;
    let mut decoded_bits = 0u8;
    // Eight bytes at a time are copied whether or not an escape is among them:
    // what is behind the escape is overwritten by the next copy.
    while let Some(chunk) = token[read..].first_chunk::<8>() {
        out[written..written + 8].copy_from_slice(chunk);
        let zero_where_percent = u64::from_le_bytes(*chunk) ^ PERCENTS;
        let found = zero_where_percent.wrapping_sub(ONES) & !zero_where_percent & HIGHS;
        if found == 0 {
            read += 8;
            written += 8;
            continue;
        }
        let before = (found.trailing_zeros() / 8) as usize;
        read += before;
        written += before;
        out[written] = match escape(&token[read..]) {
            Some(byte) => {
                decoded_bits |= byte;
                read += 3;
                byte
            }
            None => {
                read += 1;
                b'%'
            }
        };
        written += 1;
    }
    while read < token.len() {
        let byte = token[read];
        out[written] = match (byte == b'%').then(|| escape(&token[read..])).flatten() {
            Some(byte) => {
                decoded_bits |= byte;
                read += 3;
                byte
            }
            None => {
                read += 1;
                byte
            }
        };
        written += 1;
    }
    // Decoding ASCII alone cannot break UTF-8.
    if !decoded_bits.is_ascii() && std::str::from_utf8(&out[..written]).is_err() {
        out[..token.len()].copy_from_slice(token);
        return token.len();
    }
    written
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

    fn decoded(token: &str) -> String {
        let mut out = vec![0; token.len() + SLACK];
        let length = decode(token.as_bytes(), &mut out);
        String::from_utf8(out[..length].to_vec()).unwrap()
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
            token in "([a-z/é]|%|%[0-7][0-9a-fA-F]|%C3%A9|%[89a-f][0-9]){0,40}"
        ) {
            prop_assert_eq!(decoded(&token), slow(&token));
        }
    }
}
