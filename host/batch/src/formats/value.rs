//! Values read from text: numbers, times, addresses.
//!
//! Every function takes one field as bytes and returns `None` for whatever is
//! not exactly what CloudFront writes. None takes a sign, an exponent, white
//! space or a digit that is not ASCII.

use std::net::IpAddr;

/// The end of the times that are accepted, in milliseconds since the epoch:
/// 2300-01-01, where ClickHouse's `DateTime64` ends.
pub(super) const END_OF_TIME_MS: i64 = 10_413_792_000_000;

const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = 86_400 * SECOND_MS;

/// Reads a whole number up to `max`.
#[inline]
pub(super) fn whole(token: &[u8], max: u64) -> Option<u64> {
    if token.is_empty() {
        return None;
    }
    let mut value = 0u64;
    // Nineteen digits cannot overflow; only longer ones need the checks.
    if token.len() <= 19 {
        for &byte in token {
            value = value * 10 + u64::from(digit(byte)?);
        }
    } else {
        for &byte in token {
            value = value
                .checked_mul(10)?
                .checked_add(u64::from(digit(byte)?))?;
        }
    }
    (value <= max).then_some(value)
}

/// Powers of ten that a `f32` holds exactly.
const POWERS: [f32; 11] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10];

/// Reads a decimal number such as `0.253`, rounded to the nearest `f32`.
#[inline]
pub(super) fn decimal(token: &[u8]) -> Option<f32> {
    let mut mantissa = 0u64;
    let mut point = token.len();
    for (index, &byte) in token.iter().enumerate() {
        match digit(byte) {
            // Saturates past nineteen digits; those take the slow path.
            Some(digit) => {
                mantissa = mantissa.saturating_mul(10).saturating_add(u64::from(digit));
            }
            None if byte == b'.' && point == token.len() => point = index,
            None => return None,
        }
    }
    // Digits are wanted in front of the point, and behind it if there is one.
    if point == 0 || point + 1 == token.len() && token[point] == b'.' {
        return None;
    }
    let decimals = token.len().saturating_sub(point + 1);
    // Both operands are exact, so the division rounds once, which is what
    // makes the result the nearest (Clinger's fast path).
    if mantissa <= 1 << f32::MANTISSA_DIGITS && decimals < POWERS.len() {
        return Some(mantissa as f32 / POWERS[decimals]);
    }
    let text = std::str::from_utf8(token).ok()?;
    text.parse().ok().filter(|value: &f32| value.is_finite())
}

/// Reads seconds since the epoch such as `1671005351.148` as milliseconds.
/// Digits behind the third decimal are dropped, up to nine are taken.
#[inline]
pub(super) fn epoch_seconds(token: &[u8]) -> Option<i64> {
    let (seconds, fraction) = match memchr::memchr(b'.', token) {
        Some(point) => (&token[..point], &token[point + 1..]),
        None => (token, &b"0"[..]),
    };
    if fraction.is_empty() || fraction.len() > 9 {
        return None;
    }
    let mut millis = 0;
    for (place, &byte) in fraction.iter().enumerate() {
        let digit = i64::from(digit(byte)?);
        millis += match place {
            0 => digit * 100,
            1 => digit * 10,
            2 => digit,
            _ => 0,
        };
    }
    let seconds = whole(seconds, (END_OF_TIME_MS / SECOND_MS - 1) as u64)? as i64;
    Some(seconds * SECOND_MS + millis)
}

/// Reads milliseconds since the epoch.
pub(super) fn epoch_millis(token: &[u8]) -> Option<i64> {
    whole(token, END_OF_TIME_MS as u64 - 1).map(|millis| millis as i64)
}

/// Reads `2019-12-04` as the milliseconds of its start, UTC.
#[inline]
pub(super) fn date(token: &[u8]) -> Option<i64> {
    let &[y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = token else {
        return None;
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let month = two_digits(m1, m2)?;
    let day = two_digits(d1, d2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if !(1970..2300).contains(&year) || !(1..=month_days).contains(&day) {
        return None;
    }
    // Years counted from March, so that the leap day is the last of its year
    // and the months before a date have a fixed number of days.
    let year = if month <= 2 { year - 1 } else { year };
    let days_of_months = (153 * ((month + 9) % 12) + 2) / 5;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + days_of_months + day - 1;
    const EPOCH_DAYS: i64 = 719_468;
    Some((days - EPOCH_DAYS) * DAY_MS)
}

/// Reads `21:02:31` as milliseconds since midnight.
#[inline]
pub(super) fn time_of_day(token: &[u8]) -> Option<i64> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = token else {
        return None;
    };
    let (hours, minutes, seconds) = (
        two_digits(h1, h2)?,
        two_digits(m1, m2)?,
        two_digits(s1, s2)?,
    );
    (hours < 24 && minutes < 60 && seconds < 60)
        .then_some((hours * 3_600 + minutes * 60 + seconds) * SECOND_MS)
}

/// Whether the text is an IPv4 or IPv6 address.
#[inline]
pub(super) fn is_address(token: &[u8]) -> bool {
    is_ipv4(token) || std::str::from_utf8(token).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Whether the text is four numbers of at most 255 without leading zeros.
/// Several times as fast as the general reading, and most addresses are these.
#[inline]
fn is_ipv4(token: &[u8]) -> bool {
    let (mut value, mut digits, mut dots) = (0u32, 0u32, 0u32);
    for &byte in token {
        if byte == b'.' {
            if digits == 0 {
                return false;
            }
            (value, digits) = (0, 0);
            dots += 1;
        } else {
            let Some(digit) = digit(byte) else {
                return false;
            };
            let leading_zero = digits > 0 && value == 0;
            value = value * 10 + u32::from(digit);
            digits += 1;
            if leading_zero || value > 255 {
                return false;
            }
        }
    }
    dots == 3 && digits > 0
}

#[inline]
fn digit(byte: u8) -> Option<u8> {
    let value = byte.wrapping_sub(b'0');
    (value < 10).then_some(value)
}

#[inline]
fn two_digits(tens: u8, ones: u8) -> Option<i64> {
    Some(i64::from(digit(tens)?) * 10 + i64::from(digit(ones)?))
}

/// Returns a value for an error message: escaped, in backquotes, at most 48
/// bytes of it.
pub(super) fn shown(token: &[u8]) -> String {
    const SHOWN_BYTES: usize = 48;
    let mut shown = String::from("`");
    for &byte in token.iter().take(SHOWN_BYTES) {
        match byte {
            // Quotes need no escape within backquotes, and JSON is full of them.
            b'"' | b'\'' => shown.push(byte.into()),
            _ => shown.extend(byte.escape_ascii().map(char::from)),
        }
    }
    if token.len() > SHOWN_BYTES {
        shown += &format!("…` ({} bytes)", token.len());
    } else {
        shown.push('`');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_numbers_are_digits_within_the_range() {
        assert_eq!(whole(b"000", 999), Some(0));
        assert_eq!(whole(b"65535", 65_535), Some(65_535));
        assert_eq!(whole(b"65536", 65_535), None);
        assert_eq!(whole(b"18446744073709551615", u64::MAX), Some(u64::MAX));
        assert_eq!(whole(b"18446744073709551616", u64::MAX), None);
        assert_eq!(whole(b"00000000000000000000000001", 9), Some(1));
        for token in ["", "-1", "+1", " 1", "1.0", "1e3", "0x1", "１"] {
            assert_eq!(whole(token.as_bytes(), u64::MAX), None, "{token}");
        }
    }

    #[test]
    fn decimals_take_digits_and_one_point() {
        assert_eq!(decimal(b"0.253"), Some(0.253));
        assert_eq!(decimal(b"2"), Some(2.0));
        assert_eq!(decimal(b"007.50"), Some(7.5));
        assert_eq!(decimal(b"16777217.000000000000001"), Some(16_777_218.0));
        for token in ["", ".", "1.", ".5", "-0.1", "1.2.3", "1e3", "inf", "NaN"] {
            assert_eq!(decimal(token.as_bytes()), None, "{token}");
        }
        assert_eq!(decimal("9".repeat(60).as_bytes()), None, "beyond f32");
    }

    #[test]
    fn seconds_become_milliseconds_without_passing_through_a_float() {
        assert_eq!(epoch_seconds(b"1671005351.148"), Some(1_671_005_351_148));
        assert_eq!(epoch_seconds(b"1671005351.1"), Some(1_671_005_351_100));
        assert_eq!(epoch_seconds(b"1671005351"), Some(1_671_005_351_000));
        assert_eq!(epoch_seconds(b"1671005351.148999"), Some(1_671_005_351_148));
        assert_eq!(epoch_seconds(b"10413791999.999"), Some(END_OF_TIME_MS - 1));
        for token in [
            "",
            ".5",
            "1.",
            "10413792000.0",
            "1.1234567890",
            "-1.0",
            "1,5",
        ] {
            assert_eq!(epoch_seconds(token.as_bytes()), None, "{token}");
        }
        assert_eq!(epoch_millis(b"1731620046814"), Some(1_731_620_046_814));
        assert_eq!(epoch_millis(b"10413792000000"), None);
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(date(b"1970-01-01"), Some(0));
        assert_eq!(date(b"2000-02-29"), Some(951_782_400_000));
        assert_eq!(date(b"2025-10-05"), Some(1_759_622_400_000));
        assert_eq!(date(b"2299-12-31"), Some(END_OF_TIME_MS - DAY_MS));
        for token in [
            "2025-13-01",
            "2025-00-01",
            "2025-02-29",
            "2100-02-29",
            "2025-04-31",
            "2025-01-00",
            "1969-12-31",
            "2300-01-01",
            "25-01-01",
            "2025/01/01",
            "2025-1-1",
        ] {
            assert_eq!(date(token.as_bytes()), None, "{token}");
        }
    }

    #[test]
    fn every_day_follows_the_day_before() {
        let mut expected = 0;
        for year in 1970..2300 {
            for month in 1..=12 {
                for day in 1..=31 {
                    if let Some(millis) = date(format!("{year}-{month:02}-{day:02}").as_bytes()) {
                        assert_eq!(millis, expected);
                        expected += DAY_MS;
                    }
                }
            }
        }
        assert_eq!(expected, END_OF_TIME_MS);
    }

    #[test]
    fn times_are_within_a_day() {
        assert_eq!(time_of_day(b"21:02:31"), Some(75_751_000));
        for token in [
            "24:00:00", "23:60:00", "23:59:60", "1:00:00", "21-02-31", "",
        ] {
            assert_eq!(time_of_day(token.as_bytes()), None, "{token}");
        }
    }

    #[test]
    fn a_shown_value_is_escaped_and_short() {
        assert_eq!(shown(b"a\t'b\xff"), r"`a\t'b\xff`");
        assert_eq!(
            shown(&[b'x'; 100]),
            format!("`{}…` (100 bytes)", "x".repeat(48))
        );
    }

    proptest! {
        #[test]
        fn decimals_are_the_nearest_f32(token in "[0-9]{1,12}(\\.[0-9]{1,14})?") {
            prop_assert_eq!(decimal(token.as_bytes()), token.parse::<f32>().ok());
        }

        #[test]
        fn addresses_are_those_of_the_standard_library(token in "([0-9]{1,3}\\.){2,4}[0-9]{0,3}|[0-9a-f:.]{0,24}") {
            prop_assert_eq!(is_address(token.as_bytes()), token.parse::<IpAddr>().is_ok());
        }

        #[test]
        fn real_addresses_are_addresses(address: IpAddr) {
            prop_assert!(is_address(address.to_string().as_bytes()));
        }
    }
}
