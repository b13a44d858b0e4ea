//! Scrubbing of cookies and of request headers.

use std::ops::Range;

use memchr::memchr;

use crate::address::{self, Prefixes};
use crate::edit::{Edit, pieces};
use crate::memo::Memo;
use crate::names::{Names, Signs, decode_fully};
use crate::url;

/// The cookies whose values stay.
///
/// Unlike a list of secrets this must err on the side of the stranger: names
/// are compared byte for byte, and `*` may only stand at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptCookies {
    exact: Vec<String>,
    prefixes: Vec<String>,
}

impl KeptCookies {
    /// Compiles patterns such as `theme` and `_ga*`.
    ///
    /// # Errors
    ///
    /// The index of the first pattern with a `*` elsewhere than at its end.
    pub(crate) fn new(patterns: &[String]) -> Result<KeptCookies, usize> {
        let mut kept = KeptCookies::default();
        for (index, pattern) in patterns.iter().enumerate() {
            let (list, name) = match pattern.strip_suffix('*') {
                Some(prefix) => (&mut kept.prefixes, prefix),
                None => (&mut kept.exact, pattern.as_str()),
            };
            if name.contains('*') {
                return Err(index);
            }
            list.push(name.to_owned());
        }
        Ok(kept)
    }

    fn contains(&self, name: &str) -> bool {
        self.exact.iter().any(|kept| kept == name)
            || self
                .prefixes
                .iter()
                .any(|kept| name.starts_with(kept.as_str()))
    }
}

/// Everything that decides what of a header or cookie may stay.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// The headers whose values are replaced.
    pub(crate) headers: Names,
    /// The parameters whose values are replaced wherever they stand.
    pub(crate) parameters: Names,
    /// The cookies whose values stay.
    pub(crate) cookies: KeptCookies,
    /// How addresses are cut.
    pub(crate) prefixes: Prefixes,
    /// What is done with headers, as far as it was decided.
    pub(crate) treatments: Memo<Treatment>,
}

/// Headers that hold the viewer's address, perhaps with a port, or a list of
/// addresses. In lower case.
const ADDRESS_HEADERS: [&str; 11] = [
    "cf-connecting-ip",
    "client-ip",
    "cloudfront-viewer-address",
    "fastly-client-ip",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-for",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-real-ip",
];

/// Headers that hold a URL. In lower case.
const URL_HEADERS: [&str; 4] = [
    "referer",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-uri",
];

/// Starts of values that are credentials whatever the header is called.
const CREDENTIAL_SCHEMES: [&str; 3] = ["bearer ", "basic ", "digest "];

/// The longest name of an empty cookie that is taken for a name: what is longer
/// may be a value in base64, which ends with `=` too.
const MAX_EMPTY_NAME_BYTES: usize = 10;

impl Rules {
    /// Replaces the values of all cookies that are not kept in the value of a
    /// `Cookie` header.
    ///
    /// Names stay, so that it can be seen which cookies are sent. An element
    /// without a name is a value and is replaced.
    pub(crate) fn cookies(&self, edit: &mut Edit<'_, '_>, part: Range<usize>) {
        let text = edit.part(0..part.end);
        for cookie in pieces(text, part, b';') {
            let cookie = without_space(text, cookie);
            let whole = &text[cookie.clone()];
            let Some((name, value)) = whole.split_once('=') else {
                if !whole.is_empty() {
                    edit.redact(cookie);
                }
                continue;
            };
            // `c2VjcmV0dG9rZW4=` is a value without a name.
            let is_padding = value.bytes().all(|byte| byte == b'=');
            if is_padding && name.len() > MAX_EMPTY_NAME_BYTES && !self.cookies.contains(name) {
                edit.redact(cookie);
                continue;
            }
            let is_kept = value.is_empty()
                || self.cookies.contains(name)
                    && !self.parameters.assigned_in(value, Signs::EqualsOrColon);
            if !is_kept {
                edit.redact(cookie.start + name.len() + 1..cookie.end);
            }
        }
    }

    /// Scrubs a block of headers, `Name:Value` one a line: listed values are
    /// replaced, cookies and URLs scrubbed, addresses cut.
    ///
    /// A line that is no header is replaced wholly.
    pub(crate) fn header_block(&mut self, edit: &mut Edit<'_, '_>, part: Range<usize>) {
        let text = edit.part(0..part.end);
        for mut line in pieces(text, part, b'\n') {
            if text[line.clone()].ends_with('\r') {
                line.end -= 1;
            }
            if hides_control(&text.as_bytes()[line.clone()]) {
                self.encoded_lines(edit, line);
            } else if let Some((treatment, value)) = self.line(edit, line) {
                self.header(edit, treatment, value);
            }
        }
    }

    /// Scrubs headers between which line ends are percent-encoded: a block with
    /// a byte that is not UTF-8 comes so, because it cannot be decoded.
    ///
    /// A value with an escape is replaced, since it may hide a secret. Where it
    /// hides another control character, so is everything behind it.
    fn encoded_lines(&mut self, edit: &mut Edit<'_, '_>, part: Range<usize>) {
        let text = edit.part(0..part.end);
        let mut next = Some(part.start);
        while let Some(start) = next {
            let rest = &text.as_bytes()[start..part.end];
            let length = find_escape(rest, *b"%0A");
            next = length.map(|length| start + length + 3);
            let mut line = start..length.map_or(part.end, |length| start + length);
            let bytes = &text.as_bytes()[line.clone()];
            if let [.., b'%', b'0', b'd' | b'D'] = bytes {
                line.end -= 3;
            }
            let Some((treatment, value)) = self.line(edit, line) else {
                continue;
            };
            let bytes = &text.as_bytes()[value.clone()];
            if hides_control(bytes) {
                return edit.redact(value.start..part.end);
            } else if memchr(b'%', bytes).is_some() {
                edit.redact(value);
            } else {
                self.header(edit, treatment, value);
            }
        }
    }

    /// Returns what is to be done with the value of a line, and the value.
    /// Nothing where there is none, or the line is no header and was replaced.
    fn line(
        &mut self,
        edit: &mut Edit<'_, '_>,
        line: Range<usize>,
    ) -> Option<(Treatment, Range<usize>)> {
        let text = edit.part(0..line.end);
        let bytes = &text.as_bytes()[line.clone()];
        let name = &bytes[..memchr(b':', bytes).unwrap_or(0)];
        let headers = &self.headers;
        let treatment = self.treatments.get(name, || Treatment::of(name, headers));
        if treatment == Treatment::NoHeader {
            if !bytes.is_empty() {
                edit.redact(line);
            }
            return None;
        }
        let value = without_space(text, line.start + name.len() + 1..line.end);
        (!value.is_empty()).then_some((treatment, value))
    }

    fn header(&self, edit: &mut Edit<'_, '_>, treatment: Treatment, value: Range<usize>) {
        let text = edit.part(value.clone());
        match treatment {
            Treatment::Cookies => self.cookies(edit, value),
            Treatment::Addresses => self.prefixes.list(edit, value),
            Treatment::Url if !is_credential(text) => url::url(edit, value, &self.parameters),
            Treatment::Look if address::is_list(text) => self.prefixes.list(edit, value),
            Treatment::Look
                if !is_credential(text)
                    && !self.parameters.assigned_in(text, Signs::EqualsOrColon) => {}
            _ => edit.redact(value),
        }
    }
}

/// What is done with the value of a header, by the header's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// The name is none: the whole line is replaced.
    #[default]
    NoHeader,
    /// The value is replaced.
    Redact,
    /// It is scrubbed as cookies.
    Cookies,
    /// It is cut as a list of addresses.
    Addresses,
    /// It is scrubbed as a URL.
    Url,
    /// It is replaced if it looks like a secret or holds one, and cut if it is
    /// a list of addresses.
    Look,
}

impl Treatment {
    fn of(name: &[u8], secrets: &Names) -> Treatment {
        let is_one_of = |names: &[&str]| {
            let is = |other: &&str| name.eq_ignore_ascii_case(other.as_bytes());
            names.iter().any(is)
        };
        if name.is_empty() || !name.iter().all(|byte| is_token(*byte)) {
            Treatment::NoHeader
        } else if is_one_of(&["cookie"]) {
            Treatment::Cookies
        } else if is_one_of(&ADDRESS_HEADERS) {
            Treatment::Addresses
        } else if secrets.contains(name) {
            Treatment::Redact
        } else if is_one_of(&URL_HEADERS) {
            Treatment::Url
        } else {
            Treatment::Look
        }
    }
}

/// Returns `part` of a text less the spaces at its start.
fn without_space(text: &str, part: Range<usize>) -> Range<usize> {
    let bytes = &text.as_bytes()[part.clone()];
    let spaces = bytes.iter().take_while(|byte| byte.is_ascii_whitespace());
    part.start + spaces.count()..part.end
}

/// Tells whether an escape in `text` stands for a control character other than
/// a tab, however often it was encoded.
fn hides_control(text: &[u8]) -> bool {
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    memchr(b'%', text).is_some() && {
        let mut decoded = Vec::with_capacity(text.len());
        decode_fully(text, &mut decoded);
        decoded.iter().any(is_control)
    }
}

/// Returns where the first `escape` of `text` is, letter case aside.
fn find_escape(text: &[u8], escape: [u8; 3]) -> Option<usize> {
    text.windows(escape.len())
        .position(|window| window.eq_ignore_ascii_case(&escape))
}

/// Tells whether the name of a header may have this byte.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_credential(value: &str) -> bool {
    // Nearly every value is settled by its first byte.
    matches!(value.as_bytes(), [b'b' | b'B' | b'd' | b'D', ..])
        && CREDENTIAL_SCHEMES.iter().any(|scheme| {
            value
                .get(..scheme.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })
}

#[cfg(test)]
mod tests {
    use canopy_sdk::Text;
    use proptest::prelude::*;

    use super::*;

    fn rules() -> Rules {
        Rules {
            headers: Names::new(&["*authorization", "*api-key", "*token"]).unwrap(),
            parameters: Names::new(&["*token", "password"]).unwrap(),
            cookies: KeptCookies::new(&["theme".into(), "_ga*".into()]).unwrap(),
            prefixes: Prefixes { ipv4: 24, ipv6: 48 },
            treatments: Memo::default(),
        }
    }

    fn run(scrub: fn(&mut Rules, &mut Edit<'_, '_>, Range<usize>), value: &str) -> String {
        let mut out = Text::default();
        let mut edit = Edit::new(value, &mut out);
        scrub(&mut rules(), &mut edit, 0..value.len());
        edit.finish();
        out.as_str().to_owned()
    }

    fn cookies(value: &str) -> String {
        run(|rules, edit, part| rules.cookies(edit, part), value)
    }

    fn headers(value: &str) -> String {
        run(Rules::header_block, value)
    }

    #[test]
    fn cookies_lose_their_values_and_keep_their_names() {
        assert_eq!(
            cookies("sid=abc; user=alice"),
            "sid=REDACTED; user=REDACTED"
        );
        assert_eq!(cookies("sid=a=b;x=1"), "sid=REDACTED;x=REDACTED");
        assert_eq!(cookies("sid="), "sid=");
        assert_eq!(cookies(""), "");
    }

    #[test]
    fn kept_cookies_stay_by_exact_name_or_start() {
        assert_eq!(
            cookies("theme=dark; _ga_X1=GA1.2"),
            "theme=dark; _ga_X1=GA1.2"
        );
        assert_eq!(
            cookies("Theme=dark; themes=x"),
            "Theme=REDACTED; themes=REDACTED"
        );
    }

    #[test]
    fn a_kept_cookie_that_holds_a_secret_is_replaced() {
        assert_eq!(cookies("theme=dark,token=abc"), "theme=REDACTED");
        assert_eq!(cookies("theme=%7B%22password%22%3A1%7D"), "theme=REDACTED");
    }

    #[test]
    fn a_cookie_without_a_name_is_replaced() {
        assert_eq!(cookies("abc; theme=dark;"), "REDACTED; theme=dark;");
    }

    #[test]
    fn a_value_that_ends_like_base64_is_no_name() {
        assert_eq!(cookies("c2VjcmV0dG9rZW4="), "REDACTED");
        assert_eq!(cookies("a=1; c2VjcmV0dG9rZQ=="), "a=REDACTED; REDACTED");
        assert_eq!(cookies("_ga_measurement="), "_ga_measurement=");
        assert_eq!(cookies("JSESSIONID="), "JSESSIONID=");
    }

    #[test]
    fn a_block_of_headers_keeps_its_names_and_lines() {
        let block = "Host:www.example.com\nAuthorization:Bearer abc\nX-Api-Key:k\nAccept:*/*\n";
        assert_eq!(
            headers(block),
            "Host:www.example.com\nAuthorization:REDACTED\nX-Api-Key:REDACTED\nAccept:*/*\n"
        );
    }

    #[test]
    fn headers_that_repeat_another_column_are_scrubbed_like_it() {
        assert_eq!(
            headers("Cookie:theme=dark; sid=abc\nReferer:https://example.com/?token=abc"),
            "Cookie:theme=dark; sid=REDACTED\nReferer:https://example.com/?token=REDACTED"
        );
        assert_eq!(
            headers("X-Forwarded-For:203.0.113.7\nCloudFront-Viewer-Address:203.0.113.7:50123"),
            "X-Forwarded-For:203.0.113.0\nCloudFront-Viewer-Address:203.0.113.0"
        );
    }

    #[test]
    fn secrets_under_unlisted_names_are_seen() {
        assert_eq!(headers("X-Custom: Bearer abc"), "X-Custom: REDACTED");
        assert_eq!(headers("X-Custom:a=1; token=abc"), "X-Custom:REDACTED");
        assert_eq!(
            headers("User-Agent:curl/8.0 (a:b)"),
            "User-Agent:curl/8.0 (a:b)"
        );
    }

    #[test]
    fn addresses_under_unlisted_names_are_cut() {
        assert_eq!(
            headers("X-Peer:203.0.113.7\nX-Hops: [2001:db8:1:2::9]:443, 203.0.113.7"),
            "X-Peer:203.0.113.0\nX-Hops: 2001:db8:1::, 203.0.113.0"
        );
        assert_eq!(
            headers("X-Original-Forwarded-For:alice, 203.0.113.7\nX-Originating-IP:[203.0.113.7]"),
            "X-Original-Forwarded-For:REDACTED, 203.0.113.0\nX-Originating-IP:203.0.113.0"
        );
        for block in [
            "X-A:203.0.113.7 b",
            "Age:12",
            "Date:a, 203.0.113.7",
            "X-Time:12:30",
        ] {
            assert_eq!(headers(block), block);
        }
    }

    #[test]
    fn a_line_that_is_no_header_is_replaced() {
        assert_eq!(headers("Host:a\nabc\n"), "Host:a\nREDACTED\n");
        assert_eq!(headers("a b:c\r\n"), "REDACTED\r\n");
        assert_eq!(headers(":path:/x"), "REDACTED");
        assert_eq!(headers(""), "");
    }

    #[test]
    fn a_block_that_stayed_encoded_is_scrubbed_line_by_line() {
        // So it comes where a value is not UTF-8: the parser undoes nothing.
        assert_eq!(
            headers(
                "Host:www.example.com%0ACookie:sid=abc; theme=dark%0d%0a\
                 X-Forwarded-For:203.0.113.7%0AX-Name:Andr%E9%0Aabc%0A"
            ),
            "Host:www.example.com%0ACookie:sid=REDACTED; theme=dark%0d%0a\
             X-Forwarded-For:203.0.113.0%0AX-Name:REDACTED%0AREDACTED%0A"
        );
        // What an escape may hide there is not searched for.
        assert_eq!(
            headers("Cookie:theme=dark%3B%20sid=abc%0AX-Custom:Bearer%20abc%E9%0A"),
            "Cookie:REDACTED%0AX-Custom:REDACTED%0A"
        );
    }

    #[test]
    fn a_value_with_a_control_character_takes_the_rest_with_it() {
        assert_eq!(
            headers("Host:a\nX-Custom:a%250ACookie: sid=abc%0AAccept:b\nAccept:c"),
            "Host:a\nX-Custom:REDACTED\nAccept:c"
        );
    }

    #[test]
    fn an_escape_in_a_block_that_was_decoded_is_one_of_the_value() {
        let block = "X-Path:/a%20b%E9\nAccept:*/*";
        assert_eq!(headers(block), block);
    }

    #[test]
    fn a_star_in_a_kept_cookie_may_only_end_it() {
        assert_eq!(KeptCookies::new(&["a".into(), "*b".into()]).unwrap_err(), 1);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_the_secret_never_survives(
            before in "[ -~\u{e9}\n]{0,40}",
            after in "(\n[ -~\n]{0,30})?",
        ) {
            let block = headers(&format!("{before}\nAuthorization:SENSITIVE{after}"));
            prop_assert!(!block.contains("SENSITIVE"), "{}", block);
            let cookie = cookies(&format!("{before};sid=SENSITIVE"));
            prop_assert!(!cookie.contains("SENSITIVE"), "{}", cookie);
        }
    }
}
