//! What a request of the HTTP interface asks for, without its body.

use super::codec::Encoder;
use super::exception::Exception;
use super::library::Parameter;
use hyper::header::AUTHORIZATION;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

/// User and password that open the engine.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) password: String,
}

impl Credentials {
    /// Compares in a time that does not depend on where the texts differ.
    fn matches(&self, user: &str, password: &str) -> bool {
        let same = |a: &str, b: &str| {
            a.len() == b.len()
                && a.bytes()
                    .zip(b.bytes())
                    .fold(0, |sum, (a, b)| sum | (a ^ b))
                    == 0
        };
        same(&self.user, user) & same(&self.password, password)
    }
}

/// One statement as the URL and headers describe it.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// `?query=`; the body goes on after a line feed.
    pub(super) query: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) settings: Vec<(String, String)>,
    pub(super) database: Option<String>,
    pub(super) default_format: Option<String>,
    pub(super) query_id: Option<String>,
    /// `compress=1`.
    pub(super) compress: bool,
    /// `decompress=1`.
    pub(super) decompress: bool,
    /// `wait_end_of_query=1`.
    pub(super) wait_end: bool,
    /// `client_protocol_version`: Native blocks for a revision, 0 for none.
    pub(super) protocol: u64,
    user: Option<String>,
    password: Option<String>,
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn flag(value: &str) -> bool {
    !matches!(value, "" | "0" | "false")
}

/// A setting's name goes into a `SET` statement, so it is a plain identifier.
fn is_identifier(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'.')
}

impl Call {
    /// Reads the URL's parameters and the `X-ClickHouse-` headers.
    pub(super) fn read(parts: &Parts) -> Result<Self, Exception> {
        let mut call = Self {
            database: header(&parts.headers, "x-clickhouse-database"),
            default_format: header(&parts.headers, "x-clickhouse-format"),
            ..Self::default()
        };
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        for (name, value) in pairs {
            call.take(&name, value.into_owned())?;
        }
        // https://clickhouse.com/docs/interfaces/http: GET changes nothing.
        if parts.method == Method::GET {
            let readonly = call
                .settings
                .iter()
                .any(|(n, v)| n == "readonly" && flag(v));
            if !readonly {
                call.settings.retain(|(name, _)| name != "readonly");
                call.settings.push(("readonly".into(), "2".into()));
            }
        }
        // Afterwards no other setting could be changed.
        call.settings.sort_by_key(|(name, _)| name == "readonly");
        Ok(call)
    }

    /// Takes one parameter, of the URL or of a form.
    pub(super) fn take(&mut self, name: &str, value: String) -> Result<(), Exception> {
        match name {
            "query" => self.query.push_str(&value),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value).filter(|id| !id.is_empty()),
            "compress" => self.compress = flag(&value),
            "decompress" => self.decompress = flag(&value),
            "wait_end_of_query" => self.wait_end = flag(&value),
            "client_protocol_version" => self.protocol = value.parse().unwrap_or(0),
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            // They change nothing here.
            "buffer_size" | "stacktrace" | "quota_key" | "session_timeout" | "session_check"
            | "close_session" => {}
            "session_id" | "role" if value.is_empty() => {}
            "session_id" | "role" => {
                return Err(Exception::new(
                    48,
                    "NOT_IMPLEMENTED",
                    format_args!("the embedded engine has no {name}: every request stands alone"),
                ));
            }
            _ => {
                if let Some(name) = name.strip_prefix("param_") {
                    self.parameters.push((name.to_owned(), value));
                } else if is_identifier(name) {
                    self.settings.push((name.to_owned(), value));
                } else {
                    return Err(Exception::new(
                        115,
                        "UNKNOWN_SETTING",
                        format_args!("Unknown setting '{}'", name.escape_debug()),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Checks user and password wherever they stand.
    pub(super) fn authenticate(
        &self,
        headers: &HeaderMap,
        expected: &Credentials,
    ) -> Result<(), Exception> {
        let named = |user: Option<String>, password: Option<String>| {
            (user.is_some() || password.is_some()).then(|| {
                (
                    user.unwrap_or_else(|| "default".to_owned()),
                    password.unwrap_or_default(),
                )
            })
        };
        let given = named(
            header(headers, "x-clickhouse-user"),
            header(headers, "x-clickhouse-key"),
        )
        .or_else(|| basic(headers))
        .or_else(|| named(self.user.clone(), self.password.clone()));
        match given {
            Some((user, password)) if expected.matches(&user, &password) => Ok(()),
            Some((user, _)) => Err(Exception::new(
                516,
                "AUTHENTICATION_FAILED",
                format_args!(
                    "{}: Authentication failed: password is incorrect, or there is no user with such name.",
                    user.escape_debug()
                ),
            )),
            None => Err(Exception::new(
                194,
                "REQUIRED_PASSWORD",
                "user and password are required",
            )),
        }
    }

    /// Whether `enable_http_compression` leaves `Accept-Encoding` in force.
    pub(super) fn encoder(&self, headers: &HeaderMap) -> Encoder {
        let http = self
            .settings
            .iter()
            .rev()
            .find(|(name, _)| name == "enable_http_compression")
            .is_none_or(|(_, value)| flag(value));
        Encoder::new(self.compress, http, headers)
    }

    /// The statements that prepare a fresh connection for this call.
    pub(super) fn preparation(&self) -> Vec<String> {
        let database = self
            .database
            .iter()
            .filter(|name| !name.is_empty() && *name != "default")
            .map(|name| format!("USE `{}`", escape(name, '`')));
        let settings = self
            .settings
            .iter()
            .map(|(name, value)| format!("SET {name} = '{}'", escape(value, '\'')));
        database.chain(settings).collect()
    }
}

fn escape(text: &str, quote: char) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character == quote || character == '\\' {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = data_encoding::BASE64
        .decode(encoded.trim().as_bytes())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The fields of a `multipart/form-data` body, as text.
///
/// A file among them would be a table of external data, which is refused.
pub(super) fn multipart(
    content_type: &str,
    body: &[u8],
) -> Result<Vec<(String, String)>, Exception> {
    let bad =
        |text: &str| Exception::new(36, "BAD_ARGUMENTS", format_args!("multipart form: {text}"));
    let boundary = content_type
        .split(';')
        .filter_map(|part| part.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("boundary"))
        .map(|(_, value)| value.trim_matches('"'))
        .filter(|boundary| !boundary.is_empty())
        .ok_or_else(|| bad("it has no boundary"))?;
    let delimiter = format!("\r\n--{boundary}");
    let first = &delimiter.as_bytes()[2..];
    let find = |text: &[u8], what: &[u8]| text.windows(what.len()).position(|w| w == what);
    let mut rest = find(body, first)
        .map(|at| &body[at + first.len()..])
        .ok_or_else(|| bad("its boundary does not occur"))?;
    let mut fields = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Ok(fields);
        }
        let end = find(rest, delimiter.as_bytes()).ok_or_else(|| bad("it is cut short"))?;
        let part = rest[..end]
            .strip_prefix(b"\r\n")
            .ok_or_else(|| bad("a boundary is not on a line of its own"))?;
        rest = &rest[end + delimiter.len()..];
        let (head, value) = match find(part, b"\r\n\r\n") {
            Some(at) => (&part[..at], &part[at + 4..]),
            None => return Err(bad("a field has no value")),
        };
        let head = String::from_utf8_lossy(head);
        let disposition = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
            .map(|(_, value)| value)
            .unwrap_or_default();
        let attribute = |wanted: &str| {
            disposition
                .split(';')
                .filter_map(|part| part.trim().split_once('='))
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, value)| value.trim_matches('"').to_owned())
        };
        if attribute("filename").is_some() {
            return Err(Exception::new(
                48,
                "NOT_IMPLEMENTED",
                "the embedded engine takes no tables of external data",
            ));
        }
        let name = attribute("name").ok_or_else(|| bad("a field has no name"))?;
        let value =
            String::from_utf8(value.to_vec()).map_err(|_| bad("a field is not valid UTF-8"))?;
        fields.push((name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, uri: &str) -> Call {
        let request = hyper::Request::builder().method(method).uri(uri).body(());
        Call::read(&request.unwrap().into_parts().0).unwrap()
    }

    #[test]
    fn parameters_are_sorted_by_what_they_do() {
        let call = call(
            "POST",
            "/?readonly=1&query=SELECT+%7Ba%3AString%7D&param_a=x%27y&database=d%60b&max_threads=3&compress=1",
        );
        assert_eq!(call.query, "SELECT {a:String}");
        assert_eq!(call.parameters, [("a".to_owned(), "x'y".to_owned())]);
        assert!(call.compress);
        assert_eq!(
            call.preparation(),
            ["USE `d\\`b`", "SET max_threads = '3'", "SET readonly = '1'"]
        );
    }

    #[test]
    fn get_is_read_only() {
        assert_eq!(call("GET", "/").preparation(), ["SET readonly = '2'"]);
        assert_eq!(
            call("GET", "/?readonly=1").preparation(),
            ["SET readonly = '1'"]
        );
        assert_eq!(
            call("GET", "/?readonly=0").preparation(),
            ["SET readonly = '2'"]
        );
    }

    #[test]
    fn a_setting_cannot_smuggle_in_another_statement() {
        let request = hyper::Request::get("/?a%3D1,b=2").body(()).unwrap();
        assert_eq!(Call::read(&request.into_parts().0).unwrap_err().code, 115);
        let set = &call("POST", "/?a=%27,b=%5C").preparation()[0];
        assert_eq!(set, "SET a = '\\',b=\\\\'");
    }

    #[test]
    fn credentials_are_found_wherever_they_stand() {
        let expected = Credentials {
            user: "u".into(),
            password: "p:w".into(),
        };
        let check = |uri: &str, headers: &[(&'static str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect::<HeaderMap>();
            call("POST", uri)
                .authenticate(&headers, &expected)
                .map_err(|error| error.code)
        };
        assert_eq!(check("/?user=u&password=p:w", &[]), Ok(()));
        assert_eq!(check("/", &[("authorization", "Basic dTpwOnc=")]), Ok(()));
        let key = |key| [("x-clickhouse-user", "u"), ("x-clickhouse-key", key)];
        assert_eq!(check("/", &key("p:w")), Ok(()));
        assert_eq!(check("/", &key("p:")), Err(516));
        assert_eq!(check("/?user=u", &[]), Err(516));
        assert_eq!(check("/?password=p:w", &[]), Err(516));
        assert_eq!(check("/", &[]), Err(194));
    }

    #[test]
    fn a_form_carries_query_and_parameters() {
        let body = b"--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT\r\n1\r\n--b\r\ncontent-disposition: form-data; name=\"param_x\"\r\n\r\n\r\n--b--\r\n";
        assert_eq!(
            multipart("multipart/form-data; boundary=b", body).unwrap(),
            [
                ("query".to_owned(), "SELECT\r\n1".to_owned()),
                ("param_x".to_owned(), String::new())
            ]
        );
        for cut in 0..body.len() - 4 {
            assert!(
                multipart("multipart/form-data; boundary=b", &body[..cut]).is_err(),
                "{cut}"
            );
        }
        let file =
            b"--b\r\nContent-Disposition: form-data; name=\"t\"; filename=\"t\"\r\n\r\n1\r\n--b--";
        assert_eq!(
            multipart("multipart/form-data; boundary=b", file)
                .unwrap_err()
                .code,
            48
        );
    }
}
