//! What can be configured, and the rules that follow from it.

use canopy_sdk::prelude::*;

use crate::address::Prefixes;
use crate::headers::{KeptCookies, Rules};
use crate::memo::Memo;
use crate::names::Names;

/// Parameters whose values are secrets or name a person.
const PARAMETERS: [&str; 32] = [
    "*token*",
    "*password*",
    "*passwd*",
    "*secret*",
    "*signature",
    "*credential*",
    "*session*",
    "*apikey",
    "*accesskey*",
    "*privatekey*",
    "*pwd*",
    "*email*",
    "auth",
    "authorization",
    "code",
    "code_verifier",
    "jwt",
    "key",
    "mail",
    "otp",
    "pass",
    "passcode",
    "passphrase",
    "phone*",
    "pin",
    "saml_request",
    "saml_response",
    "sid",
    "sig",
    "ssn",
    "ticket",
    "user_pass",
];

/// Headers whose values are secrets or name a person. `Cookie`, `Referer` and
/// the headers that hold an address are not here: they are scrubbed, not
/// replaced.
const HEADERS: [&str; 20] = [
    "*authorization*",
    "authentication*",
    "*api-key*",
    "*auth-key*",
    "*access-key*",
    "*token*",
    "*secret*",
    "*password*",
    "*credential*",
    "*signature*",
    "*session*",
    "*csrf*",
    "*xsrf*",
    "*assertion*",
    "*client-cert*",
    "x-auth*",
    "set-cookie",
    "sec-websocket-protocol",
    "forwarded",
    "from",
];

/// A column that can be redacted.
#[config]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// The viewer's address: cut.
    #[serde(rename = "c_ip")]
    CIp,
    /// The addresses proxies reported: cut.
    #[serde(rename = "x_forwarded_for")]
    XForwardedFor,
    /// The path: parameters in it (`;jsessionid=…`) scrubbed.
    #[serde(rename = "cs_uri_stem")]
    CsUriStem,
    /// The query string: parameters scrubbed.
    #[serde(rename = "cs_uri_query")]
    CsUriQuery,
    /// The referring URL: user, path, query and fragment scrubbed.
    #[serde(rename = "cs_referer")]
    CsReferer,
    /// Cookies: values replaced.
    #[serde(rename = "cs_cookie")]
    CsCookie,
    /// Headers: values replaced, scrubbed or cut, by name.
    #[serde(rename = "cs_headers")]
    CsHeaders,
}

impl Column {
    /// Every column that can be redacted.
    pub(crate) const ALL: [Column; 7] = [
        Column::CIp,
        Column::XForwardedFor,
        Column::CsUriStem,
        Column::CsUriQuery,
        Column::CsReferer,
        Column::CsCookie,
        Column::CsHeaders,
    ];

    /// Returns the column's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Column::CIp => "c_ip",
            Column::XForwardedFor => "x_forwarded_for",
            Column::CsUriStem => "cs_uri_stem",
            Column::CsUriQuery => "cs_uri_query",
            Column::CsReferer => "cs_referer",
            Column::CsCookie => "cs_cookie",
            Column::CsHeaders => "cs_headers",
        }
    }
}

/// The plugin's configuration, as in canopy.toml.
#[config]
#[derive(Clone, Debug)]
#[serde(default)]
pub struct Config {
    /// The columns to redact. Default: all that can be.
    pub(crate) columns: Vec<Column>,
    /// How many leading bits of an IPv4 address are kept.
    #[schemars(range(max = 32))]
    pub(crate) ipv4_bits: u32,
    /// How many leading bits of an IPv6 address are kept.
    #[schemars(range(max = 128))]
    pub(crate) ipv6_bits: u32,
    /// The parameters whose values are replaced, instead of the built-in list.
    pub(crate) parameters: Vec<String>,
    /// Parameters in addition to that list.
    pub(crate) extra_parameters: Vec<String>,
    /// The headers whose values are replaced, instead of the built-in list.
    pub(crate) headers: Vec<String>,
    /// Headers in addition to that list.
    pub(crate) extra_headers: Vec<String>,
    /// The cookies whose values are kept. Default: none.
    pub(crate) keep_cookies: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            columns: Column::ALL.to_vec(),
            ipv4_bits: 24,
            ipv6_bits: 48,
            parameters: PARAMETERS.map(String::from).to_vec(),
            extra_parameters: Vec::new(),
            headers: HEADERS.map(String::from).to_vec(),
            extra_headers: Vec::new(),
            keep_cookies: Vec::new(),
        }
    }
}

impl Config {
    /// Tells whether `column` is to be redacted.
    pub(crate) fn selects(&self, column: Column) -> bool {
        self.columns.contains(&column)
    }

    /// Makes the rules.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] where nothing is selected, a prefix is too long or a
    /// name is not one.
    pub(crate) fn rules(&self) -> Result<Rules, Error> {
        if self.columns.is_empty() {
            return Err(Error::config("columns", "no column is selected"));
        }
        for (key, bits, most) in [
            ("ipv4-bits", self.ipv4_bits, 32),
            ("ipv6-bits", self.ipv6_bits, 128),
        ] {
            if bits > most {
                return Err(Error::config(key, format!("{bits} is more than {most}")));
            }
        }
        let cookies = KeptCookies::new(&self.keep_cookies).map_err(|index| {
            let message = "a cookie's name may have `*` only at its end";
            Error::config(format!("keep-cookies.{index}"), message)
        })?;
        Ok(Rules {
            parameters: names("parameters", &self.parameters, &self.extra_parameters)?,
            headers: names("headers", &self.headers, &self.extra_headers)?,
            cookies,
            prefixes: Prefixes {
                ipv4: self.ipv4_bits,
                ipv6: self.ipv6_bits,
            },
            treatments: Memo::default(),
        })
    }
}

/// Compiles the list `key` together with the list `extra-key`.
fn names(key: &str, listed: &[String], extra: &[String]) -> Result<Names, Error> {
    let all: Vec<&String> = listed.iter().chain(extra).collect();
    Names::new(&all).map_err(|index| {
        let key = match index.checked_sub(listed.len()) {
            None => format!("{key}.{index}"),
            Some(index) => format!("extra-{key}.{index}"),
        };
        let message = "a name needs a letter or digit, and may have `*` only at its ends";
        Error::config(key, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_key(config: Config) -> String {
        match config.rules() {
            Err(Error::Config { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_make_rules() {
        let rules = Config::default().rules().unwrap();
        for name in [
            "token",
            "password",
            "email",
            "session",
            "key",
            "auth",
            "X-Amz-Signature",
            "pass",
            "passcode",
            "userPwd",
            "access_key",
            "AWSAccessKeyId",
            "private_key",
            "phone_number",
        ] {
            assert!(rules.parameters.contains_encoded(name.as_bytes()), "{name}");
        }
        for name in [
            "Authorization",
            "X-Api-Key",
            "X-Amz-Security-Token",
            "Proxy-Authorization",
        ] {
            assert!(rules.headers.contains(name.as_bytes()), "{name}");
        }
        for name in [
            "Host",
            "User-Agent",
            "Accept",
            "Origin",
            "CloudFront-Viewer-Country",
        ] {
            assert!(!rules.headers.contains(name.as_bytes()), "{name}");
        }
        for name in [
            "page",
            "q",
            "v",
            "utm_source",
            "width",
            "id",
            "lang",
            "compass",
        ] {
            assert!(
                !rules.parameters.contains_encoded(name.as_bytes()),
                "{name}"
            );
        }
    }

    #[test]
    fn the_readme_lists_the_defaults() {
        let readme = include_str!("../README.md");
        for (key, names) in [("parameters", &PARAMETERS[..]), ("headers", &HEADERS[..])] {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let row = format!("| `{key}` | {} |", names.join(", "));
            assert!(readme.contains(&row), "README.md lacks: {row}");
        }
    }

    #[test]
    fn an_error_names_the_key_at_fault() {
        let default = Config::default;
        assert_eq!(
            error_key(Config {
                columns: vec![],
                ..default()
            }),
            "columns"
        );
        assert_eq!(
            error_key(Config {
                ipv4_bits: 33,
                ..default()
            }),
            "ipv4-bits"
        );
        assert_eq!(
            error_key(Config {
                ipv6_bits: 129,
                ..default()
            }),
            "ipv6-bits"
        );
        assert_eq!(
            error_key(Config {
                parameters: vec!["a".into(), "?".into()],
                ..default()
            }),
            "parameters.1"
        );
        assert_eq!(
            error_key(Config {
                extra_headers: vec!["*".into()],
                ..default()
            }),
            "extra-headers.0"
        );
        assert_eq!(
            error_key(Config {
                keep_cookies: vec!["*a".into()],
                ..default()
            }),
            "keep-cookies.0"
        );
    }

    #[test]
    fn a_column_is_called_what_it_is_called_in_the_configuration() {
        for column in Column::ALL {
            let name = serde_json::Value::from(column.name());
            assert_eq!(serde_json::from_value::<Column>(name).unwrap(), column);
        }
    }
}
