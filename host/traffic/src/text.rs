//! Writing numbers, addresses and ids as CloudFront does, without `fmt`: it
//! would cost more than all else on a line.

use crate::random::mix;

const DIGITS: &[u8; 200] = b"0001020304050607080910111213141516171819\
2021222324252627282930313233343536373839\
4041424344454647484950515253545556575859\
6061626364656667686970717273747576777879\
8081828384858687888990919293949596979899";
const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

pub(crate) fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = 20;
    while number >= 100 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&DIGITS[pair..pair + 2]);
    }
    if number >= 10 {
        let pair = number as usize * 2;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&DIGITS[pair..pair + 2]);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a number under 100 with two digits.
pub(crate) fn push_two(out: &mut Vec<u8>, number: u32) {
    let pair = (number % 100) as usize * 2;
    out.extend_from_slice(&DIGITS[pair..pair + 2]);
}

/// Writes milliseconds as seconds with three decimals.
pub(crate) fn push_seconds(out: &mut Vec<u8>, milliseconds: u64) {
    push_number(out, milliseconds / 1000);
    let rest = (milliseconds % 1000) as u32;
    out.push(b'.');
    out.push(b'0' + (rest / 100) as u8);
    push_two(out, rest % 100);
}

/// Writes the last `digits` hexadecimal digits of a number, lower case.
pub(crate) fn push_hex(out: &mut Vec<u8>, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        out.push(HEX[(number >> (place * 4) & 15) as usize]);
    }
}

/// Writes a UUID (version 4 in form) made of `seed`.
pub(crate) fn push_uuid(out: &mut Vec<u8>, seed: u64) {
    let high = mix(seed);
    let low = mix(high ^ seed);
    push_hex(out, high >> 32, 8);
    out.push(b'-');
    push_hex(out, high >> 16, 4);
    push(out, "-4");
    push_hex(out, high, 3);
    out.push(b'-');
    push_hex(out, low >> 62 | 8, 1);
    push_hex(out, low >> 48, 3);
    out.push(b'-');
    push_hex(out, low, 12);
}

/// Writes `count` characters of the URL-safe base64 alphabet, from `bits`, at
/// most 10 of them.
pub(crate) fn push_base64(out: &mut Vec<u8>, bits: u64, count: u32) {
    for place in 0..count {
        out.push(BASE64[(bits >> (place * 6) & 63) as usize]);
    }
}

/// Writes 40 bytes as URL-safe base64: 54 characters and `==`, the form of
/// `x-edge-request-id`.
pub(crate) fn push_request_id(out: &mut Vec<u8>, words: [u64; 5]) {
    let mut bytes = [0u8; 42];
    for (index, word) in words.iter().enumerate() {
        bytes[index * 8..index * 8 + 8].copy_from_slice(&word.to_be_bytes());
    }
    let mut text = [b'='; 56];
    for (three, four) in bytes.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let bits = u32::from_be_bytes([0, three[0], three[1], three[2]]);
        for (place, character) in four.iter_mut().enumerate() {
            *character = BASE64[(bits >> (18 - 6 * place) & 63) as usize];
        }
    }
    text[54..].copy_from_slice(b"==");
    out.extend_from_slice(&text);
}

/// Writes an IPv4 address.
pub(crate) fn push_ipv4(out: &mut Vec<u8>, address: u32) {
    let [a, b, c, d] = address.to_be_bytes();
    for (index, octet) in [a, b, c, d].into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        push_number(out, u64::from(octet));
    }
}

/// Writes an IPv6 address none of whose groups is zero, so that its canonical
/// form (RFC 5952) has nothing to compress.
pub(crate) fn push_ipv6(out: &mut Vec<u8>, address: u128) {
    for place in (0..8).rev() {
        let group = (address >> (place * 16)) as u64 & 0xffff;
        let digits = (64 - group.leading_zeros()).div_ceil(4).max(1);
        push_hex(out, group, digits);
        if place > 0 {
            out.push(b':');
        }
    }
}

/// A calendar date and time of day, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: u32,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
}

impl Civil {
    /// Converts milliseconds since the epoch (H. Hinnant's `civil_from_days`).
    pub(crate) const fn from_millis(milliseconds: u64) -> Civil {
        let seconds = milliseconds / 1000;
        let days = seconds / 86_400 + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let month = if month_from_march < 10 {
            month_from_march + 3
        } else {
            month_from_march - 9
        };
        Civil {
            year: (year_of_era + era * 400 + (month <= 2) as u64) as u32,
            month: month as u32,
            day: (of_year - (153 * month_from_march + 2) / 5 + 1) as u32,
            hour: (seconds / 3600 % 24) as u32,
            minute: (seconds / 60 % 60) as u32,
            second: (seconds % 60) as u32,
        }
    }
}

/// Percent-encodes text as CloudFront does in its logs: control characters,
/// space, everything from 127 up, and ``<>"#%{}|\^~[]`'``.
pub(crate) fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        if byte <= b' ' || byte >= 127 || b"<>\"#%{}|\\^~[]`'".contains(&byte) {
            out.push(b'%');
            out.push(HEX[usize::from(byte >> 4)].to_ascii_uppercase());
            out.push(HEX[usize::from(byte & 15)].to_ascii_uppercase());
        } else {
            out.push(byte);
        }
    }
    out
}

/// Returns how many bytes percent-encoded text has once decoded.
pub(crate) fn decoded_len(encoded: &[u8]) -> usize {
    encoded.len() - 2 * encoded.iter().filter(|byte| **byte == b'%').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("writers write ASCII")
    }

    #[test]
    fn numbers_and_seconds() {
        for number in [0, 7, 10, 99, 100, 101, 65_535, 1_000_000, u64::MAX] {
            assert_eq!(written(|out| push_number(out, number)), number.to_string());
        }
        assert_eq!(written(|out| push_seconds(out, 7)), "0.007");
        assert_eq!(written(|out| push_seconds(out, 30_040)), "30.040");
    }

    #[test]
    fn addresses_read_back() {
        let v4 = std::net::Ipv4Addr::new(100, 64, 0, 255);
        assert_eq!(written(|out| push_ipv4(out, v4.to_bits())), v4.to_string());
        let v6: std::net::Ipv6Addr = "2001:db8:3a00:1:20:300:4000:f".parse().unwrap();
        assert_eq!(written(|out| push_ipv6(out, v6.to_bits())), v6.to_string());
    }

    #[test]
    fn dates() {
        let leap = Civil::from_millis(1_709_210_096_789);
        assert_eq!((leap.year, leap.month, leap.day), (2024, 2, 29));
        assert_eq!((leap.hour, leap.minute, leap.second), (12, 34, 56));
        assert_eq!(Civil::from_millis(0).year, 1970);
        let new_year = Civil::from_millis(1_767_225_600_000);
        assert_eq!((new_year.year, new_year.month, new_year.day), (2026, 1, 1));
    }

    #[test]
    fn encoding_is_cloudfronts() {
        let encoded = encode("Mozilla/5.0 (X11; é) %20 {a|b}~'\"\n");
        assert_eq!(
            String::from_utf8_lossy(&encoded),
            "Mozilla/5.0%20(X11;%20%C3%A9)%20%2520%20%7Ba%7Cb%7D%7E%27%22%0A"
        );
        assert_eq!(
            decoded_len(&encoded),
            "Mozilla/5.0 (X11; é) %20 {a|b}~'\"\n".len()
        );
    }

    #[test]
    fn ids_have_their_form() {
        let id = written(|out| push_request_id(out, [1, 2, 3, 4, u64::MAX]));
        assert_eq!((id.len(), &id[54..]), (56, "=="));
        let uuid = written(|out| push_uuid(out, 5));
        assert_eq!(uuid.len(), 36);
        assert_eq!(uuid.as_bytes()[14], b'4');
    }
}
