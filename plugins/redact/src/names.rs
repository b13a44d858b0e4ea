//! Which names (of parameters, of headers) carry secrets.
//!
//! A name is compared in a normal form, so that the ways of writing it that a
//! server takes for the same are the same here: percent-encoding is undone
//! however often it was applied, letter case is ignored, and everything that
//! is neither letter nor digit is left out (`X-Api-Key`, `x_api_key` and
//! `apikey` are one name).

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr3};

/// The longest name whose normal form is worth making, in bytes. Nobody names
/// a parameter so; a longer name counts as secret because it cannot be judged.
const MAX_NAME_BYTES: usize = 128;

/// A list of names, each perhaps with `*` before, behind or both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// Names without `*`, in normal form, by their length.
    exact: Vec<Vec<Box<[u8]>>>,
    /// `name*`.
    prefixes: Vec<Box<[u8]>>,
    /// `*name`.
    suffixes: Vec<Box<[u8]>>,
    /// `*name*`, by their first byte: 256 lists, or none where there is no
    /// such pattern.
    infixes: Vec<Vec<Box<[u8]>>>,
}

impl Names {
    /// Compiles patterns such as `token`, `*token` and `x-auth*`.
    ///
    /// # Errors
    ///
    /// The index of the first pattern that has no letter or digit, or a `*`
    /// elsewhere than at an end.
    pub(crate) fn new<T: AsRef<str>>(patterns: &[T]) -> Result<Names, usize> {
        let mut names = Names::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let pattern = pattern.as_ref();
            let (after_star, pattern) = match pattern.strip_prefix('*') {
                Some(rest) => (true, rest),
                None => (false, pattern),
            };
            let (before_star, pattern) = match pattern.strip_suffix('*') {
                Some(rest) => (true, rest),
                None => (false, pattern),
            };
            let mut normal = Vec::new();
            normalize(pattern.as_bytes(), &mut normal);
            if normal.is_empty() || pattern.contains('*') {
                return Err(index);
            }
            let normal = normal.into_boxed_slice();
            match (after_star, before_star) {
                (false, false) => {
                    let length = normal.len();
                    if names.exact.len() <= length {
                        names.exact.resize(length + 1, Vec::new());
                    }
                    names.exact[length].push(normal);
                }
                (false, true) => names.prefixes.push(normal),
                (true, false) => names.suffixes.push(normal),
                (true, true) => {
                    names.infixes.resize(256, Vec::new());
                    names.infixes[usize::from(normal[0])].push(normal);
                }
            }
        }
        Ok(names)
    }

    /// Tells whether `name`, as it stands in a query string, is in the list.
    ///
    /// `user[password]` and `user.password` are in it where `password` is.
    /// A name that cannot be decoded, or is too long to judge, is in it.
    pub(crate) fn contains_encoded(&self, name: &[u8]) -> bool {
        if name.len() > MAX_NAME_BYTES {
            return true;
        }
        if !name.contains(&b'%') {
            return self.contains(name);
        }
        let mut decoded = Vec::with_capacity(name.len());
        decode_fully(name, &mut decoded);
        decoded.contains(&b'%') || self.contains(&decoded)
    }

    /// The same for a name without percent-encoding.
    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        if name.len() > MAX_NAME_BYTES {
            return true;
        }
        let mut buffer = [0; MAX_NAME_BYTES];
        let whole = normalize_into(name, &mut buffer);
        if self.matches(whole) {
            return true;
        }
        let is_nesting = |byte: &u8| matches!(byte, b'[' | b']' | b'.');
        name.iter().any(is_nesting)
            && name
                .split(is_nesting)
                .any(|segment| self.matches(normalize_into(segment, &mut buffer)))
    }

    /// Tells whether a name in normal form is in the list.
    fn matches(&self, name: &[u8]) -> bool {
        let exact = self.exact.get(name.len());
        exact.is_some_and(|names| names.iter().any(|other| **other == *name))
            || self.suffixes.iter().any(|end| name.ends_with(end))
            || self.prefixes.iter().any(|start| name.starts_with(start))
            || self.has_infix(name)
    }

    fn has_infix(&self, name: &[u8]) -> bool {
        !self.infixes.is_empty()
            && name.iter().enumerate().any(|(start, first)| {
                let parts = &self.infixes[usize::from(*first)];
                parts.iter().any(|part| name[start..].starts_with(part))
            })
    }

    /// Tells whether `text` somewhere gives a value to a name of the list:
    /// `…token=…`, `…"token": …`, percent-encoded however often.
    ///
    /// This finds secrets inside other values: a URL in a parameter
    /// (`next=%2Flogin%3Ftoken%3Dabc`), JSON in a cookie.
    pub(crate) fn assigned_in(&self, text: &str, signs: Signs) -> bool {
        let bytes = text.as_bytes();
        let find = |bytes: &[u8]| match signs {
            Signs::Equals => memchr2(b'=', b'%', bytes),
            Signs::EqualsOrColon => memchr3(b'=', b':', b'%', bytes),
        };
        let Some(first) = find(bytes) else {
            return false;
        };
        let decoded: Cow<'_, [u8]> = if memchr(b'%', &bytes[first..]).is_some() {
            let mut decoded = Vec::with_capacity(bytes.len());
            decode_fully(bytes, &mut decoded);
            decoded.into()
        } else {
            bytes.into()
        };
        let mut start = 0;
        while let Some(at) = find(&decoded[start..]) {
            let end = start + at;
            let sign = decoded[end];
            if sign != b'%' && self.contains_at_end(&decoded[start..end], sign) {
                return true;
            }
            start = end + 1;
        }
        false
    }

    /// Tells whether the last word of `text`, quotes, backslashes and spaces
    /// behind it aside, is in the list; `sign` follows it.
    fn contains_at_end(&self, text: &[u8], sign: u8) -> bool {
        let is_word = |byte: &u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'[' | b']' | b'.')
        };
        let is_padding = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\' | b' ' | b'+' | b'\t');
        let end = text
            .iter()
            .rposition(|byte| !is_padding(byte))
            .map_or(0, |at| at + 1);
        let is_padded = end < text.len();
        let text = &text[..end];
        let start = text
            .iter()
            .rposition(|byte| !is_word(byte))
            .map_or(0, |at| at + 1);
        // A word longer than a name is no name here: it would make every long
        // value secret. Nor is a host before its port (`auth.example.com:443`),
        // behind which nothing stands, unlike a quoted name with dots.
        let word = &text[start..];
        let is_host = sign == b':' && !is_padded && word.contains(&b'.');
        !word.is_empty() && word.len() <= MAX_NAME_BYTES && !is_host && self.contains(word)
    }
}

/// What gives a value to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signs {
    /// `name=value`, as in URLs.
    Equals,
    /// `name: value` too, as in JSON and headers.
    EqualsOrColon,
}

/// Appends `encoded` with percent-encoding undone until none is left.
///
/// One pass: whenever the end of the output has become an escape, which can
/// also happen by decoding, it is replaced by its byte. So hostile nesting
/// (`%252525…`) takes linear time.
pub(crate) fn decode_fully(encoded: &[u8], out: &mut Vec<u8>) {
    for &byte in encoded {
        out.push(byte);
        while let [.., b'%', high, low] = out[..]
            && let (Some(high), Some(low)) = (hex_digit(high), hex_digit(low))
        {
            out.truncate(out.len() - 3);
            out.push(high << 4 | low);
        }
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Appends the normal form of `name`. Bytes past ASCII stay as they are.
fn normalize(name: &[u8], out: &mut Vec<u8>) {
    out.extend(name.iter().filter_map(normal_byte));
}

/// Writes the normal form of `name`, which fits, into `buffer`.
fn normalize_into<'b>(name: &[u8], buffer: &'b mut [u8; MAX_NAME_BYTES]) -> &'b [u8] {
    let mut length = 0;
    for byte in name.iter().filter_map(normal_byte) {
        buffer[length] = byte;
        length += 1;
    }
    &buffer[..length]
}

fn normal_byte(byte: &u8) -> Option<u8> {
    (byte.is_ascii_alphanumeric() || !byte.is_ascii()).then(|| byte.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new(&["password", "api_key", "*token", "x-auth*", "*secret*"]).unwrap()
    }

    #[test]
    fn case_and_punctuation_do_not_matter() {
        for name in ["password", "PassWord", "pass-word", "API-Key", "apikey"] {
            assert!(names().contains_encoded(name.as_bytes()), "{name}");
        }
        for name in ["passwords", "word", "key", "q", ""] {
            assert!(!names().contains_encoded(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn stars_match_at_the_ends() {
        for name in ["token", "access_token", "X-Auth-User", "client_secret_id"] {
            assert!(names().contains_encoded(name.as_bytes()), "{name}");
        }
        assert!(!names().contains_encoded(b"tokens"));
    }

    #[test]
    fn encoding_is_undone_however_often_it_was_applied() {
        for name in [
            "%70assword",
            "%2570assword",
            "%252570assword",
            "p%61ssw%6Frd",
        ] {
            assert!(names().contains_encoded(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_quoted_name_with_dots_is_no_host() {
        for text in [
            r#"{"user.password":"x"}"#,
            r#"{\"user.password\" : \"x\"}"#,
            "%7B%22user.password%22%3A%22x%22%7D",
        ] {
            assert!(names().assigned_in(text, Signs::EqualsOrColon), "{text}");
        }
        assert!(!names().assigned_in("password.example.com:443", Signs::EqualsOrColon));
    }

    #[test]
    fn nested_names_count() {
        for name in [
            "user[password]",
            "user%5Bpassword%5D",
            "user.password",
            "a[b][api_key][]",
        ] {
            assert!(names().contains_encoded(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_judged_counts_as_secret() {
        assert!(names().contains_encoded(b"100%"));
        assert!(names().contains_encoded(b"%zz"));
        assert!(names().contains_encoded(&[b'a'; MAX_NAME_BYTES + 1]));
    }

    #[test]
    fn secrets_inside_values_are_seen() {
        for text in [
            "/login?token=abc",
            "%2Flogin%3Ftoken%3Dabc",
            "%252Flogin%253Ftoken%253Dabc",
            r#"{"user":"x","password": "y"}"#,
            r#"{\"password\":\"y\"}"#,
            "a=1&user[password]=2",
        ] {
            assert!(names().assigned_in(text, Signs::EqualsOrColon), "{text}");
        }
        for text in [
            "token",
            "12:30",
            "a=b",
            "https://example.com/",
            "100%25 off",
            "https://password.example:443/",
        ] {
            assert!(!names().assigned_in(text, Signs::EqualsOrColon), "{text}");
        }
    }

    #[test]
    fn a_pattern_needs_a_name_and_stars_only_at_its_ends() {
        assert_eq!(Names::new(&["token", "*"]).unwrap_err(), 1);
        assert_eq!(Names::new(&["a*b"]).unwrap_err(), 0);
        assert_eq!(Names::new(&[""]).unwrap_err(), 0);
    }

    proptest! {
        #[test]
        fn a_secret_name_is_found_under_any_mix_of_encodings(
            rounds in proptest::collection::vec(0u8..4, 8),
            upper in proptest::collection::vec(any::<bool>(), 8),
        ) {
            let mut name = String::new();
            for ((letter, rounds), upper) in "password".chars().zip(rounds).zip(upper) {
                let letter = if upper { letter.to_ascii_uppercase() } else { letter };
                let mut text = letter.to_string();
                if rounds > 0 {
                    text = format!("%{:02X}", letter as u32);
                }
                for _ in 1..rounds {
                    text = text.replace('%', "%25");
                }
                name.push_str(&text);
            }
            prop_assert!(names().contains_encoded(name.as_bytes()), "{}", name);
            let parameter = format!("x={name}%3Dabc");
            prop_assert!(names().assigned_in(&parameter, Signs::Equals), "{}", parameter);
        }

        #[test]
        fn decoding_leaves_no_escape(text in "[%0-9a-f]{0,80}") {
            let mut once = Vec::new();
            decode_fully(text.as_bytes(), &mut once);
            let mut twice = Vec::new();
            decode_fully(&once, &mut twice);
            prop_assert_eq!(once, twice);
        }
    }
}
