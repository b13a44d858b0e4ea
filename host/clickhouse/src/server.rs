//! Where ClickHouse is: a server's address, or a folder that an embedded
//! engine serves.

use std::fmt;

use hyper::Uri;

use crate::engine::Store;

/// The database Canopy uses where nothing else is said.
pub const DEFAULT_DATABASE: &str = "canopy";

/// A ClickHouse server's HTTP interface and how to sign in.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    /// Scheme, host and port, such as `https://example.com:8443`.
    pub url: String,
    /// The user's name; ClickHouse's own default is `default`.
    pub user: String,
    /// The user's password; empty for none.
    pub password: String,
    /// The database that unqualified table names mean.
    pub database: String,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("url", &self.url)
            .field("user", &self.user)
            .field("password", &"…")
            .field("database", &self.database)
            .finish()
    }
}

/// A server's address that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    /// It is not a URL.
    #[error("`{0}` is not a URL; ClickHouse's looks like https://example.com:8443")]
    NotUrl(String),
    /// It is a URL of another protocol, often ClickHouse's native one.
    #[error(
        "`{0}` is not an http or https URL; ClickHouse's HTTP interface listens on \
         port 8123, with TLS on 8443"
    )]
    Scheme(String),
    /// The percent-encoding of its user or password is broken.
    #[error("the user or password in the URL of `{0}` is not percent-encoded text")]
    Credentials(String),
}

impl Server {
    /// Reads `http[s]://[user[:password]@]host[:port][/path][?database=name]`.
    ///
    /// What the URL leaves out is the user `default`, no password, port 8123
    /// or, with TLS, 8443, and [`DEFAULT_DATABASE`]. User and password are
    /// percent-decoded and do not stay in [`Server::url`].
    ///
    /// # Errors
    ///
    /// [`AddressError`]; its message never holds the password.
    pub fn parse(url: &str) -> Result<Server, AddressError> {
        let shown = without_credentials(url);
        let uri: Uri = url
            .trim()
            .parse()
            .map_err(|_| AddressError::NotUrl(shown.clone()))?;
        let default_port = match uri.scheme_str() {
            Some("http") => 8123,
            Some("https") => 8443,
            Some(_) => return Err(AddressError::Scheme(shown)),
            None => return Err(AddressError::NotUrl(shown)),
        };
        let authority = uri
            .authority()
            .filter(|authority| !authority.host().is_empty())
            .ok_or_else(|| AddressError::NotUrl(shown.clone()))?;
        let (user, password) = match authority.as_str().rsplit_once('@') {
            None => ("default".to_owned(), String::new()),
            Some((credentials, _)) => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                let decode = |text| {
                    percent_decode(text).ok_or_else(|| AddressError::Credentials(shown.clone()))
                };
                (decode(user)?, decode(password)?)
            }
        };
        let database = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .find_map(|pair| pair.strip_prefix("database="))
            .map_or_else(|| Some(DEFAULT_DATABASE.to_owned()), percent_decode)
            .filter(|database| !database.is_empty())
            .ok_or_else(|| AddressError::NotUrl(shown.clone()))?;
        Ok(Server {
            url: format!(
                "{}://{}:{}{}",
                uri.scheme_str().unwrap_or_default(),
                authority.host(),
                authority.port_u16().unwrap_or(default_port),
                uri.path().trim_end_matches('/'),
            ),
            user,
            password,
            database,
        })
    }
}

/// Returns the URL as it may be shown: what stands before an `@` is left out.
fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}{}", &url[..scheme + 3], &url[at + 1..])
        }
        (_, Some(at)) => url[at + 1..].to_owned(),
        (_, None) => url.to_owned(),
    }
}

/// Undoes `%XX`; nothing where an escape is cut, wrong or not UTF-8.
fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &tail[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Where batches go.
#[derive(Clone, Debug)]
pub enum Target {
    /// A ClickHouse server, someone else's to keep running.
    Server(Server),
    /// A folder served by the embedded engine, which is started when it is
    /// needed and started again when it died.
    Store(Store),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let server = Server::parse("https://ann:p%40ss%3A@ch.example.com/?database=logs").unwrap();
        assert_eq!(server.url, "https://ch.example.com:8443");
        assert_eq!(
            (server.user.as_str(), server.password.as_str()),
            ("ann", "p@ss:")
        );
        assert_eq!(server.database, "logs");
    }

    #[test]
    fn what_a_url_leaves_out_has_defaults() {
        let server = Server::parse("http://127.0.0.1").unwrap();
        assert_eq!(server.url, "http://127.0.0.1:8123");
        assert_eq!(
            (server.user.as_str(), server.password.as_str()),
            ("default", "")
        );
        assert_eq!(server.database, "canopy");
        assert_eq!(
            Server::parse("http://[::1]:99/ch/").unwrap().url,
            "http://[::1]:99/ch"
        );
    }

    #[test]
    fn a_wrong_url_is_named_without_its_password() {
        for url in [
            "localhost:8123",
            "tcp://u:secret@localhost:9000",
            "http://u:secret%2@localhost",
            "",
            "http://",
        ] {
            let message = Server::parse(url).unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let server = Server::parse("http://u:secret@localhost").unwrap();
        assert!(!format!("{server:?}").contains("secret"));
    }
}
