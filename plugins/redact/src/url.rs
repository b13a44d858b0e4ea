//! Scrubbing of query strings and URLs.

use std::net::Ipv6Addr;

use canopy_sdk::Text;

use crate::REDACTED;
use crate::names::{Names, Signs};

/// Appends a query string with the values of listed parameters replaced.
///
/// Parameters are separated by `&` or `;`. Names and separators stay, so the
/// shape of a request can still be counted. A parameter whose name is not
/// listed is replaced too where it holds a listed name with a value.
pub(crate) fn query(value: &str, names: &Names, out: &mut Text) {
    for (index, piece) in value.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        parameters(piece, names, Signs::EqualsOrColon, out);
    }
}

/// Appends a path with what follows a listed name in a segment replaced
/// (`/a;jsessionid=REDACTED/b`).
pub(crate) fn path(value: &str, names: &Names, out: &mut Text) {
    if !value.bytes().any(|byte| matches!(byte, b'=' | b'%')) {
        out.push_str(value);
        return;
    }
    for (index, segment) in value.split('/').enumerate() {
        if index > 0 {
            out.push('/');
        }
        // A colon in a path is part of a name (`/token:refresh`).
        parameters(segment, names, Signs::Equals, out);
    }
}

/// Appends parameters separated by `;`.
///
/// Whether `;` separates is up to the server: where it does not, what follows
/// it belongs to the value. So everything after the first secret goes.
fn parameters(piece: &str, names: &Names, signs: Signs, out: &mut Text) {
    let mut start = 0;
    for parameter in piece.split(';') {
        if start > 0 {
            out.push(';');
        }
        let (name, value) = match parameter.find('=') {
            Some(equals) => (&parameter[..equals], &piece[start + equals + 1..]),
            None => (parameter, ""),
        };
        let in_name = || !is_plain(name) && names.assigned_in(parameter, signs);
        if !value.is_empty()
            && (names.contains_encoded(name.as_bytes())
                || names.assigned_in(&parameter[name.len() + 1..], signs)
                || in_name())
        {
            out.push_str(name);
            out.push('=');
            out.push_str(REDACTED);
            return;
        }
        if value.is_empty() && names.assigned_in(name, signs) {
            out.push_str(REDACTED);
            return;
        }
        out.push_str(parameter);
        start += parameter.len() + 1;
    }
}

/// Tells whether a name holds nothing but what names are made of.
fn is_plain(name: &str) -> bool {
    name.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Appends a URL, absolute or relative, with user and password gone, and path,
/// query and fragment scrubbed.
///
/// Text that is no URL of the web (it holds a space or a control character, a
/// host that is none, or is of another form, such as `mailto:`) is replaced
/// wholly.
pub(crate) fn url(value: &str, names: &Names, out: &mut Text) {
    let (rest, fragment) = split_at_mark(value, '#');
    let (rest, query_string) = split_at_mark(rest, '?');
    let (origin, path_string) = rest.split_at(origin_bytes(rest));
    let is_opaque = path_string
        .split('/')
        .next()
        .is_some_and(|segment| segment.contains(':'));
    let is_text = value.bytes().any(|byte| byte <= b' ' || byte == 0x7f);
    let Some((before, host)) = split_user(origin).filter(|_| !is_text && !is_opaque) else {
        // `about:` says that there was no page; it carries nothing.
        out.push_str(if value.starts_with("about:") && is_plain(&value[6..]) {
            value
        } else {
            REDACTED
        });
        return;
    };
    out.push_str(before);
    if before.len() + host.len() < origin.len() {
        out.push_str(REDACTED);
        out.push('@');
    }
    out.push_str(host);
    path(path_string, names, out);
    for (mark, part) in [('?', query_string), ('#', fragment)] {
        if let Some(part) = part {
            out.push(mark);
            query(part, names, out);
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

/// Splits `https://user:password@host` into `https://` and `host`. Nothing
/// where the host is none: a password with a `/` or `?` in it, say.
fn split_user(origin: &str) -> Option<(&str, &str)> {
    let authority_start = origin.find("//").map_or(0, |slashes| slashes + 2);
    let (before, authority) = origin.split_at(authority_start);
    let host_start = authority.rfind('@').map_or(0, |at| at + 1);
    let host = &authority[host_start..];
    let (name, port) = match host.rfind(':') {
        Some(colon) if !host.ends_with(']') => (&host[..colon], &host[colon + 1..]),
        _ => (host, ""),
    };
    let is_host = match name.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')
            .is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'.' | b'_' | b'%')
                || !byte.is_ascii()
        }),
    };
    (is_host && port.bytes().all(|byte| byte.is_ascii_digit())).then_some((before, host))
}

/// Tells whether `text` is empty or a scheme with its colon.
fn is_scheme(text: &str) -> bool {
    text.is_empty()
        || text.strip_suffix(':').is_some_and(|scheme| {
            let is_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            scheme.bytes().all(is_scheme)
        })
}

fn split_at_mark(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.split_once(mark) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(scrub: fn(&str, &Names, &mut Text), value: &str) -> String {
        let names = Names::new(&["*token", "password", "email", "key", "jsessionid"]).unwrap();
        let mut out = Text::default();
        scrub(value, &names, &mut out);
        out.as_str().to_owned()
    }

    #[track_caller]
    fn check(scrub: fn(&str, &Names, &mut Text), cases: &[(&str, &str)]) {
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
            for scrub in [query, url] {
                let value = format!("{before}&token=SENSITIVE{after}");
                let scrubbed = run(scrub, &value);
                prop_assert!(!scrubbed.contains("SENSITIVE"), "{} from {}", scrubbed, value);
            }
        }

        #[test]
        fn scrubbing_twice_changes_nothing_more(value in "[a-z0-9=&;%:/?#@.]{0,40}") {
            for scrub in [query, url, path] {
                let once = run(scrub, &value);
                prop_assert_eq!(run(scrub, &once), once);
            }
        }
    }
}
