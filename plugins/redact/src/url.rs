//! Scrubbing of query strings and URLs.

use std::net::Ipv6Addr;
use std::ops::Range;

use crate::edit::{Edit, pieces};
use crate::names::{Names, Signs};

/// Replaces the values of listed parameters in a query string.
///
/// Parameters are separated by `&` or `;`. Names and separators stay, so the
/// shape of a request can still be counted. A parameter whose name is not
/// listed is replaced too where it holds a listed name with a value.
pub(crate) fn query(edit: &mut Edit<'_, '_>, part: Range<usize>, names: &Names) {
    let text = edit.part(0..part.end);
    for piece in pieces(text, part, b'&') {
        parameters(edit, piece, names, Signs::EqualsOrColon);
    }
}

/// Replaces what follows a listed name in a segment of a path
/// (`/a;jsessionid=REDACTED/b`).
pub(crate) fn path(edit: &mut Edit<'_, '_>, part: Range<usize>, names: &Names) {
    let text = edit.part(0..part.end);
    if text.as_bytes()[part.clone()]
        .iter()
        .any(|byte| matches!(byte, b'=' | b'%'))
    {
        for segment in pieces(text, part, b'/') {
            // A colon in a path is part of a name (`/token:refresh`).
            parameters(edit, segment, names, Signs::Equals);
        }
    }
}

/// Scrubs parameters separated by `;`.
///
/// Whether `;` separates is up to the server: where it does not, what follows
/// it belongs to the value. So everything after the first secret goes.
fn parameters(edit: &mut Edit<'_, '_>, part: Range<usize>, names: &Names, signs: Signs) {
    let text = edit.part(0..part.end);
    for parameter in pieces(text, part.clone(), b';') {
        let whole = &text[parameter.clone()];
        let Some(equals) = whole.find('=') else {
            if names.assigned_in(whole, signs) {
                return edit.redact(parameter.start..part.end);
            }
            continue;
        };
        let (name, value) = (&whole[..equals], &whole[equals + 1..]);
        let value_start = parameter.start + equals + 1;
        if value_start == part.end {
            // There is no value to replace, but the name may hold one.
            if names.assigned_in(name, signs) {
                return edit.redact(parameter.start..part.end);
            }
        } else if names.contains_encoded(name.as_bytes())
            || names.assigned_in(value, signs)
            || !is_plain(name) && names.assigned_in(whole, signs)
        {
            return edit.redact(value_start..part.end);
        }
    }
}

/// Tells whether a name holds nothing but what names are made of.
fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Scrubs a URL, absolute or relative: user and password go, path, query and
/// fragment are scrubbed.
///
/// Text that is no URL of the web (it holds a space or a control character, no
/// host after `//` or one that is none, or is of another form, such as `mailto:`) is replaced
/// wholly.
pub(crate) fn url(edit: &mut Edit<'_, '_>, part: Range<usize>, names: &Names) {
    let value = edit.part(part.clone());
    if value.is_empty() {
        return;
    }
    let fragment = value.find('#').unwrap_or(value.len());
    let query_string = value[..fragment].find('?').unwrap_or(fragment);
    let (origin, path_string) =
        value[..query_string].split_at(origin_bytes(&value[..query_string]));
    let first_segment = path_string.split('/').next().unwrap_or_default();
    let is_text = value.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    // Browsers skip further slashes and take what follows for the authority.
    let is_web = !is_text && !first_segment.contains(':') && !origin.ends_with("//");
    let Some(user) = user(origin).filter(|_| is_web) else {
        // `about:` says that there was no page; it carries nothing.
        if !value.strip_prefix("about:").is_some_and(is_plain) {
            edit.redact(part);
        }
        return;
    };
    if !user.is_empty() {
        edit.redact(part.start + user.start..part.start + user.end);
    }
    path(
        edit,
        part.start + origin.len()..part.start + query_string,
        names,
    );
    // Less the marks `?` and `#` themselves.
    for (start, end) in [(query_string, fragment), (fragment, value.len())] {
        if start < end {
            query(edit, part.start + start + 1..part.start + end, names);
        }
    }
}

/// Returns the length of scheme, `//` and authority; 0 where there are none.
fn origin_bytes(rest: &str) -> usize {
    match rest.find("//") {
        Some(slashes) if is_scheme(&rest[..slashes]) => {
            let authority = &rest[slashes + 2..];
            let end = authority.find(['/', '\\']).unwrap_or(authority.len());
            slashes + 2 + end
        }
        _ => 0,
    }
}

/// Returns where in `https://user:password@host` the user and password are.
/// Nothing where the host is none: a password with a `/` or `?` in it, say.
fn user(origin: &str) -> Option<Range<usize>> {
    let start = origin.find("//").map_or(0, |slashes| slashes + 2);
    let (end, host) = match origin[start..].rfind('@') {
        Some(at) => (start + at, &origin[start + at + 1..]),
        None => (start, &origin[start..]),
    };
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let is_host = match name.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => name.bytes().all(|byte| {
            let is_mark = matches!(byte, b'-' | b'.' | b'_' | b'%');
            byte.is_ascii_alphanumeric() || is_mark || !byte.is_ascii()
        }),
    };
    (is_host && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(start..end)
}

/// Tells whether `text` is empty or a scheme with its colon.
fn is_scheme(text: &str) -> bool {
    text.is_empty()
        || text.strip_suffix(':').is_some_and(|scheme| {
            let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            scheme.bytes().all(is_scheme)
        })
}

#[cfg(test)]
mod tests {
    use canopy_sdk::Text;
    use proptest::prelude::*;

    use super::*;

    type Scrub = fn(&mut Edit<'_, '_>, Range<usize>, &Names);

    fn run(scrub: Scrub, value: &str) -> String {
        let names = Names::new(&["*token", "password", "email", "key", "jsessionid"]).unwrap();
        let mut out = Text::default();
        let mut edit = Edit::new(value, &mut out);
        scrub(&mut edit, 0..value.len(), &names);
        edit.finish();
        out.as_str().to_owned()
    }

    #[track_caller]
    fn check(scrub: Scrub, cases: &[(&str, &str)]) {
        for (value, expected) in cases {
            assert_eq!(run(scrub, value), *expected, "from {value}");
        }
    }

    #[test]
    fn a_harmless_query_is_left_as_it_is() {
        for value in [
            "",
            "v=3",
            "a=1&b=2;c=3",
            "&&",
            "flag",
            "a=",
            "q=100%25&=x",
            "t=12:30",
        ] {
            check(query, &[(value, value)]);
        }
    }

    #[test]
    fn values_of_listed_parameters_are_replaced() {
        check(
            query,
            &[
                ("id=7&token=abc&x=1", "id=7&token=REDACTED&x=1"),
                ("token=", "token="),
                ("token=a=b", "token=REDACTED"),
                ("a=1;access_token=abc", "a=1;access_token=REDACTED"),
                ("EMAIL=a%40example.com", "EMAIL=REDACTED"),
                ("a=1&amp;password=x", "a=1&amp;password=REDACTED"),
                ("%70assword=x", "%70assword=REDACTED"),
                (
                    "%2570assword=x&user[password]=y",
                    "%2570assword=REDACTED&user[password]=REDACTED",
                ),
            ],
        );
    }

    #[test]
    fn a_secret_inside_a_value_takes_the_value_with_it() {
        check(
            query,
            &[
                ("next=%2Fa%3Ftoken%3Dabc&v=1", "next=REDACTED&v=1"),
                (r#"body={"password":"x"}"#, "body=REDACTED"),
                ("token%3Dabc", "REDACTED"),
                ("token%3Dabc=", "REDACTED"),
                ("/a?key=abc", "/a?key=REDACTED"),
                ("a%3Fkey=abc", "a%3Fkey=REDACTED"),
                ("token:abc", "REDACTED"),
            ],
        );
    }

    #[test]
    fn what_may_belong_to_a_secret_goes_with_it() {
        check(
            query,
            &[
                ("password=ab;cd&x=1", "password=REDACTED&x=1"),
                ("password=;cd", "password=REDACTED"),
                ("a=1;password=ab;x=1&b=2", "a=1;password=REDACTED&b=2"),
            ],
        );
    }

    #[test]
    fn a_colon_in_a_path_gives_no_value() {
        check(
            path,
            &[
                ("/v1/token:refresh", "/v1/token:refresh"),
                ("/a%20b", "/a%20b"),
            ],
        );
    }

    #[test]
    fn a_name_that_cannot_be_decoded_has_its_value_replaced() {
        check(
            query,
            &[("%zz=x", "%zz=REDACTED"), ("100%=x", "100%=REDACTED")],
        );
    }

    #[test]
    fn a_url_keeps_its_host_and_harmless_parts() {
        for value in [
            "",
            "https://www.example.com/",
            "https://www.example.com:8443/a/b?x=1#top",
            "android-app://com.example/",
            "/relative?x=1",
            "//example.com/a",
            "http://[2001:db8::1]:8080/",
            "about:client",
            "https://example.com/2026-01-01T10:00:00/x",
        ] {
            check(url, &[(value, value)]);
        }
    }

    #[test]
    fn a_url_is_scrubbed_in_every_part() {
        check(
            url,
            &[
                (
                    "https://example.com/a?token=abc&x=1",
                    "https://example.com/a?token=REDACTED&x=1",
                ),
                (
                    "https://alice:s3cret@example.com/a",
                    "https://REDACTED@example.com/a",
                ),
                (
                    "https://example.com#access_token=abc",
                    "https://example.com#access_token=REDACTED",
                ),
                (
                    "https://example.com/a;jsessionid=1F/b",
                    "https://example.com/a;jsessionid=REDACTED/b",
                ),
                (
                    "https://example.com/key=abc/b",
                    "https://example.com/key=REDACTED/b",
                ),
                ("/a?x=1#token=b", "/a?x=1#token=REDACTED"),
                (
                    "https://example.com?u=https://b/?token=c",
                    "https://example.com?u=REDACTED",
                ),
            ],
        );
    }

    #[test]
    fn what_is_no_url_is_replaced_wholly() {
        for value in [
            "hello world",
            "https://example.com/a b",
            "a\nb",
            "\u{7f}",
            "mailto:alice@example.com",
            "alice:s3cret@example.com",
            r"https:\\alice:s3cret@example.com",
            "https:/alice:s3cret@example.com",
            "https://alice:s3/cret@example.com",
            "https:///alice:s3cret@example.com/",
            "///alice:s3cret@example.com/",
            "https://alice:s3?cret@example.com",
            "about:blank?token=x",
        ] {
            check(url, &[(value, "REDACTED")]);
        }
    }

    proptest! {
        #[test]
        fn the_value_of_a_listed_parameter_never_survives(
            before in "[a-z0-9=&;%:/?#.]{0,30}",
            after in "([&;][a-z0-9=&;:/?#.]{0,20})?",
        ) {
            for scrub in [query as Scrub, url] {
                let value = format!("{before}&token=SENSITIVE{after}");
                let scrubbed = run(scrub, &value);
                prop_assert!(!scrubbed.contains("SENSITIVE"), "{} from {}", scrubbed, value);
            }
        }

        #[test]
        fn scrubbing_twice_changes_nothing_more(value in "[a-z0-9=&;%:/?#@.]{0,40}") {
            for scrub in [query as Scrub, url, path] {
                let once = run(scrub, &value);
                prop_assert_eq!(run(scrub, &once), once);
            }
        }
    }
}
